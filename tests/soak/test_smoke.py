"""The soak runs and reports; nothing is said about what it finds in so short a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.soak.__main__ import main
from tools.soak.report import QUIET, Outcome, markdown
from tools.soak.verdict import QUANTITIES, Trend, trend

MEMORY = QUANTITIES[0]


def test_it_runs_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "soak.md"
    status = main(
        ["--minutes", "0.084", "--every", "1", "--seed", "7", "--identities", "9", "--report", str(file)]
    )
    report = file.read_text()
    assert report in capsys.readouterr().out
    assert status in (0, 1)
    assert ("FAILED" in report) == (status == 1)
    assert "seed 7, 5 samples" in report
    assert all(f"| {quantity.name}" in report for quantity in QUANTITIES)
    assert "connections" in report


@pytest.mark.parametrize(
    ("a_minute", "flat"),
    [(0, True), (MEMORY.bound_per_minute - 1, True), (MEMORY.bound_per_minute + 1, False)],
)
def test_growth_above_the_bound_is_not_flat(a_minute: float, flat: bool) -> None:
    found = _trend([(at * 60.0, 1000 + at * a_minute) for at in range(50)])
    assert found.slope == pytest.approx(a_minute)
    assert found.error == pytest.approx(0, abs=1e-6)
    assert found.flat is flat


def test_what_comes_and_goes_is_flat_and_so_is_growth_in_the_first_fifth() -> None:
    swings = _trend([(at * 60.0, 50_000 if at % 3 else 0) for at in range(50)])
    assert swings.flat is True
    filling = _trend([(at * 60.0, 1e6 * min(at, 10)) for at in range(50)])
    assert filling.slope == pytest.approx(0)
    assert filling.flat is True


def test_too_few_samples_are_not_judged() -> None:
    assert _trend([(0.0, 0), (60.0, 1e9), (120.0, 2e9)]).flat is None


def test_growth_leftovers_and_errors_each_fail_and_are_told() -> None:
    quiet = {**dict.fromkeys(QUIET, 1), "errors": 0, "last_error": ""}
    flat = _trend([(at * 60.0, 1) for at in range(9)])
    grown = _trend([(at * 60.0, 1e6 * at) for at in range(9)])
    assert Outcome(quiet, quiet, [], [flat], {}, {}).failures == []
    assert "**Flat.**" in markdown(Outcome(quiet, quiet, [], [flat], {}, {}), 1, 2)
    left = {**quiet, "tasks": 2, "errors": 3, "last_error": "boom"}
    text = markdown(Outcome(quiet, left, [], [grown], {}, {}, ["a client ended"]), 1, 2)
    for told in (
        "**FAILED.**",
        "- resident memory grew",
        "- tasks: 2",
        "3 errors, at last: boom",
        "- a client ended",
    ):
        assert told in text


def _trend(kib: list[tuple[float, float]]) -> Trend:
    return trend(MEMORY, [(at, value * 1024) for at, value in kib])
