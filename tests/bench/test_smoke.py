"""The benchmark runs to its end with this node on both sides; nothing is said about how fast."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.bench import compact, py_libp2p
from tools.bench.__main__ import main
from tools.bench.measure import Results, Sample
from tools.bench.pairs import ALONE, BASELINE, Pair
from tools.bench.report import lines, markdown
from tools.bench.rows import ROWS, Figure, Probe, Row
from tools.interop_peers.building import PeerMissing


def test_every_row_runs_and_is_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    short = tmp_path / "bench.md"
    options = ["--rounds", "1", "--seconds", "0.02", "--hold", "30", "--pairs", "mesh-mesh"]
    assert main([*options, "--json", str(file), "--markdown", str(short)]) == 0
    table = capsys.readouterr().out.splitlines()
    figures = [figure.name for row in ROWS for figure in row.figures]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table[2:]] == figures
    written = json.loads(file.read_text())
    assert [line["figure"] for line in written["lines"]] == figures
    assert all(line["median"] > 0 for line in written["lines"] if line["row"] != "memory")
    assert all(line["ratio"] is None for line in written["lines"])
    assert len(written["samples"]) == len(ROWS)
    assert all(len(each["runs"]) == 1 for each in written["samples"])
    told = short.read_text()
    assert all(f"| {name}" in told for name in figures)


@pytest.mark.parametrize(
    "option",
    [
        ["--rows", "nonsense"],
        ["--pairs", "mesh-rust"],
        ["--pairs", "mesh-py"],
        ["--peers", "rust-libp2p"],
        ["--rounds", "0"],
        ["--between-marks", "no such file"],
    ],
)
def test_unknown_names_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(option)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_ratios_are_above_one_for_what_is_better_and_say_when_they_do_not_count() -> None:
    fast = Figure("speed", "1/s", "per_second", reference=100)
    slow = Figure("delay", "us", "median_us", higher_is_better=False, reference=100)
    row = Row("both", "both", (fast, slow), "streams", "count")
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


SETTINGS = {
    "date": "2026-01-02",
    "command": "python -m tools.bench",
    "rounds": 5,
    "seconds": 3.0,
    "machine": {"system": "Linux x86_64", "cpus": 2, "processor": "a processor", "load": [0.5, 0.4, 0.3]},
    "stolen": 0.0123,
    "versions": {"mesh": "0.1.0", "go-libp2p": "v0.47.0"},
}


def test_the_compact_table_has_a_row_for_each_figure_and_a_column_for_each_pair() -> None:
    speed = Figure("speed", "1/s", "per_second", reference=100)
    pair_row, results = Row("speed", "speed", (speed,)), Results()
    alone_row = Row("start", "start", (Figure("start", "ms", "ms"),), probe=Probe.ALONE)
    pairs = [Pair("mesh", "go"), BASELINE]
    for pair, value in zip(pairs, (300, 200), strict=True):
        results.add(pair_row, pair, Sample(1, (value,), 1.0, 0.5, 0.25))
    results.add(alone_row, ALONE, Sample(1, (7.0,), 1.0, 0.0, 0.0))
    table = list(lines(results, [pair_row, alone_row], pairs))
    text = compact.markdown(table, SETTINGS, ["something"])
    assert "| | mesh-go | go-go |\n|---|---:|---:|\n| speed, 1/s | 300 (1.50) (*) | 200 |\n" in text
    assert "| start | 7 ms |" in text
    assert "does not count" in text
    assert "Measurements that failed: 1" in text
    for told in ("2026-01-02", "2 cores of a processor", "go-libp2p v0.47.0", "`python -m tools.bench`"):
        assert told in text


def test_the_table_replaces_what_is_between_the_marks_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{compact.BEGIN}\nold\n{compact.END}\nafter\n")
    for text in ("first\n", "second\n"):
        compact.put_between_marks(file, text)
        assert file.read_text() == f"before\n{compact.BEGIN}\n{text}{compact.END}\nafter\n"


@pytest.mark.parametrize("text", ["", compact.BEGIN, f"{compact.END}\n{compact.BEGIN}", 2 * compact.BEGIN])
def test_a_file_without_the_marks_is_left_alone(text: str, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(text)
    with pytest.raises(ValueError, match="once each and in this order"):
        compact.put_between_marks(file, "table\n")
    assert file.read_text() == text


def test_a_peer_that_cannot_be_installed_is_left_out_loudly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise PeerMissing("no network")

    monkeypatch.setattr(py_libp2p, "ensure_installed", refuse)
    options = ["--rounds", "1", "--seconds", "0.02", "--rows", "ping", "--pairs", "mesh-mesh,mesh-py"]
    assert main([*options, "--peers", "py-libp2p"]) == 0
    said = capsys.readouterr()
    assert "LEFT OUT: all pairs with py-libp2p: no network" in said.err
    assert "mesh-mesh" in said.out
    assert "mesh-py" not in said.out
