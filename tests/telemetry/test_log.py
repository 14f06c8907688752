"""Log lines, levels by subsystem, and the brake on repeated messages."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mesh.errors import ConfigError
from mesh.telemetry import log

ROOT = logging.getLogger("mesh")


@pytest.fixture(autouse=True)
def _untouched() -> Iterator[None]:
    handlers, level, propagate = list(ROOT.handlers), ROOT.level, ROOT.propagate
    yield
    ROOT.handlers[:] = handlers
    ROOT.setLevel(level)
    ROOT.propagate = propagate
    for name in ("mesh.testnet", "mesh.testnet.dialer", "mesh.testapp"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_import_installs_nothing() -> None:
    probe = (
        "import logging, mesh.telemetry.log; print(logging.getLogger('mesh').handlers, logging.root.handlers)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.strip() == "[] []"


def test_text_lines(stream: io.StringIO) -> None:
    log.configure("info", stream=stream)
    logger = logging.getLogger("mesh.testnet.dialer")
    logger.info("dialled %s", "somebody", extra={"took_s": 1.5})
    logger.debug("not shown")
    line = stream.getvalue()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO testnet\.dialer: dialled somebody took_s=1\.5\n", line
    )


def test_a_peer_cannot_forge_lines(stream: io.StringIO) -> None:
    log.configure("info", stream=stream)
    logging.getLogger("mesh.testnet").info("agent %s", "x\n2026 ERROR \x1b[31mboo", extra={"peer": "a\nb"})
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert r"x\n2026 ERROR \x1b[31mboo peer=a\nb" in line


def test_json_lines(stream: io.StringIO) -> None:
    log.configure("info", "json", stream=stream)
    logger = logging.getLogger("mesh.testnet")
    logger.warning("refused %d\n", 3, extra={"address": "/ip4/192.0.2.1", "thing": {1}})
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("broke")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["level"] == "warning"
    assert first["logger"] == "mesh.testnet"
    assert first["message"] == "refused 3\n"
    assert first["address"] == "/ip4/192.0.2.1"
    assert first["thing"] == "{1}"
    assert first["time"].endswith("Z")
    assert "ValueError: why" in second["error"]


def test_traceback_follows_a_text_line(stream: io.StringIO) -> None:
    log.configure("error", stream=stream)
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("mesh.testapp").exception("broke")
    assert stream.getvalue().splitlines()[-1] == "ValueError: why"


def test_levels_of_subsystems(stream: io.StringIO) -> None:
    log.configure("warning", levels=(("testnet", "debug"),), stream=stream)
    logging.getLogger("mesh.testnet.dialer").debug("one")
    logging.getLogger("mesh.testapp").info("hidden")
    assert log.levels() == {"": "warning", "testnet": "debug"}
    log.set_level("testnet", "error")
    log.set_level("testapp", "info")
    log.set_level("", "critical")
    logging.getLogger("mesh.testnet.dialer").warning("hidden")
    logging.getLogger("mesh.testapp").info("two")
    assert [line.rpartition(": ")[2] for line in stream.getvalue().splitlines()] == ["one", "two"]
    assert log.levels() == {"": "critical", "testapp": "info", "testnet": "error"}


def test_configuring_again_starts_over(stream: io.StringIO) -> None:
    log.configure("debug", levels={"testnet": "debug"}, stream=io.StringIO())
    log.configure("warning", stream=stream)
    logging.getLogger("mesh.testnet").debug("hidden")
    logging.getLogger("mesh.testnet").warning("once")
    assert len(stream.getvalue().splitlines()) == 1
    assert len([handler for handler in ROOT.handlers if handler.get_name() == "mesh"]) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: log.configure("loud"),
        lambda: log.configure("info", "xml"),
        lambda: log.configure("info", levels={"network": "loud"}),
        lambda: log.set_level("network", "WARNING"),
    ],
)
def test_wrong_names(call: object) -> None:
    before = list(ROOT.handlers)
    with pytest.raises(ConfigError, match="not one of"):
        call()  # type: ignore[operator]
    assert ROOT.handlers == before


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_repeated_messages_are_counted() -> None:
    clock, stream = Clock(), io.StringIO()
    log.configure("info", stream=stream)
    handler = ROOT.handlers[-1]
    handler.filters[:] = [log.RepeatFilter(limit=2, interval_s=10, clock=clock)]
    logger = logging.getLogger("mesh.testnet")
    for peer in range(5):
        logger.info("peer %d sent nonsense", peer)
    logger.info("another message")
    logging.getLogger("mesh.testapp").info("peer %d sent nonsense", 9)
    clock.now += 10
    logger.info("peer %d sent nonsense", 6)
    clock.now += 10
    logger.info("peer %d sent nonsense", 7)
    shown = [line.partition("INFO ")[2] for line in stream.getvalue().splitlines()]
    assert shown == [
        "testnet: peer 0 sent nonsense",
        "testnet: peer 1 sent nonsense",
        "testnet: another message",
        "testapp: peer 9 sent nonsense",
        "testnet: peer 6 sent nonsense (suppressed 3 like it)",
        "testnet: peer 7 sent nonsense",
    ]


def test_suppressed_in_json() -> None:
    clock, stream = Clock(), io.StringIO()
    log.configure("info", "json", stream=stream)
    ROOT.handlers[-1].filters[:] = [log.RepeatFilter(limit=1, interval_s=10, clock=clock)]
    for _ in range(3):
        logging.getLogger("mesh.testnet").info("again")
    clock.now += 11
    logging.getLogger("mesh.testnet").info("again")
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [record.get("suppressed") for record in records] == [None, 2]


def test_our_own_errors_always_pass_and_memory_is_bounded() -> None:
    brake = log.RepeatFilter(limit=1, interval_s=10, clock=Clock())

    def passes(message: str, level: int) -> bool:
        return brake.filter(logging.LogRecord("mesh.x", level, "", 0, message, (), None))

    assert all(passes("broken", logging.ERROR) for _ in range(5))
    for number in range(log.REMEMBERED + 10):
        assert passes(f"message {number}", logging.INFO)
    assert len(brake._repeats) == log.REMEMBERED
    assert passes("message 0", logging.INFO)
    assert not passes(f"message {log.REMEMBERED + 9}", logging.INFO)
