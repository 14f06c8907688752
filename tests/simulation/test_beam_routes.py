"""Beam's routes among attackers, in virtual time: honest nodes reach each other, each kind is refused and counted."""

from __future__ import annotations

import json

import pytest

from mesh.errors import UsageError
from mesh.simulation.beam import BeamParameters, run
from mesh.simulation.beam_attacks import LEAST_SUCCESS, lines, routing
from mesh.simulation.beam_failover import failovers, route_calculation
from mesh.simulation.beam_hostile import KINDS
from mesh.simulation.beam_nodes import HONEST
from mesh.simulation.beam_routing import RoutingParameters


def check(figures: dict) -> None:  # type: ignore[type-arg]
    """Success among attackers, and what became of those."""
    runs = list(figures["runs"].values())
    honest = sum(run["uses"] * run["success"] for run in runs if run["attackers"])
    assert honest / sum(run["uses"] for run in runs if run["attackers"]) > LEAST_SUCCESS
    assert all(run["success"] > LEAST_SUCCESS for run in runs if not run["attackers"])
    kinds = figures["kinds"]
    assert set(kinds) == {each.kind for each in KINDS} | {HONEST}
    assert kinds["black hole"]["blamed"]["times"] > 0
    assert kinds["false updates"]["refused"]["forged"] > 0
    assert kinds["false updates"]["refused"]["stale"] > 0
    assert kinds["false updates"]["alerts"]["bad-records"] > 0
    assert kinds["route loops"]["refused"]["route that leads back"] > 0
    assert kinds["hoarders"]["refused"]["chain too many"] > 0
    assert kinds["hoarders"]["refused"]["reservation too many"] > 0
    assert kinds["hoarders"]["alerts"]["chain-hoarding"] > 0
    assert kinds["gossip floods"]["refused"]["said too much"] > 0
    assert kinds["gossip floods"]["alerts"]["gossip-flood"] > 0
    assert kinds[HONEST]["alerts"] == {}, "nobody is taken for an attacker"


@pytest.mark.parametrize("seed", [1, 2])
def test_honest_nodes_reach_each_other_among_attackers(seed: int) -> None:
    figures = routing(RoutingParameters(peers=50, minutes=0.5, uses=40, dials=10, seed=seed), 1, print)
    check(figures)
    shown = list(lines(figures))
    assert sum(each.startswith("| seed") for each in shown) == 2
    assert [each.split(" | ")[0].removeprefix("| ") for each in shown[-6:]] == [
        *(k.kind for k in KINDS),
        HONEST,
    ]


@pytest.mark.long
@pytest.mark.parametrize("seed", [11, 21, 31, 41])
def test_the_same_with_more_nodes_and_seeds(seed: int) -> None:
    check(routing(RoutingParameters(peers=100, minutes=1.0, uses=150, seed=seed), 3, print))


def test_a_download_goes_on_after_its_path_failed() -> None:
    found = failovers(1, 8, 50.0)
    assert found["closed_ms"]["samples"] == found["silent_ms"]["samples"] == 8
    assert 0 < found["closed_ms"]["max"] < 1000
    assert 3000 < found["silent_ms"]["median"] <= found["silent_ms"]["max"] < 5000


def test_a_thousand_routes_are_ranked() -> None:
    ticks = iter(range(100))
    found = route_calculation(1, lambda: next(ticks) / 1000)
    assert found["routes"] >= 1000
    assert found["median_ms"] == 1.0


def test_the_report_has_them_and_the_same_seed_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.simulation.beam.FAILOVERS", 2)
    tiny = BeamParameters(peers=24, operations=8, minutes=0.1, routers=40, uses=8)
    done = run(tiny, clock=lambda: 0.0)
    assert done.routes["routing"] == routing(tiny.of_routes(), 1, print, lambda: 0.0)
    text = done.to_markdown()
    assert "--routers 40 --uses 8 --seeds 1" in text
    assert "| failover when a path falls silent | < 5 s |" in text
    assert "| ranking 1," in text
    assert "links heard of in the last network | < 100 ms | 0.00 ms |" in text
    assert "| connections of a node | 25-50 |" in text
    assert json.loads(done.to_json())["routes"] == done.routes


def test_few_nodes_make_no_sense() -> None:
    with pytest.raises(UsageError):
        RoutingParameters(peers=10)
    with pytest.raises(UsageError, match="10 peers"):
        BeamParameters(routers=10)
