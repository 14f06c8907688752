"""Every input of the corpus and every former finding, and the fuzzer itself."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from fuzz import sequences
from fuzz.codec import CORPUS, REGRESSIONS, examine, fuzz, input_files, main
from fuzz.pairs import Outcome, pairs
from protocol_specs.catalogue import CATALOGUE
from tools.corpus import seeds

PAIRS = pairs()


@pytest.mark.parametrize("name", PAIRS)
def test_replay(name: str) -> None:
    files = input_files(name)
    assert files
    for path in files:
        assert examine(PAIRS[name], path.read_bytes()) is None, path


@pytest.mark.parametrize("folder", [CORPUS, REGRESSIONS], ids=lambda folder: folder.name)
def test_every_folder_belongs_to_a_format_or_machine(folder: Path) -> None:
    known = {*CATALOGUE, *sequences.machines()}
    assert {path.name for path in folder.iterdir() if path.is_dir()} <= known


def test_the_corpus_holds_the_seeds() -> None:
    for name, inputs in seeds().items():
        assert inputs
        held = {path.read_bytes() for path in (CORPUS / name).glob("*.bin")}
        assert set(inputs) <= held, f"{name}: run python -m tools.corpus"


def test_a_fault_is_found_and_kept(tmp_path: Path) -> None:
    pair = PAIRS["identify.identify"]

    def lenient(data: bytes) -> Outcome:
        outcome = pair.decode(data)
        return outcome if outcome.verdict != "truncated" else Outcome("malformed")

    broken = dataclasses.replace(pair, decode=lenient)
    _, faults = fuzz(broken, 5, random.Random(1), tmp_path)
    assert faults
    kept = [path.read_bytes() for path in (tmp_path / pair.name).iterdir()]
    assert all(examine(broken, data) for data in kept)


def test_an_error_that_escapes_is_a_finding() -> None:
    def crash(data: bytes) -> Outcome:
        raise IndexError("out of range")

    broken = dataclasses.replace(PAIRS["ping.ping"], decode=crash)
    assert "IndexError" in str(examine(broken, b""))


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["yamux.header", "multistream.token", "--seconds", "0.1", "--seed", "7"]) == 0
    out = capsys.readouterr().out
    assert "seed 7" in out
    assert "yamux.header" in out
    with pytest.raises(SystemExit):
        main(["nothing"])
