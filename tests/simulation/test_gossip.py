"""Networks of real routers: what arrives, over how many hops, with loss, churn and partitions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mesh.protocols.gossip import Router
from mesh.simulation.gossip import run, simulate
from mesh.simulation.gossip_figures import delivery_of
from mesh.simulation.gossip_network import GossipNetwork
from mesh.simulation.gossip_parameters import TOPIC, GossipParameters

SMALL = GossipParameters(peers=60, seconds=10, rate=2)


def delivered(network: GossipNetwork) -> float:
    return delivery_of(network, network.honest, network.tally.courses).ratio


def figures(parameters: GossipParameters) -> dict[str, Any]:
    return {name: dict(section) for name, section in simulate(parameters).figures.items()}


@pytest.fixture(scope="module")
def thousand() -> dict[str, Any]:
    return figures(GossipParameters(peers=1000, seconds=8))


@pytest.fixture(scope="module")
def small() -> GossipNetwork:
    return run(SMALL)


def test_a_thousand_nodes_get_everything(thousand: dict[str, Any]) -> None:
    assert thousand["delivery"]["messages"] == 8
    assert thousand["delivery"]["delivery_ratio"] == 1.0
    assert thousand["delivery"]["deliveries_due"] == 8 * 999
    assert thousand["hops"]["median"] <= 6
    assert thousand["hops"]["max"] <= 12
    assert thousand["meshes"]["least_neighbours"] >= 4
    assert thousand["traffic"]["duplicates_a_delivery"] < 8


def test_a_thousand_nodes_have_the_connections_they_should(thousand: dict[str, Any]) -> None:
    connections = thousand["meshes"]["connections_a_node"]
    assert 20 <= connections["median"] <= connections["max"] <= 30


def test_twenty_seeds_lose_nothing() -> None:
    found = figures(replace(SMALL, seconds=4, seeds=20))["all_seeds"]
    assert found["seeds"] == 20
    assert found["seeds_with_every_delivery"] == 20
    assert found["messages"] == 160
    assert found["least_delivery_ratio"] == 1.0


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_nodes_and_a_hundred_seeds() -> None:
    found = figures(GossipParameters(peers=1000, seconds=10, seeds=100))["all_seeds"]
    assert found["seeds_with_every_delivery"] == 100


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("loss", "least"), [(0.0, 1.0), (0.05, 0.999)])
def test_ten_thousand_nodes(loss: float, least: float) -> None:
    found = figures(GossipParameters(peers=10_000, seconds=20, loss=loss))
    assert found["delivery"]["delivery_ratio"] >= least
    assert found["hops"]["median"] <= 8


def test_lost_messages_come_by_other_ways() -> None:
    network = run(replace(SMALL, peers=150, loss=0.05))
    assert network.streams.lost > 0.03 * network.streams.sent
    assert delivered(network) > 0.999


def test_heavy_loss_is_seen() -> None:
    """So that the delivery ratio is no constant: half of all RPCs lost, and too few connections."""
    network = run(replace(SMALL, loss=0.5, least=1, most=3))
    assert delivered(network) < 1.0


def test_who_stays_gets_everything_while_others_come_and_go() -> None:
    network = run(replace(SMALL, peers=100, churn=0.9, seconds=20))
    assert network.departures == 30
    assert sum(node.up for node in network.honest) == 100
    assert len(network.honest) == 130
    assert delivered(network) == 1.0
    newcomers = network.honest[100:]
    assert delivery_of(network, newcomers, network.tally.courses).pairs > 0
    gone = {node.number for node in network.honest if not node.up}
    assert not any(peer in gone for node in network.honest if node.up for peer in node.router.mesh(TOPIC))
    for node in network.honest:
        assert not node.up or len(node.delays_ms) <= 30


def test_a_partition_heals() -> None:
    found = figures(replace(SMALL, peers=100, seconds=30, partition_s=12))
    told = found["delivery"]
    for phase in ("before_the_cut", "during_the_cut", "after_the_cut"):
        assert told[phase]["messages"] > 10
        assert told[phase]["delivery_ratio"] == 1.0
    assert told["during_the_cut"]["deliveries_due"] < 0.7 * told["before_the_cut"]["deliveries_due"]
    assert told["share_of_the_other_side_that_got_messages_of_the_cut"] < 0.5
    assert found["traffic"]["rpcs_cut"] > 0
    assert found["meshes"]["connections_a_node"]["median"] >= 20, "connections are set up again"


def test_nothing_crosses_a_cut() -> None:
    network = run(replace(SMALL, seconds=30, partition_s=12))
    begin, end = network.parameters.cut_ms or (0, 0)
    side = network.side
    inside = [each for each in network.tally.courses if begin < each.published_ms < end - 6000]
    assert inside
    for course in inside:
        for node in network.honest:
            if side[node.number] != side[course.author]:
                assert not course.hops[node.number]
            else:
                assert course.hops[node.number]


def test_no_message_is_faster_than_the_shortest_way(small: GossipNetwork) -> None:
    """Hops and milliseconds are bounded from below by the graph of connections."""
    hops, delays = shortest(small, False), shortest(small, True)
    for course in small.tally.courses:
        for node in small.honest:
            assert course.hops[node.number] - 1 >= hops[course.author][node.number]
            assert course.after_ms[node.number] >= delays[course.author][node.number]
    assert max(max(course.hops) for course in small.tally.courses) > 2


def shortest(network: GossipNetwork, in_ms: bool) -> list[list[int]]:
    """Ways between all pairs (Floyd and Warshall)."""
    size = len(network.honest)
    ways = [[0 if a == b else 10**9 for b in range(size)] for a in range(size)]
    for node in network.honest:
        for peer, delay_ms in node.delays_ms.items():
            ways[node.number][peer] = delay_ms if in_ms else 1
    for between in range(size):
        row = ways[between]
        for way in ways:
            first = way[between]
            for to in range(size):
                if first + row[to] < way[to]:
                    way[to] = first + row[to]
    return ways


def test_payload_is_what_was_passed_on(small: GossipNetwork) -> None:
    def count(name: str) -> int:
        return sum(node.router.counts[name] for node in small.honest)

    copies = count("forwarded") + count("answered")
    assert count("duplicates") + count("delivered") == copies, "nothing is lost, all that is sent arrives"
    course_bytes = 2 + 40 + 203 + 10 + 11 + 66
    assert 0.9 < small.streams.payload / (copies * course_bytes) < 1.1
    assert small.streams.gossip > 0


def test_connections_are_mutual_and_dialled_by_one(small: GossipNetwork) -> None:
    for node in small.honest:
        for peer in node.delays_ms:
            other = small.honest[peer]
            assert other.delays_ms[node.number] == node.delays_ms[peer]
            assert (peer in node.outbound) != (node.number in other.outbound)


def test_nodes_are_routers(small: GossipNetwork) -> None:
    assert all(isinstance(node.router, Router) and node.scores is None for node in small.honest)


def test_a_run_is_reproducible() -> None:
    parameters = replace(SMALL, peers=40, churn=0.5, loss=0.02, partition_s=3, scores=True)
    once, again = simulate(parameters), simulate(parameters)
    assert json.dumps(once.reproducible()) == json.dumps(again.reproducible())
    assert simulate(replace(parameters, seed=2)).figures != once.figures
