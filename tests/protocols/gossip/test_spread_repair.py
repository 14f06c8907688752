"""Pull repair: digests, what is asked for, what is given; and that no rumour lives for ever by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.gossip.rumours import REACH, Kind, Reach, Rumour
from mesh.protocols.gossip.spread import Spread, SpreadSettings

PEERS = list(range(50))


def spread(settings: SpreadSettings | None = None) -> Spread[int]:
    return Spread(settings or SpreadSettings(), Random(1), 0.0)


def hear(here: Spread[int], names: Sequence[bytes], now: float = 0.0, kind: Kind = Kind.ANNOUNCE) -> None:
    for name in names:
        assert here.receive(1, Rumour(name, 7, kind, b"body"), PEERS, now) is not None


def names(count: int, prefix: bytes = b"") -> list[bytes]:
    return [prefix + number.to_bytes(4, "big") for number in range(count)]


def exchange(asker: Spread[int], asked: Spread[int], now: float) -> None:
    """What the module's table of messages says, at once."""
    digest = asker.digest(now)
    missing, unmentioned = asked.missing(digest), asked.unmentioned(digest, now)
    for rumour in asker.held(missing):
        asked.receive(1, rumour, [], now)
    for rumour in asked.held(asker.missing(unmentioned)):
        asker.receive(2, rumour, [], now)


def test_two_nodes_tell_each_other_what_they_lack() -> None:
    here, there = spread(), spread()
    hear(here, [b"a", b"b"])
    hear(there, [b"b", b"c"])
    exchange(here, there, 1.0)
    assert sorted(here.digest(1.0)) == sorted(there.digest(1.0)) == [b"a", b"b", b"c"]
    assert [each.id for each in there.held([b"c", b"x", b"a", b"c"])] == [b"c", b"a"]
    assert here.counts["given"] == 1
    assert there.missing(here.digest(1.0)) == []
    assert there.unmentioned(here.digest(1.0), 1.0) == []


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_after_an_exchange_both_know_all(left: set[int], right: set[int]) -> None:
    here, there = spread(), spread()
    hear(here, [bytes([each]) for each in sorted(left)])
    hear(there, [bytes([each]) for each in sorted(right)])
    exchange(here, there, 1.0)
    for each in left | right:
        assert bytes([each]) in here
        assert bytes([each]) in there


def test_a_node_that_knows_nothing_asks_with_an_empty_digest() -> None:
    here, there = spread(), spread()
    hear(there, [b"a"])
    assert here.digest(0.0) == []
    exchange(here, there, 0.0)
    assert b"a" in here


def test_only_the_latest_are_told_of() -> None:
    here = spread()
    hear(here, [b"old"], 0.0)
    hear(here, [b"new"], 10.0)
    assert here.digest(14.0) == [b"new", b"old"]
    assert here.digest(15.0) == [b"new"]
    assert here.missing([b"old"]) == [], "still seen"
    assert here.held([b"old"]) == []


def test_heartbeats_are_not_repaired() -> None:
    here = spread()
    hear(here, [b"beat"], kind=Kind.HEARTBEAT)
    hear(here, [b"route"], kind=Kind.ROUTE_UPDATE)
    assert here.digest(0.0) == [b"route"]


def test_a_repair_is_a_hop_and_the_last_hop_is_not_told_of() -> None:
    nodes = [spread() for _ in range(10)]
    nodes[0].start(Rumour(b"a", 0, Kind.ANNOUNCE, b"body"), [], 0.0)
    for here, there in pairwise(nodes):
        exchange(here, there, 0.0)
    assert [b"a" in each for each in nodes] == [True] * 9 + [False]
    assert [sum(hop * count for hop, count in each.arrivals.items()) for each in nodes[:9]] == list(range(9))
    assert nodes[8].digest(0.0) == []
    assert nodes[8].held([b"a"]) == []


def test_newcomers_do_not_keep_a_rumour_alive() -> None:
    """Each learns it at the last moment from the one before; the first has forgotten it by the end."""
    settings = SpreadSettings(reach={**REACH, Kind.ANNOUNCE: Reach(6, 4, True)})
    first = spread(settings)
    first.start(Rumour(b"a", 0, Kind.ANNOUNCE, b"body"), [], 0.0)
    line = [first]
    now = 0.0
    for _ in range(40):
        now += 14.9
        line.append(Spread(settings, Random(1), now))
        exchange(line[-2], line[-1], now)
        exchange(line[-1], first, now)
    assert sum(b"a" in each for each in line[1:]) == 4
    assert first.counts["new"] == 0


def test_digests_are_bounded() -> None:
    settings = SpreadSettings(digest_ids=20)
    here, there = spread(settings), spread(settings)
    hear(here, names(100))
    digest = here.digest(0.0)
    assert len(set(digest)) == len(digest) == 20
    assert set(digest) <= set(names(100))
    assert digest != here.digest(0.0), "a choice each time"
    assert here.unmentioned([], 0.0) == names(100)[:-21:-1]
    assert there.missing(names(100)) == names(20)
    assert len(here.held(names(100))) == 20


def test_answers_are_bounded_by_bytes() -> None:
    here = spread(SpreadSettings(answer_bytes=1000))
    for name, size in ((b"a", 600), (b"b", 600), (b"c", 5000)):
        here.receive(1, Rumour(name, 7, Kind.ANNOUNCE, bytes(size)), PEERS, 0.0)
    assert [each.id for each in here.held([b"a", b"b"])] == [b"a"]
    assert [each.id for each in here.held([b"c", b"a"])] == [b"c"], "one alone may be longer"


def test_a_peers_ids_can_be_anything() -> None:
    here = spread()
    hear(here, [b"a"])
    odd = [b"", bytes(5000), b"a", b"b", b"b"]
    assert here.missing(odd) == [b"b"]
    assert here.unmentioned(odd, 0.0) == []
    assert [each.id for each in here.held(odd)] == [b"a"]


def test_partners_are_some_neighbours() -> None:
    here = spread(SpreadSettings(repair_fanout=2))
    partners = here.repair_partners(PEERS)
    assert len(set(partners)) == 2
    assert set(partners) <= set(PEERS)
    assert here.repair_partners([]) == []
    assert spread(replace(SpreadSettings(), repair_fanout=0)).repair_partners(PEERS) == []
