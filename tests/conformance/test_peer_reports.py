"""Reports on peers: which verdicts vary, which failures repeat alone, and the table that a document has of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tools.conformance import __main__ as command
from tools.conformance import peers, summary
from tools.conformance.peers import ConformancePeer
from tools.interop_peers.building import PeerMissing

pytestmark = pytest.mark.timeout(120)

OURSELVES = (sys.executable, "-m", "tools.conformance.ourselves")
BROKEN = (sys.executable, "-m", "tools.conformance.changed", "noise-signature-unchecked")
CASES = ("noise/2.1", "noise/2.5")


def peer(*programs: tuple[str, ...]) -> ConformancePeer:
    """One that is another of these programs each time it is started."""
    turns: Iterator[tuple[str, ...]] = cycle(programs)
    return ConformancePeer("made-up", "Made up", lambda: list(next(turns)), suites=CASES)


def _missing() -> list[str]:
    raise PeerMissing("not to be had")


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[ConformancePeer]:
    """The peers that there are, their baselines in a folder of the test."""
    found: list[ConformancePeer] = []
    monkeypatch.setattr(command, "PEERS", found)
    monkeypatch.setattr(peers, "BASELINES", tmp_path)
    return found


def test_a_verdict_that_varies_over_runs_is_told(
    only: list[ConformancePeer], capsys: pytest.CaptureFixture[str]
) -> None:
    only.append(peer(OURSELVES, BROKEN))
    assert command.run(["--runs", "2"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("made-up: 2 runs of 2 cases, ")
    assert said.out.endswith(": 1 cases with several verdicts\n")
    assert "run 1 of 2" in said.err
    assert "noise/2.1: {'pass': 1, 'fail': 1}" in said.err
    assert "noise/2.5" not in said.err


def test_verdicts_that_hold_over_runs_end_well(
    only: list[ConformancePeer], capsys: pytest.CaptureFixture[str]
) -> None:
    only.append(peer(BROKEN))
    only.append(ConformancePeer("nowhere", "Nowhere", _missing))
    assert command.run(["--runs", "2"]) == 0
    said = capsys.readouterr()
    assert said.out.endswith(": 0 cases with several verdicts\n")
    assert "NOTHING IS REPORTED ON NOWHERE: not to be had" in said.err


def test_a_failure_that_does_not_repeat_alone_is_told(
    only: list[ConformancePeer], capsys: pytest.CaptureFixture[str]
) -> None:
    only.append(peer(BROKEN, BROKEN, OURSELVES))
    assert command.run(["--keep", "--to", str(peers.BASELINES / "reports")]) == 0
    assert command.run(["--alone"]) == 0
    assert "made-up: 1 of 1 failures repeated alone" in capsys.readouterr().out
    assert command.run(["--alone"]) == 1
    assert "made-up: 0 of 1 failures repeated alone\n  noise/2.1: pass" in capsys.readouterr().out


def test_reports_renew_the_table_of_a_document(
    only: list[ConformancePeer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only.append(peer(BROKEN))
    document = tmp_path / "document.md"
    old = [("Another", "1 of 2", "0", "0", "0", "9"), ("Made up", "2 of 2", "0", "0", "0", "1")]
    document.write_text(f"Before.\n\n{summary.table(old)}\n\nBehind.\n")
    assert command.run(["--to", str(tmp_path), "--table", str(document)]) == 0
    rows = document.read_text().splitlines()
    assert rows[:5] == ["Before.", "", *summary.table(old[:1]).splitlines()]
    assert rows[5].startswith("| Made up | 1 of 2 | 1: noise/2.1 | 0 | 0 | ")
    assert rows[6:] == ["", "Behind."]
    assert rows[5] in capsys.readouterr().out
    assert (tmp_path / "made-up.html").exists()
    assert '"fail"' in (tmp_path / "made-up.json").read_text()


def test_a_document_without_the_table_is_no_place_for_rows() -> None:
    with pytest.raises(ValueError, match="no table"):
        summary.renewed("# Something else\n", [("Made up", "", "", "", "", "")])


def test_failures_that_follow_each_other_are_named_as_a_range() -> None:
    names = ["tls/2.4", "kad/2.3", "kad/2.4", "kad/2.5", "quic/1.5", "quic/1.6", "quic/2.7"]
    assert list(summary.ranges(names)) == ["tls/2.4", "kad/2.3 to 2.5", "quic/1.5", "quic/1.6", "quic/2.7"]


def test_the_readme_has_a_row_of_each_peer_that_gets_all_cases() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    titles = [each.title for each in peers.PEERS if not each.suites]
    assert [title for title in titles if f"\n| {title} | " not in readme] == []
    assert summary.renewed(readme, []) == readme
