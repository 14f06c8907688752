"""A short seeded run of every machine, every former finding, and the fuzzer itself."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from fuzz.sequences import cuts, examine, fuzz, machines, main, mutated, saved

MACHINES = machines()
COUNT = 15


@pytest.mark.parametrize("name", MACHINES)
def test_former_findings(name: str) -> None:
    for path in saved(name):
        assert examine(MACHINES[name], path.read_bytes()) is None, path


@pytest.mark.parametrize("name", MACHINES)
def test_seeded_run(name: str, tmp_path: Path) -> None:
    tried, faults = fuzz(MACHINES[name], random.Random(f"7 {name}"), 60, COUNT, tmp_path)
    assert (tried, faults) == (COUNT, [])


@pytest.mark.parametrize("name", MACHINES)
def test_the_real_exchange_is_one(name: str) -> None:
    """An unchanged conversation must not look like a failed one, or mutations would start from nothing."""
    machine = MACHINES[name]
    messages = machine.conversations(random.Random(2))
    life = machine.live([b"".join(messages)])
    assert life == machine.live(messages)
    assert life != machine.live([b"\xff" * 70_000])
    assert life != "failed"


def test_cutting_loses_nothing() -> None:
    rng = random.Random(1)
    for size in (0, 1, 2, 100):
        data = rng.randbytes(size)
        assert b"".join(cuts(data, rng)) == data
    assert mutated((), rng) == b""


def test_a_fault_is_found_and_kept(tmp_path: Path) -> None:
    def forgetful(parts: Sequence[bytes]) -> object:
        return parts[-1]

    broken = dataclasses.replace(MACHINES["yamux-session"], live=forgetful)
    _, faults = fuzz(broken, random.Random(1), 5, 10, tmp_path)
    assert faults
    kept = saved(broken.name, tmp_path)
    assert kept
    assert all(examine(broken, path.read_bytes()) for path in kept)


def test_what_escapes_is_a_finding() -> None:
    def crash(parts: Sequence[bytes]) -> object:
        raise IndexError("out of range")

    assert "IndexError" in str(examine(dataclasses.replace(MACHINES["noise-session"], live=crash), b""))


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["multistream-responder", "--seconds", "0.05", "--seed", "7"]) == 0
    out = capsys.readouterr().out
    assert "seed 7" in out
    assert "multistream-responder" in out
    with pytest.raises(SystemExit):
        main(["nothing"])
