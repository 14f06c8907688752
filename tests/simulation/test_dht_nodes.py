"""Full nodes in virtual time: a few hundred of them quickly, many seeds, and a thousand with the targets (long)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from mesh.errors import UsageError
from mesh.simulation.dht import simulate
from mesh.simulation.dht_network import DhtNetwork
from mesh.simulation.dht_nodes import DhtNode, Request
from mesh.simulation.dht_parameters import DhtParameters
from mesh.simulation.dht_search import Search
from mesh.simulation.dht_workload import Workload

QUICK = DhtParameters(peers=100, lookups=80, minutes=3, churn=1.0, settle_s=60, join_interval_ms=50)


def figures(parameters: DhtParameters) -> Any:
    return simulate(parameters, "nodes").figures


@pytest.mark.parametrize("seed", range(1, 21))
def test_twenty_seeds(seed: int) -> None:
    """A hundred nodes of which each leaves within the hour; for every other seed one message in 200 is lost."""
    loss = 0.005 * (seed % 2)
    found = figures(replace(QUICK, seed=seed, loss=loss))
    assert found["lookups"]["success"] >= (0.94 if loss else 0.98)
    assert found["lookups"]["recall_of_k_closest"] > 0.95
    assert found["lookups"]["hops"]["max"] <= 6
    assert found["registrations"]["success"] >= 0.95
    assert found["discoveries"]["success"] >= 0.97
    assert found["discoveries"]["warm_ms"]["median"] < 1000
    assert found["registrations"]["warm_ms"]["median"] < 500
    assert found["joins_s"]["max"] < 10
    assert found["joins_of_the_build_s"]["samples"] >= 99
    assert found["network"]["nodes"] == 100
    assert found["network"]["departures"] == 5


def test_a_few_hundred_nodes() -> None:
    found = figures(replace(QUICK, peers=300, lookups=200, churn=0.2))
    assert found["lookups"]["success"] > 0.99
    assert found["registrations"]["warm_ms"]["median"] < 500
    assert found["discoveries"]["success"] == 1
    assert 50 < found["network"]["table_members_mean"] < 120


def test_a_run_is_reproducible() -> None:
    small = replace(QUICK, peers=40, lookups=40)
    once, again = simulate(small, "nodes"), simulate(small, "nodes")
    assert json.dumps(once.reproducible()) == json.dumps(again.reproducible())
    assert simulate(replace(small, seed=2), "nodes").figures != once.figures


def test_a_partition_and_its_end() -> None:
    """Each half goes on by itself; when they meet again lookups cross the border."""
    network = DhtNetwork(DhtParameters(peers=100, churn=0, settle_s=60, join_interval_ms=50))
    network.build()
    network.links.partition(range(50))
    assert network.links.connected(3, 4)
    assert share_found(network) < 0.8
    network.links.heal()
    network.world.run(network.world.now_ms + 900_000)
    assert share_found(network) > 0.97


def share_found(network: DhtNetwork) -> float:
    """How many of a few dozen lookups find the peer they look for."""
    draw = network.world.random("asks")
    found: list[bool] = []

    def look_up(node: DhtNode, wanted: DhtNode) -> None:
        def ended(search: Search) -> None:
            found.append(wanted.number in [each.peer for each in search.lookup.result().closest])

        settings = network.parameters.lookup_settings()
        Search(network.world, network.exchanges, node, wanted.key, settings, ended).start()

    asked = 60
    for _ in range(asked):
        node, wanted = network.member(draw.randrange), network.member(draw.randrange)
        if node is not wanted:
            look_up(node, wanted)
        else:
            found.append(True)
    network.world.run(network.world.now_ms + 70_000)
    return sum(found) / asked


def test_the_true_answer_is_the_true_answer() -> None:
    network = DhtNetwork(DhtParameters(peers=60, churn=0, settle_s=30, join_interval_ms=20))
    network.build()
    draw = network.world.random("targets")
    for _ in range(50):
        target = draw.getrandbits(256)
        expected = sorted(network.nodes, key=lambda number: network.nodes[number].key ^ target)
        expected.remove(7)
        assert network.nearest(target, 5, 7) == expected[:5]
        assert network.nearest(target, 100, 7) == expected


def test_a_departure_is_noticed_over_kept_connections_only() -> None:
    shares = []
    for keep_warm in (True, False):
        network = DhtNetwork(
            DhtParameters(peers=60, churn=0, settle_s=60, join_interval_ms=20, keep_warm=keep_warm)
        )
        network.build()
        assert network.stale_share() == 0
        network.leave(30)
        assert network.stale_share() > 0.005
        network.world.run(network.world.now_ms + 45_000)
        shares.append(network.stale_share())
    assert shares[0] == 0
    assert shares[1] > 0


def test_cold_operations_take_the_set_up_longer() -> None:
    network = DhtNetwork(QUICK)
    network.build()
    workload = Workload(network)
    workload.run()
    for tally in (workload.lookups, workload.registrations, workload.discoveries):
        assert min(tally.cold_ms) > 150
        assert sum(tally.cold_ms) / len(tally.cold_ms) > sum(tally.warm_ms) / len(tally.warm_ms)
    assert sum(network.exchanges.counts[each.value] for each in Request) >= network.exchanges.counts["answer"]


def test_registrations_expire() -> None:
    node = DhtNode(DhtParameters(ttl_s=10), 1, 0.0)
    other = DhtNode(DhtParameters(), 2, 0.0)
    node.serve(Request.PUT, 5, other.candidate, 1000)
    assert node.serve(Request.GET, 5, other.candidate, 2000).owners == (2,)
    assert node.owners(5, 11_000) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"peers": 2},
        {"alpha": 0},
        {"loss": 0.9},
        {"churn": -1},
        {"beta": 30},
        {"minutes": float("nan")},
        {"spread": 2},
        {"bootstrap_peers": 1000},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        DhtParameters(**wrong)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_thousand_nodes_reach_the_targets() -> None:
    """20 % churn an hour, round trips of 50 ms."""
    found = figures(DhtParameters(peers=1000, churn=0.2, latency_ms=50))
    assert found["lookups"]["success"] > 0.99
    assert found["discoveries"]["success"] > 0.99
    assert found["discoveries"]["warm_ms"]["median"] < 1000
    assert found["discoveries"]["warm_ms"]["p99"] < 2000
    assert found["registrations"]["success"] > 0.99
    assert found["registrations"]["warm_ms"]["median"] < 500
    assert found["joins_s"]["p99"] < 10
    assert found["joins_of_the_build_s"]["p99"] < 10
