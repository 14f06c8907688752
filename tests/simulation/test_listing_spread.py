"""A listing reaches a second node within 2 s and 100 nodes within 10 s of virtual time, whatever brings it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.console.application import run as run_command
from mesh.errors import UsageError
from mesh.simulation.listing_spread import SpreadParameters, run, run_seed

HUNDRED = SpreadParameters(nodes=100, listings=3)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "by the mapping alone"])
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_hundred_nodes(seed: int, announced: bool) -> None:
    for reached in run_seed(replace(HUNDRED, announced=announced), seed):
        assert reached.second_s is not None
        assert reached.second_s < 2
        assert reached.all_s is not None
        assert reached.all_s < 10


def test_a_seed_is_a_run() -> None:
    few = SpreadParameters(nodes=10, seeds=2, listings=2, dials=2, loss=0.3)
    assert run_seed(few, 1) == run_seed(few, 1) != run_seed(few, 2)
    assert run(few).reproducible() == run(few).reproducible()


def test_nodes_that_are_cut_off_never_know() -> None:
    """The measure can fail: with all messages lost but a few, listings do not get everywhere in time."""
    lossy = SpreadParameters(nodes=30, listings=1, dials=1, loss=0.95)
    assert any(each.all_s is None or each.all_s > 10 for seed in range(3) for each in run_seed(lossy, seed))


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    few = ["--nodes", "10", "--seeds", "2", "--listings", "2", "--dials", "3", "--report", str(report)]
    assert run_command(["simulate", "listings", *few]) == 0
    assert "10 nodes of the marketplace, 2 seeds from 1" in capsys.readouterr().out
    found = json.loads(report.read_text())["figures"]["listings"]
    assert found["listed"] == found["known_everywhere"] == 4
    with pytest.raises(UsageError):
        SpreadParameters(nodes=1)
