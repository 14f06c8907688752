"""The soak of a relay runs and reports; so short a time ends no circuit by its limits, and it says so."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tools.soak.relay import judge, main

GOOD = Counter({"circuits ended by their bytes": 1, "circuits ended by their time": 1})


def test_it_runs_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "relay.md"
    size = ["--reservations", "4", "--circuits", "4"]
    assert main(["--minutes", "0.1", "--every", "2", "--seed", "7", *size, "--report", str(file)]) == 1
    report = file.read_text()
    assert report in capsys.readouterr().out
    assert "--seed 7 --reservations 4 --circuits 4" in report
    assert "relay.reserve:ok 4" in report
    assert "- none: circuits ended by their time" in report
    assert "not always 4 reservations" not in report
    assert "left" not in report


@pytest.mark.parametrize(
    ("sample", "did", "surprises", "told"),
    [
        ({}, GOOD, {}, []),
        ({"reservations": 3}, GOOD, {}, ["not always 4 reservations"]),
        ({"circuits": 1}, GOOD, {}, ["1 circuits at a time, 4 were wanted"]),
        ({}, Counter(), {}, [f"none: {each}" for each in GOOD]),
        ({}, GOOD, {"a limit was passed": 2}, ["2 x a limit was passed"]),
    ],
)
def test_what_is_wrong_is_told(
    sample: dict[str, int], did: Counter[str], surprises: dict[str, int], told: list[str]
) -> None:
    samples: list[dict[str, Any]] = [{"reservations": 4, "circuits": 4} | sample]
    after = {"reservations": 0, "circuits": 0}
    assert judge(samples, after, did, Counter(surprises), 4, 4) == told
    assert judge(samples, after | {"circuits": 2}, did, Counter(surprises), 4, 4) == [
        *told,
        "circuits: 2 left",
    ]
