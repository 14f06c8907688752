"""Passing rumours on: whom to, how far, once; what is refused and what is kept."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import UsageError
from mesh.protocols.gossip.rumours import MAX_TTL, REACH, Kind, Reach, Rumour
from mesh.protocols.gossip.spread import Spread, SpreadSettings

PEERS = list(range(100))
BODY = b"body"


def spread(settings: SpreadSettings | None = None, seed: int = 1) -> Spread[int]:
    return Spread(settings or SpreadSettings(), Random(seed), 0.0)


def rumour(
    name: bytes = b"id", kind: Kind = Kind.ANNOUNCE, ttl: int = MAX_TTL, body: bytes = BODY
) -> Rumour[int]:
    return Rumour(name, 7, kind, body, ttl)


def held(of: Spread[int], name: bytes = b"id") -> Rumour[int]:
    found = of.rumour(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("kind", "fanout", "hops"),
    [(Kind.ANNOUNCE, 6, 8), (Kind.DEPARTURE, 6, 8), (Kind.HEARTBEAT, 3, 5), (Kind.ROUTE_UPDATE, 6, 8)],
)
def test_each_kind_goes_as_far_as_the_table_says(kind: Kind, fanout: int, hops: int) -> None:
    here = spread()
    chosen = here.start(rumour(kind=kind), PEERS, 0.0)
    assert len(set(chosen)) == len(chosen) == fanout
    sent = held(here)
    for hop in range(1, hops + 1):
        there = spread(seed=hop)
        onward = there.receive(1, sent, PEERS, 0.0)
        assert onward is not None
        assert len(set(onward)) == len(onward) == (fanout if hop < hops else 0)
        assert there.arrivals[hop] == 1
        assert sum(there.arrivals.values()) == 1
        sent = held(there)
        assert sent.ttl == hops - hop
    last = spread()
    assert last.receive(1, sent, PEERS, 0.0) is None
    assert last.counts["malformed"] == 1
    assert b"id" not in last


@given(st.integers(0, 2**32), st.integers(0, 12), st.integers(0, 11), st.integers(0, 11))
def test_never_back_nor_to_the_origin(seed: int, size: int, source: int, origin: int) -> None:
    here = spread(seed=seed)
    told = Rumour(b"id", origin, Kind.ANNOUNCE, BODY)
    peers = list(range(size))
    chosen = here.receive(source, told, peers, 0.0)
    assert chosen is not None
    others = set(peers) - {source, origin}
    assert set(chosen) <= others
    assert len(chosen) == min(6, len(others))


def test_everyone_else_is_as_likely() -> None:
    counts = dict.fromkeys(range(20), 0)
    here = spread()
    for number in range(4000):
        chosen = here.receive(3, rumour(number.to_bytes(4, "big")), range(20), 0.0)
        for peer in chosen or ():
            counts[peer] += 1
    assert counts.pop(3) == counts.pop(7) == 0
    expected = 4000 * 6 / 18
    assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())


def test_a_rumour_is_passed_on_once() -> None:
    here = spread()
    assert here.receive(1, rumour(), PEERS, 0.0)
    assert here.receive(2, rumour(), PEERS, 1.0) is None
    assert here.receive(2, rumour(body=b"another"), PEERS, 100.0) is None
    assert held(here).body == BODY
    assert (here.counts["new"], here.counts["seen"], here.counts["passed_on"]) == (1, 2, 6)


def test_a_node_that_started_one_does_not_take_it_back() -> None:
    here = spread()
    here.start(rumour(), PEERS, 0.0)
    assert here.receive(2, rumour(), PEERS, 1.0) is None
    with pytest.raises(UsageError, match="before"):
        here.start(rumour(), PEERS, 1.0)


def test_a_smaller_ttl_is_heeded_and_a_larger_one_is_not() -> None:
    here = spread()
    assert len(here.start(rumour(ttl=1), PEERS, 0.0)) == 6
    assert held(here).ttl == 1
    there = spread()
    assert there.receive(1, held(here), PEERS, 0.0) == []
    assert held(there).ttl == 0
    assert spread().receive(1, rumour(ttl=MAX_TTL), PEERS, 0.0) != []


@pytest.mark.parametrize(
    "bad",
    [
        rumour(b""),
        rumour(bytes(129)),
        rumour(ttl=0),
        rumour(ttl=-1),
        rumour(ttl=MAX_TTL + 1),
        rumour(body=bytes(65537)),
    ],
)
def test_what_cannot_be_is_dropped_or_refused(bad: Rumour[int]) -> None:
    here = spread()
    assert here.receive(1, bad, PEERS, 0.0) is None
    assert here.counts["malformed"] == 1
    assert len(here) == 0
    with pytest.raises(UsageError, match="a rumour of"):
        here.start(bad, PEERS, 0.0)
    assert here.counts["started"] == 0


def test_alone_or_with_few_neighbours() -> None:
    assert spread().start(rumour(), [], 0.0) == []
    assert sorted(spread().start(rumour(), [1, 2], 0.0)) == [1, 2]
    assert spread().receive(1, rumour(), [1, 7], 0.0) == []


def test_the_store_is_bounded_by_number_bytes_and_age() -> None:
    few = spread(SpreadSettings(held_rumours=10))
    small = spread(SpreadSettings(held_bytes=100))
    for number in range(50):
        for here in (few, small):
            here.receive(1, rumour(bytes([number, 0]), body=bytes(18)), PEERS, 0.0)
    assert len(few) == 10
    assert len(small) == 5
    assert few.rumour(bytes([40, 0])) is not None
    assert few.rumour(bytes([39, 0])) is None
    assert few.receive(1, rumour(bytes([39, 0])), PEERS, 0.0) is None, "still known"
    few.receive(1, rumour(b"new"), PEERS, 14.0)
    assert len(few) == 10
    few.digest(15.0)
    assert len(few) == 1
    assert few.receive(1, rumour(b"large", body=bytes(65536)), PEERS, 15.0)
    assert small.receive(1, rumour(b"large", body=bytes(65536)), PEERS, 15.0)
    assert held(small, b"large").body == bytes(65536)
    assert len(small) == 1


def test_ids_are_forgotten_in_the_end() -> None:
    here = spread()
    here.receive(1, rumour(), PEERS, 0.0)
    assert here.receive(1, rumour(), PEERS, 119.0) is None
    assert here.receive(1, rumour(), PEERS, 360.0) is not None


def test_the_same_seed_makes_the_same_choices() -> None:
    def life(seed: int) -> list[list[int] | None]:
        here = spread(seed=seed)
        return [here.receive(1, rumour(bytes([each])), PEERS, 0.0) for each in range(20)]

    assert life(1) == life(1)
    assert life(1) != life(2)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("held_s", {"held_s": 0.0}),
        ("held_rumours", {"held_rumours": 0}),
        ("digest_ids", {"digest_ids": -1}),
        ("seen_ttl_s", {"seen_ttl_s": 119.0}),
        ("HEARTBEAT", {"reach": {kind: REACH[kind] for kind in Kind if kind is not Kind.HEARTBEAT}}),
        ("ANNOUNCE", {"reach": {**REACH, Kind.ANNOUNCE: Reach(0, 8, True)}}),
        ("DEPARTURE", {"reach": {**REACH, Kind.DEPARTURE: Reach(6, 256, True)}}),
    ],
)
def test_settings_that_cannot_be(name: str, change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=name):
        replace(SpreadSettings(), **change)  # type: ignore[arg-type]
