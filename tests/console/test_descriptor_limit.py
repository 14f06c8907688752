"""The daemon may open as many descriptors as the system lets it, and says how many those are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mesh.network import machine_size
from tests.console.test_swarm import running

resource = pytest.importorskip("resource", reason="THIS SYSTEM HAS NO DESCRIPTOR LIMITS")

SOFT, HARD = 256, 300
LOWERED = (
    "import resource, runpy\n"
    f"resource.setrlimit(resource.RLIMIT_NOFILE, ({SOFT}, {HARD}))\n"
    "runpy.run_module('mesh', run_name='__main__')"
)
"""The program as somebody runs it whose descriptors are limited."""


def limits_of(process: int) -> tuple[int, int]:
    """Soft and hard limit of open descriptors."""
    text = Path(f"/proc/{process}/limits").read_text()
    found = re.search(r"^Max open files +(\d+) +(\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1]), int(found[2])


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="LIMITS OF A PROCESS CANNOT BE READ HERE")
def test_the_daemon_raises_it_and_says_so(home: Path) -> None:
    program = (sys.executable, "-c", LOWERED)
    with running(home, "--api", "off", "--log-level", "info", program=program) as started:
        assert limits_of(started.process.pid) == (HARD, HARD)
        status, err = started.end()
    assert status == 0
    assert f"INFO console.serving: up to {HARD} descriptors may be open" in err


def test_the_limits_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (SOFT, HARD))
    assert machine_size.machine_size().descriptors == SOFT


@pytest.mark.parametrize("fault", [ValueError("beyond what the system allows"), PermissionError()])
def test_a_system_that_refuses_keeps_the_old_limit(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    def refuse(*_arguments: object) -> None:
        raise fault

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (SOFT, HARD))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert machine_size.raise_descriptor_limit() == SOFT


def test_a_limit_that_is_high_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (HARD, HARD))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: pytest.fail("there was nothing to raise"))
    assert machine_size.raise_descriptor_limit() == HARD


def test_where_there_are_no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert machine_size.raise_descriptor_limit() == machine_size.FALLBACK_DESCRIPTORS
    assert machine_size.machine_size().descriptors == machine_size.FALLBACK_DESCRIPTORS
