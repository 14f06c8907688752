"""The compact engine: its tables are Kademlia's, its lookups agree with full nodes."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from typing import Any

import pytest

from mesh.errors import UsageError
from mesh.protocols.kademlia import key_of
from mesh.simulation.compact_dht import CompactDht
from mesh.simulation.compact_tables import BITS, CompactTables
from mesh.simulation.dht import simulate
from mesh.simulation.dht_network import DhtNetwork
from mesh.simulation.dht_parameters import DhtParameters, name_of

pytest.importorskip("numpy")

PARAMETERS = DhtParameters(peers=3000, lookups=300, churn=0.2)


@pytest.fixture(scope="module")
def tables() -> CompactTables:
    return CompactTables(PARAMETERS, stale=0.02)


def bucket_of(tables: CompactTables, owner: int, peer: int) -> int:
    return BITS - (tables.integers[owner] ^ tables.integers[peer]).bit_length()


def test_buckets_have_k_members_or_all(tables: CompactTables) -> None:
    assert tables.peers == 3120
    assert sum(not tables.alive(peer) for peer in range(tables.peers)) == 120
    for owner in range(0, tables.peers, 97):
        members = tables.members(owner)
        assert owner not in members
        assert len(set(members)) == len(members)
        for level in range(BITS):
            there = [
                peer
                for peer in range(tables.peers)
                if peer != owner and bucket_of(tables, owner, peer) == level and tables.alive(peer)
            ]
            chosen = [peer for peer in members if bucket_of(tables, owner, peer) == level]
            alive = [peer for peer in chosen if tables.alive(peer)]
            if len(there) <= 15:
                assert sorted(alive) == there
            assert len(chosen) <= 20
            if len(there) > 40:
                assert len(alive) >= 14


def test_who_came_early_is_known_to_more(tables: CompactTables) -> None:
    """As with full nodes: members are those who were there when a table was made."""
    places = {key: place for place, key in enumerate(tables.integers)}
    number_of = {
        places[key_of(name_of(PARAMETERS.seed, number)) >> 192]: number for number in range(PARAMETERS.peers)
    }
    known = dict.fromkeys(range(PARAMETERS.peers), 0)
    for owner in range(0, tables.peers, 3):
        for peer in tables.members(owner):
            if peer in number_of:
                known[number_of[peer]] += 1
    early, late = (sum(known[number] for number in part) for part in (range(300), range(2700, 3000)))
    assert early > 3 * late > 0


def test_answers_are_the_closest_of_the_table(tables: CompactTables) -> None:
    draw = random.Random(4)
    for _ in range(200):
        owner, target = draw.randrange(tables.peers), draw.getrandbits(64)
        if draw.random() < 0.5:
            target = tables.integers[owner] ^ draw.getrandbits(draw.randrange(64))
        asker = draw.randrange(tables.peers)
        members = [peer for peer in tables.members(owner) if peer != asker]
        expected = sorted(members, key=lambda peer: tables.integers[peer] ^ target)[:20]
        answer = tables.closest(owner, target, asker)
        assert [each.peer for each in answer] == expected
        assert all(each.key == tables.integers[each.peer] for each in answer)
        for peer in expected:
            assert tables.knows(owner, peer)


def test_the_true_answer(tables: CompactTables) -> None:
    draw = random.Random(5)
    there = [peer for peer in range(tables.peers) if tables.alive(peer) and peer != 9]
    for _ in range(50):
        target = draw.getrandbits(64)
        expected = sorted(there, key=lambda peer: tables.integers[peer] ^ target)[:20]
        assert tables.nearest(target, 20, 9) == expected


def test_keys_are_those_of_the_full_nodes(tables: CompactTables) -> None:
    network = DhtNetwork(DhtParameters(peers=8, bootstrap_peers=1, settle_s=1))
    network.build()
    assert {node.key >> 192 for node in network.nodes.values()} <= set(tables.integers)


def test_lookups_find_the_nearest() -> None:
    tally = CompactDht(PARAMETERS).run()
    assert tally.success > 0.99
    assert 1 <= max(tally.hops) <= 8
    assert len(tally.warm_ms) + len(tally.cold_ms) == 300
    assert sum(tally.cold_ms) / len(tally.cold_ms) > sum(tally.warm_ms) / len(tally.warm_ms)


def test_a_run_is_reproducible() -> None:
    small = replace(PARAMETERS, lookups=30)
    once, again = (simulate(small, "compact") for _ in range(2))
    assert json.dumps(once.reproducible()) == json.dumps(again.reproducible())
    assert simulate(replace(small, seed=5), "compact").figures != once.figures


def test_both_engines_agree_roughly_on_a_small_network() -> None:
    parameters = DhtParameters(
        peers=200, lookups=400, minutes=3, churn=0.5, loss=0.01, settle_s=60, join_interval_ms=50
    )
    report = simulate(parameters, "nodes", comparison=True)
    for row in report.comparison:
        assert abs(float(str(row["difference"]))) < 0.1, row


def test_without_numpy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(UsageError, match=r"mesh\[sim\]"):
        simulate(PARAMETERS, "compact")
    with pytest.raises(UsageError, match=r"mesh\[sim\]"):
        simulate(DhtParameters(peers=50), "nodes", comparison=True)


def test_cold_networks_need_a_share_of_stale_entries() -> None:
    with pytest.raises(UsageError, match="stale"):
        CompactTables(replace(PARAMETERS, keep_warm=False))


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_both_engines_agree_within_five_percent(loss: float) -> None:
    """1,000 peers, 20 % churn an hour."""
    report = simulate(DhtParameters(loss=loss, lookups=2000), "nodes", comparison=True)
    assert report.comparison
    assert all(row["agrees"] for row in report.comparison), report.comparison


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_million_peers() -> None:
    report = simulate(DhtParameters(peers=1_000_000, lookups=10_000), "compact")
    lookups: Any = report.figures["lookups"]
    assert lookups["success"] > 0.99
    assert lookups["hops"]["p99"] <= 20
    assert report.machine.peak_memory_mib < 16 * 1024
    assert report.machine.seconds < 600
