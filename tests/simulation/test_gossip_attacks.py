"""Attackers against scored routers: honest nodes keep delivering, and nobody honest is graylisted for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.simulation.gossip import run, simulate
from mesh.simulation.gossip_attackers import Attacker
from mesh.simulation.gossip_figures import delivery_of, standing_of
from mesh.simulation.gossip_parameters import THRESHOLDS, Attack, GossipParameters

SMALL = GossipParameters(peers=60, seconds=35, rate=4, drain_s=5)
BREAKERS = [Attack.SPAM, Attack.IHAVE, Attack.GRAFT]
"""Those that break rules, not only expectations."""

_found: dict[Attack, dict[str, Any]] = {}


def under(attack: Attack) -> dict[str, Any]:
    """The figures of a run, made once for all tests."""
    if attack not in _found:
        report = simulate(replace(SMALL, attack=attack))
        _found[attack] = {name: dict(section) for name, section in report.figures.items()}
    return _found[attack]


@pytest.mark.parametrize("attack", [each for each in Attack if each is not Attack.NONE])
def test_honest_nodes_keep_delivering(attack: Attack) -> None:
    found = under(attack)
    assert found["delivery"]["delivery_ratio"] > 0.99
    assert found["attackers"]["attackers"] > 0
    assert found["attackers"]["connections_to_honest_nodes"] > 0


@pytest.mark.parametrize("attack", [each for each in Attack if each is not Attack.NONE])
def test_nobody_honest_is_graylisted(attack: Attack) -> None:
    honest = under(attack)["honest_nodes"]
    assert honest["rpcs_ignored_for_a_graylisted_honest_sender"] == 0
    assert honest["graylisted_share"] == 0.0
    assert honest["lowest_score"] > THRESHOLDS.graylist


@pytest.mark.parametrize("attack", BREAKERS)
def test_who_breaks_rules_is_graylisted_and_out(attack: Attack) -> None:
    attackers = under(attack)["attackers"]
    assert attackers["highest_score"] < THRESHOLDS.graylist
    last = attackers["after_45_s"]
    assert last == {"share_of_mesh_places": 0.0, "graylisted_share": 1.0, "share_below_0": 1.0}
    assert attackers["mesh_places_at_the_end"] == 0


def test_sybils_lose_their_places() -> None:
    attackers = under(Attack.SYBIL)["attackers"]
    assert attackers["after_45_s"]["share_of_mesh_places"] < 0.01
    assert attackers["after_45_s"]["share_below_0"] > 0.95


def test_victims_of_an_eclipse_get_everything() -> None:
    found = under(Attack.ECLIPSE)
    assert found["delivery"]["victims"]["delivery_ratio"] > 0.99
    assert found["attackers"]["attackers"] == 45
    assert found["meshes"]["connections_a_node"]["max"] == 50


def test_without_scores_attackers_keep_their_places() -> None:
    """What the scores are good for."""
    network = run(replace(SMALL, attack=Attack.GRAFT, scores=False, seconds=10))
    standing = standing_of(network)
    assert standing.meshed > 0.1 * standing.places
    assert standing.scores == []
    assert all(node.scores is None for node in network.honest)


def test_spam_reaches_neighbours_only() -> None:
    network = run(replace(SMALL, attack=Attack.SPAM, seconds=5))
    for node in network.honest:
        counts = node.router.counts
        assert counts["rejected"] <= 10 * len(node.delays_ms)
        assert counts["delivered"] <= len(network.tally.courses)
    assert sum(node.router.counts["forged"] for node in network.honest) > 0
    assert delivery_of(network, network.honest, network.tally.courses).ratio == 1.0


def test_attackers_come_behind_the_honest() -> None:
    parameters = replace(SMALL, attack=Attack.SYBIL, seconds=1)
    network = run(parameters)
    assert [isinstance(each, Attacker) for each in network.members] == [False] * 60 + [True] * 30
    assert parameters.attacker_numbers == range(60, 90)
    addresses = [parameters.address_of(number) for number in range(90)]
    assert len(set(addresses[:60])) == 60
    assert set(addresses[60:]) == {"198.51.100.7"}
    eclipse = replace(SMALL, attack=Attack.ECLIPSE)
    assert len({eclipse.address_of(number) for number in eclipse.attacker_numbers}) == 45
