"""A thousand nodes and one rumour: twenty seeds here, a thousand in the long run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mesh.errors import UsageError
from mesh.simulation.push_gossip import PushNetwork, PushParameters, run
from mesh.simulation.seeds_report import SeedsReport

SMALL = PushParameters(peers=60, seeds=5)


@pytest.fixture(scope="module")
def twenty_seeds() -> SeedsReport:
    return run(PushParameters(seeds=20))


def check(report: SeedsReport, seeds: int) -> None:
    plain: Any = report.figures["push_alone"]
    assert plain["mean_reach_after_each_round"][4] >= 0.985
    assert plain["mean_reach_after_each_round"][5] >= 0.995
    assert plain["rumours_given_on_request_a_node"]["max"] == 0
    repaired: Any = report.figures["push_with_repair"]
    assert repaired["seeds_complete_after_each_round"][7] >= 0.99 * seeds
    for section in (plain, repaired):
        assert section["copies_a_node_in_8_rounds"]["max"] <= 6, "each node passes it on once"


def test_a_thousand_nodes(twenty_seeds: SeedsReport) -> None:
    check(twenty_seeds, 20)


def test_rounds_grow_as_the_fanout_says(twenty_seeds: SeedsReport) -> None:
    plain: Any = twenty_seeds.figures["push_alone"]
    reach = plain["mean_reach_after_each_round"]
    assert reach[0] == 0.007
    assert 0.038 < reach[1] <= 0.043
    assert reach == sorted(reach)
    assert plain["least_reach_after_each_round"][7] > 0.99


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_thousand_seeds() -> None:
    check(run(PushParameters(seeds=1000)), 1000)


def test_without_enough_hops_a_rumour_stays_near() -> None:
    report = run(replace(SMALL, peers=400, seeds=3, hops=2))
    plain: Any = report.figures["push_alone"]
    assert plain["mean_reach_after_each_round"][7] == plain["mean_reach_after_each_round"][1]
    assert plain["mean_reach_after_each_round"][7] <= 43 / 400


def test_repair_alone_reaches_everyone() -> None:
    """With one copy a node push mostly comes back to who knows; digests do the rest."""
    report = run(replace(SMALL, fanout=1, seeds=3))
    assert report.figures["push_alone"]["seeds_complete"] == 0
    assert report.figures["push_with_repair"]["seeds_complete"] == 3


def test_a_run_is_reproducible() -> None:
    once, again = run(SMALL), run(SMALL)
    assert json.dumps(once.reproducible()) == json.dumps(again.reproducible())
    assert run(replace(SMALL, seed=2)).figures != once.figures


def test_progress_and_report() -> None:
    told: list[str] = []
    report = run(replace(SMALL, peers=5, seeds=100), told.append)
    assert told == ["100 of 100 seeds"]
    assert report.command == (
        "mesh simulate push --peers 5 --seed 1 --seeds 100 --fanout 6 --hops 8 --repair-fanout 1"
    )
    assert json.loads(report.to_json())["figures"]["push_alone"]["seeds_complete"] == 100
    assert "| seeds complete | 100 |" in report.to_markdown()
    words = list(report.lines())
    assert words[0] == "Push gossip among 5 nodes, 100 seeds from 1"
    assert "  seeds complete: 100" in words


def test_parameters_that_cannot_be() -> None:
    with pytest.raises(UsageError):
        PushParameters(peers=1)
    with pytest.raises(UsageError):
        PushParameters(seeds=0)
    with pytest.raises(UsageError, match="ANNOUNCE"):
        run(PushParameters(fanout=0))


def test_messages_are_counted() -> None:
    """Two nodes: the copy, a digest from each every round, and nothing to ask for."""
    network = PushNetwork(SMALL.settings(), [[1], [0]], 1, repair=True)
    network.start(0)
    network.round()
    assert network.heard == 2
    network.round()
    network.round()
    assert network.count("passed_on") == 1
    assert network.count("given") == 0
