"""The benchmark runs to its end with this node on both sides; nothing is said about how fast."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.bench.__main__ import main
from tools.bench.measure import Results, Sample
from tools.bench.pairs import BASELINE, Pair
from tools.bench.report import lines, markdown
from tools.bench.rows import ROWS, Figure, Row


def test_every_row_runs_and_is_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    options = ["--rounds", "1", "--seconds", "0.02", "--pairs", "mesh-mesh", "--json", str(file)]
    assert main(options) == 0
    table = capsys.readouterr().out.splitlines()
    figures = [figure.name for row in ROWS for figure in row.figures]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table[2:]] == figures
    written = json.loads(file.read_text())
    assert [line["figure"] for line in written["lines"]] == figures
    assert all(line["median"] > 0 for line in written["lines"])
    assert all(line["ratio"] is None for line in written["lines"])
    assert len(written["samples"]) == len(ROWS)
    assert all(len(each["runs"]) == 1 for each in written["samples"])


@pytest.mark.parametrize("option", [["--rows", "nonsense"], ["--pairs", "mesh-rust"], ["--rounds", "0"]])
def test_unknown_names_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(option)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_ratios_are_above_one_for_what_is_better_and_say_when_they_do_not_count() -> None:
    fast = Figure("speed", "1/s", "per_second", reference=100)
    slow = Figure("delay", "us", "median_us", higher_is_better=False, reference=100)
    row = Row("both", "both", "streams", "count", 1, (fast, slow))
    mesh, results = Pair("mesh", "go"), Results()
    for speed, delay in ((50, 210), (60, 200), (900, 1)):
        results.add(row, mesh, Sample(1, (speed, delay), 1.0, 0.5, 0.25))
    for speed, delay in ((120, 50), (119, 50), (121, 50)):
        results.add(row, BASELINE, Sample(1, (speed, delay), 1.0, 0.5, 0.25))
    table = list(lines(results, [row], [mesh, BASELINE]))
    assert [(line.median, line.ratio, line.trusted) for line in table] == [
        (60, 0.5, True),
        (120, 1.0, True),
        (200, 0.25, False),
        (50, 1.0, False),
    ]
    text = markdown(table)
    assert "| delay | mesh-go | 200 us | 1 to 210 | 0.25 (*) | 0.50 / 0.25 | 1.0 |" in text
    assert "does not count" in text
