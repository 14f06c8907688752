"""A hundred replicas through loss, partitions, duplicates and crashes: a few seeds here, a thousand in the long run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import UsageError
from mesh.simulation.crdt import CrdtParameters, run
from mesh.simulation.seeds_report import SeedsReport

SMALL = CrdtParameters(replicas=12, seeds=8, changes=60)


def check(report: SeedsReport, seeds: int) -> None:
    found: Any = report.figures["convergence"]
    assert found["seeds_converged"] == seeds
    assert found["seeds_that_did_not"] == []
    assert found["acknowledged_changes_missing"] == 0


def test_small_networks() -> None:
    report = run(SMALL)
    check(report, 8)
    trouble: Any = report.figures["trouble"]
    assert min(trouble["messages_lost"], trouble["crashes"]) > 0


def test_a_hundred_replicas() -> None:
    check(run(CrdtParameters(seeds=2)), 2)


def test_a_branch_given_up_and_followed_again() -> None:
    check(run(CrdtParameters(seed=834, seeds=1)), 1)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_thousand_seeds() -> None:
    check(run(CrdtParameters(seeds=1000)), 1000)


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = run(SMALL), run(SMALL)
    assert first.reproducible() == second.reproducible()
    assert json.loads(first.to_json())["experiment"] == "crdt"
    assert first.command.startswith("mesh simulate crdt --replicas 12 --seed 1 --seeds 8 ")
    assert "| acknowledged changes missing | 0 |" in first.to_markdown()


@pytest.mark.parametrize("wrong", [{"replicas": 1}, {"seeds": 0}, {"loss": 1.0}, {"crashes": 1.1}])
def test_what_cannot_be_simulated(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        CrdtParameters(**wrong)
