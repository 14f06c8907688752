"""Storing at the k closest: when to connect, when to store, what counts."""

from __future__ import annotations

import pytest

from mesh.errors import UsageError
from mesh.protocols.kademlia import Candidate, Lookup, LookupSettings, RoundTrips, RoutingTable, TableSettings
from mesh.protocols.kademlia.placement import Placement
from mesh.protocols.kademlia.quorum import Outcome

TARGET = 0
FAR = 2**250


def peers(*distances: int) -> list[Candidate[int]]:
    return [Candidate(each, TARGET ^ each) for each in distances]


def lookup(seeds: list[Candidate[int]], alpha: int = 3) -> Lookup[int]:
    settings = LookupSettings(alpha=alpha, beta=2, k=4, follow_up=False)
    return Lookup(TARGET, seeds, settings, RoundTrips(), 0.0)


def test_connects_when_the_nearest_lie_as_close_as_peers_do() -> None:
    search = lookup(peers(FAR, FAR + 1, FAR + 2, FAR + 3))
    placement = Placement(search, reach=1000, count=4)
    assert placement.connections() == []
    assert search.requests() == [FAR, FAR + 1, FAR + 2]
    search.answered(FAR, peers(10, 20, 30, 2001), 0.1)
    assert placement.connections() == []
    search.answered(FAR + 1, peers(40), 0.1)
    assert placement.connections() == [10, 20, 30, 40]
    assert placement.connections() == []
    search.answered(FAR + 2, peers(5), 0.1)
    assert placement.connections() == [5]
    assert placement.stores() == []
    assert placement.acknowledgements.asked == 0


def test_stores_once_at_all_that_are_nearest() -> None:
    search = lookup(peers(10, 20, 30, 40, 50), alpha=2)
    placement = Placement(search, reach=1000, count=4)
    assert search.requests() == [10, 20]
    search.answered(10, peers(15), 0.1)
    assert search.requests() == [15]
    search.failed(20, 0.1)
    assert search.requests() == [], "two of the nearest two are asked"
    search.answered(15, [], 0.2)
    assert search.finished
    assert placement.connections() == []
    assert placement.stores() == [10, 15, 30, 40]
    assert placement.stores() == []
    assert placement.stored() is Outcome.OPEN
    assert placement.refused() is Outcome.OPEN
    assert placement.stored() is Outcome.OPEN
    assert placement.stored() is Outcome.REACHED
    with pytest.raises(UsageError):
        placement.refused()


def test_a_small_network_is_stored_at_whole() -> None:
    search = lookup(peers(10, 20))
    placement = Placement(search, reach=2**256 - 1, count=4)
    assert placement.connections() == [10, 20]
    for peer in search.requests():
        search.answered(peer, [], 0.1)
    assert search.finished
    assert placement.stores() == [10, 20]
    assert placement.stored() is Outcome.OPEN
    assert placement.stored() is Outcome.REACHED


def test_with_nobody_there_the_quorum_is_missed() -> None:
    search = lookup([])
    placement = Placement(search, reach=2**256 - 1, count=4)
    assert search.finished
    assert placement.stores() == []
    assert placement.acknowledgements.outcome is Outcome.MISSED


def test_a_quorum_of_ones_own() -> None:
    search = lookup(peers(10, 20))
    placement = Placement(search, 2**256 - 1, 4, needed=1)
    search.stop(0.1)
    assert placement.stores() == [10, 20]
    assert placement.acknowledgements.outcome is Outcome.OPEN
    assert placement.stored() is Outcome.REACHED


def test_the_reach_of_a_table() -> None:
    table: RoutingTable[int] = RoutingTable(b"me", TableSettings(diverse=False))
    assert table.reach(3) == 2**256 - 1
    for far in (7, 2**200, 2**100):
        table.admit(Candidate(far, table.local_key ^ far), 0.0)
    assert table.reach(2) == 2**100
    assert table.reach(3) == 2**200
    assert table.reach() == 2**256 - 1
