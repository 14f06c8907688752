"""Merging records: the same end in whatever order they come, and no room for floods."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.identity.peer_id import PeerId
from mesh.multiformats.multihash import digest
from mesh.protocols.beam.service_record import ServiceRecord
from mesh.protocols.beam.service_table import MAX_OF_PEER, MAX_OF_SERVICE, Merged, ServiceTable
from tests.protocols.beam.signers import NOW_MS, NOW_S, PEERS, service

POOL = [
    service(who, seq, withdrawn=gone) for who in range(3) for seq in range(1, 4) for gone in (False, True)
]


def unsigned(number: int, service_id: str = "a.local", who: PeerId | None = None) -> ServiceRecord:
    peer = who or PeerId.from_bytes(digest(number.to_bytes(4, "big")).to_bytes())
    return ServiceRecord(service_id, "tcp", peer, (), 3600, 1, NOW_MS)


def standing(table: ServiceTable) -> list[tuple[PeerId, int, bool]]:
    entries = [table.get("myapp.local", peer) for peer in PEERS]
    return [(each.record.peer_id, each.record.seq, each.record.withdrawn) for each in entries if each]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(POOL), max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_records_and_their_repetition_do_not_matter(
    records: list[ServiceRecord], chance: random.Random
) -> None:
    one, other = ServiceTable(), ServiceTable()
    for each in records:
        one.merge(each, NOW_S)
    again = records * 2
    chance.shuffle(again)
    for each in again:
        other.merge(each, NOW_S)
    assert standing(one) == standing(other)
    for peer in PEERS:
        most = max((each.seq for each in records if each.peer_id == peer), default=None)
        entry = one.get("myapp.local", peer)
        assert (entry.record.seq if entry else None) == most


@given(st.lists(st.sampled_from(POOL), max_size=20), st.lists(st.sampled_from(POOL), max_size=20))
def test_merging_two_tables_is_the_same_from_either_side(
    left: list[ServiceRecord], right: list[ServiceRecord]
) -> None:
    tables = []
    for first, second in ((left, right), (right, left)):
        table = ServiceTable()
        for each in (*first, *second):
            table.merge(each, NOW_S)
        tables.append(standing(table))
    assert tables[0] == tables[1]


def test_what_becomes_of_a_record() -> None:
    table = ServiceTable()
    assert table.merge(service(0, 2), NOW_S) is Merged.ADDED
    assert table.merge(service(0, 2), NOW_S + 5) is Merged.KNOWN
    assert table.merge(service(0, 1), NOW_S) is Merged.OLDER
    assert table.merge(service(0, 3), NOW_S) is Merged.UPDATED
    assert [each.record.seq for each in table.providers("myapp.local", NOW_S)] == [3]
    assert table.merge(service(0, 4, withdrawn=True), NOW_S) is Merged.WITHDRAWN
    assert table.providers("myapp.local", NOW_S) == []
    assert table.merge(service(0, 3), NOW_S) is Merged.OLDER, "a replayed record does not bring it back"
    assert table.merge(service(1, 1), NOW_S + 3600) is Merged.EXPIRED
    assert table.expire(NOW_S + 3600) == [service(0, 4, withdrawn=True)]
    assert len(table) == 0


def test_who_was_heard_of_last_comes_first() -> None:
    table = ServiceTable()
    for who in range(3):
        table.merge(service(who), NOW_S)
    table.heard(PEERS[1], ("myapp.local", "other.local"), NOW_S + 9)
    assert table.providers("myapp.local", NOW_S)[0].record.peer_id == PEERS[1]
    assert next(each.record.peer_id for each in table.offered(NOW_S)) == PEERS[1]


def test_floods_find_no_room_and_push_nobody_out() -> None:
    table = ServiceTable()
    table.merge(service(0), NOW_S)
    peer = PEERS[1]
    taken = [table.merge(unsigned(0, f"s{number}.local", peer), NOW_S) for number in range(MAX_OF_PEER + 5)]
    assert taken.count(Merged.ADDED) == MAX_OF_PEER
    assert taken[-1] is Merged.NO_ROOM
    taken = [table.merge(unsigned(number), NOW_S) for number in range(MAX_OF_SERVICE + 5)]
    assert taken.count(Merged.ADDED) == MAX_OF_SERVICE
    assert table.providers("myapp.local", NOW_S)[0].record == service(0)


def test_what_is_wanted_takes_the_room_of_what_was_only_heard() -> None:
    table = ServiceTable()
    for number in range(MAX_OF_SERVICE):
        table.merge(unsigned(number, "myapp.local"), NOW_S)
    assert table.merge(service(0), NOW_S) is Merged.NO_ROOM
    assert table.merge(service(0), NOW_S, wanted=True) is Merged.ADDED
    assert table.merge(service(1), NOW_S, wanted=True) is Merged.ADDED
    offered = {each.record.peer_id for each in table.providers("myapp.local", NOW_S)}
    assert {PEERS[0], PEERS[1]} < offered
    assert len(offered) == MAX_OF_SERVICE


def test_nothing_takes_the_room_of_what_is_wanted() -> None:
    table = ServiceTable()
    for number in range(MAX_OF_SERVICE):
        table.merge(unsigned(number), NOW_S, wanted=True)
    assert table.merge(unsigned(MAX_OF_SERVICE), NOW_S, wanted=True) is Merged.NO_ROOM
    assert len(table) == MAX_OF_SERVICE
    table.expire(NOW_S + 3600)
    assert len(table) == 0


def test_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = service(0), service(1, metadata={"text": "x" * 2000})
    monkeypatch.setattr("mesh.protocols.beam.service_table.MAX_BYTES", len(large.envelope) + 10)
    table = ServiceTable()
    assert table.merge(large, NOW_S) is Merged.ADDED
    assert table.merge(small, NOW_S) is Merged.NO_ROOM
    assert table.merge(small, NOW_S, wanted=True) is Merged.ADDED
    assert len(table) == 1
