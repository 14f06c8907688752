"""Routes: what is measured of a path, both formulas, chains without loops, false updates, which path is taken when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import UsageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.gossip_message import MAX_LINKS, Link
from mesh.protocols.beam.path_choice import DIRECT, EVALUATION_S, RELAYED, PathChoice, PathKey
from mesh.protocols.beam.path_quality import WINDOW_S, PathMeter, Quality, route_score, worse
from mesh.protocols.beam.route_table import (
    LEAST_STANDING,
    MAX_ORIGINS,
    MAX_RELAYS,
    PROVEN_S,
    RECOVERY_S,
    STALE_S,
    RouteTable,
    check_route,
)
from tests.protocols.beam.signers import PEERS
from tools.bench.beam_routes import LINKS, RELAYS, route_calculation

OWN, A, B, C, D, FAR = PEERS
GOOD = Quality(0.02, 1e6, 1.0, 0.0)
POOR = Quality(0.3, 1e4, 0.6, 0.5)
qualities = st.builds(Quality, st.floats(0, 600), st.floats(0, 2**40), st.floats(0, 1), st.floats(0, 1))


def link(peer: PeerId, quality: Quality = GOOD) -> Link:
    return Link(peer, quality.latency_s * 1000, quality.bandwidth, quality.reliability, quality.congestion)


def told(table: RouteTable, origin: PeerId, *links: Link, at: float = 0.0, ts_ms: int = 1) -> bool:
    return table.update(origin, ts_ms, links, at)


def mutual(table: RouteTable, one: PeerId, other: PeerId, *, ts_ms: int = 1) -> None:
    """A link that both tell of, and no other."""
    told(table, one, link(other), ts_ms=ts_ms)
    told(table, other, link(one), ts_ms=ts_ms)


def keys(*names: str) -> list[PathKey]:
    return [
        PathKey(DIRECT) if each == "direct" else PathKey(RELAYED, (PEERS["?ab".index(each)],))
        for each in names
    ]


def test_the_formulas_by_hand() -> None:
    quality = Quality(0.1, 500_000, 0.9, 0.2)
    assert quality.seed == pytest.approx(0.4 * 0.5 + 0.3 * 0.5 + 0.2 * 0.9 - 0.1 * 0.2)
    assert quality.repository == pytest.approx(0.4 * 0.5 + 0.3 * 0.5 + 0.2 * 0.9 + 0.1 * 0.8)
    assert route_score([0.8, 0.4]) == pytest.approx(0.3)


@given(qualities, qualities)
def test_scores_stay_in_their_ranges(one: Quality, other: Quality) -> None:
    assert -0.1 <= one.seed <= 0.9 + 1e-9
    assert one.repository == pytest.approx(one.seed + 0.1)
    assert worse(one, other).seed <= min(one.seed, other.seed) + 1e-9


def test_what_is_measured_of_a_path() -> None:
    meter = PathMeter()
    meter.answered(0.1)
    meter.answered(0.2)
    assert meter.quality(0.0).latency_s == pytest.approx(0.1125)
    for at, total in ((0.0, 0), (0.5, 10_000_000), (2.0, 10_000_000), (4.0, 11_000_000)):
        meter.counted(total, at)
    assert meter.quality(4.0).bandwidth == pytest.approx(5_000_000)
    assert meter.quality(2.0 + WINDOW_S + 0.1).bandwidth == pytest.approx(500_000)
    assert meter.quality(5.0 + WINDOW_S).bandwidth == 0
    meter.counted(5, 50.0)
    assert meter.quality(50.0).bandwidth == 0
    meter.waited(300, 400)
    assert meter.quality(50.0).congestion == 0.75
    meter.waited(900, 400)
    assert meter.quality(50.0).congestion == 1.0


def test_old_failures_are_forgotten() -> None:
    meter = PathMeter()
    for _ in range(9):
        meter.tried(False, 0.0)
    assert meter.quality(0.0).reliability == pytest.approx(0.1)
    assert 0.1 < meter.quality(60.0).reliability < meter.quality(600.0).reliability < 1


def test_direct_and_chains_are_ranked_and_the_length_costs() -> None:
    table = RouteTable(OWN)
    told(table, A, link(FAR), link(B))
    told(table, B, link(A), link(C))
    told(table, C, link(B), link(FAR))
    told(table, FAR, link(A), link(C))
    found = table.routes(FAR, {FAR: POOR, A: GOOD}, 1.0)
    assert [each.peers for each in found] == [(A, FAR), (A, B, C, FAR), (FAR,)]
    assert found[0].score == pytest.approx(GOOD.seed / 2)
    assert found[0].relays == (A,)
    assert found[1].score == pytest.approx(GOOD.seed / 4)
    assert table.routes(FAR, {FAR: GOOD, A: GOOD}, 1.0)[0].peers == (FAR,)


def test_no_route_is_longer_than_the_most_or_has_a_loop() -> None:
    table = RouteTable(OWN)
    chain = [A, B, C, D, FAR]
    for number, each in enumerate(chain):
        near = [chain[other] for other in (number - 1, number + 1) if 0 <= other < len(chain)]
        told(table, each, link(OWN), *(link(other) for other in near))
    assert table.routes(FAR, {A: GOOD}, 1.0) == []
    found = table.routes(D, {A: GOOD, B: GOOD}, 1.0)
    assert {each.peers for each in found} == {(A, B, C, D), (B, C, D)}
    for route in found:
        check_route(OWN, route.peers)


def test_who_does_not_say_that_it_forwards_is_no_relay() -> None:
    table = RouteTable(OWN)
    told(table, FAR, link(A), link(B))
    told(table, B, link(FAR), link(A))
    assert [each.relays for each in table.routes(FAR, {A: GOOD, B: GOOD}, 1.0)] == [(B,)]
    table.update(A, 1, [link(FAR), link(B)], 0.0, forwards=False)
    assert [each.relays for each in table.routes(FAR, {A: GOOD, B: GOOD}, 1.0)] == [(B,)]
    assert (table.forwards(A), table.forwards(B), table.forwards(C)) == (False, True, False)
    told(table, A, link(FAR), link(B), ts_ms=2)
    assert {each.relays for each in table.routes(FAR, {A: GOOD}, 1.0)} == {(A,), (A, B)}


def test_a_link_that_the_other_end_does_not_know_is_none() -> None:
    """Whoever boasts of links to those that tell of theirs leads nowhere, until they agree, or say nothing any more."""
    table = RouteTable(OWN)
    told(table, B, link(FAR))
    assert [each.relays for each in table.routes(FAR, {B: GOOD}, 1.0)] == [(B,)]
    table.update(FAR, 1, [link(A)], 1.0, forwards=False)
    assert table.routes(FAR, {B: GOOD}, 1.0) == []
    table.update(FAR, 2, [link(A), link(B)], 2.0, forwards=False)
    assert [each.relays for each in table.routes(FAR, {B: GOOD}, 2.0)] == [(B,)]
    table.update(FAR, 3, [link(A)], 3.0, forwards=False)
    assert table.routes(FAR, {B: GOOD}, 3.0) == []
    told(table, B, link(FAR), at=50.0, ts_ms=2)
    assert table.routes(FAR, {B: GOOD}, 50.0) == []
    assert [each.relays for each in table.routes(FAR, {B: GOOD}, 3.1 + STALE_S)] == [(B,)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(PEERS[1:]),
            st.sets(st.sampled_from(PEERS[1:])),
            st.booleans(),
            st.integers(0, 60),
        ),
        max_size=12,
    )
)
def test_a_table_is_as_if_only_the_last_word_of_each_had_come(
    updates: list[tuple[PeerId, set[PeerId], bool, int]],
) -> None:
    table, last, now = RouteTable(OWN), {}, 0.0
    for number, (origin, peers, forwards, pause) in enumerate(updates, 1):
        now += pause
        links = [link(each) for each in sorted(peers - {origin})]
        table.update(origin, number, links, now, forwards=forwards)
        last[origin] = number, links, now, forwards
    anew = RouteTable(OWN)
    for origin, (number, links, at, forwards) in last.items():
        anew.update(origin, number, links, at, forwards=forwards)
    own = {A: GOOD, B: POOR}
    assert len(table.routes(FAR, own, now)) == len(anew.routes(FAR, own, now))
    assert table._scores == anew._scores
    assert len(table) == len(anew)


@pytest.mark.parametrize("peers", [(), (A, B, A), (OWN,), (A, OWN), (A, B, C, D, FAR)])
def test_routes_that_are_none(peers: tuple[PeerId, ...]) -> None:
    with pytest.raises(UsageError):
        check_route(OWN, peers)
    assert MAX_RELAYS == 3


def test_who_boasts_gains_little_and_cannot_speak_for_others() -> None:
    table = RouteTable(OWN)
    mutual(table, A, FAR)
    told(table, B, link(FAR, Quality(0.0, 2**40, 1.0, 0.0)), link(D, Quality(0.0, 2**40, 1.0, 0.0)))
    assert table.routes(FAR, {B: GOOD}, 1.0) == [], "it tells of its links, and not of this one"
    boasting, honest = table.routes(D, {B: GOOD}, 1.0), table.routes(FAR, {A: GOOD}, 1.0)
    assert boasting[0].score < honest[0].score
    told(table, A, link(FAR, Quality(0.0, 2**40, 1.0, 0.0)), ts_ms=2)
    told(table, FAR, link(A, POOR), ts_ms=2)
    assert table.routes(FAR, {A: GOOD}, 1.0)[0].hops[1] == pytest.approx(POOR.seed)


def test_updates_that_are_refused() -> None:
    table = RouteTable(OWN)
    assert told(table, A, link(FAR), ts_ms=5)
    assert not told(table, A, link(B), ts_ms=5)
    assert not told(table, A, ts_ms=4)
    assert not told(table, OWN, link(A))
    assert not told(table, B, *[link(FAR)] * (MAX_LINKS + 1))
    assert table.refused == 4
    assert len(table) == 1
    assert told(table, A, ts_ms=6)
    assert len(table) == 0


def test_the_table_is_bounded_and_forgets() -> None:
    table = RouteTable(OWN)
    made = [
        PeerId(b"\x00\x24\x08\x01\x12\x20" + number.to_bytes(32, "big")) for number in range(MAX_ORIGINS + 1)
    ]
    assert all(told(table, each, link(FAR)) for each in made[:-1])
    assert not told(table, made[-1], link(FAR))
    assert table.routes(FAR, {made[0]: GOOD}, STALE_S)
    assert not table.routes(FAR, {made[0]: GOOD}, STALE_S + 1)
    assert told(table, made[-1], link(FAR), at=STALE_S + 1)
    assert len(table) == 1


def test_a_black_hole_is_left_out_until_it_has_recovered() -> None:
    table = RouteTable(OWN)
    told(table, A, link(FAR))
    told(table, B, link(FAR, POOR))
    own = {A: GOOD, B: GOOD}
    assert table.routes(FAR, own, 0.0)[0].relays == (A,)
    for _ in range(3):
        table.failed([A], 0.0)
    assert table.standing(A, 0.0) < LEAST_STANDING
    assert [each.relays for each in table.routes(FAR, own, 0.0)] == [(B,)]
    assert {each.relays for each in table.routes(FAR, own, RECOVERY_S)} == {(A,), (B,)}
    table.delivered([A], RECOVERY_S)
    table.delivered([A], RECOVERY_S)
    assert table.standing(A, RECOVERY_S) == 1.0


def test_who_delivers_by_another_way_is_not_to_blame() -> None:
    table = RouteTable(OWN)
    table.delivered([A], 10.0)
    table.failed([A, B], 10.0 + PROVEN_S)
    assert (table.standing(A, 13.0), table.standing(B, 13.0)) == (1.0, 0.5)
    table.failed([A, C], 10.1 + PROVEN_S)
    assert (table.standing(A, 13.1), table.standing(C, 13.1)) == (0.5, 0.5)
    table.delivered([A, B], 20.0)
    before = table.standing(B, 20.0)
    table.failed([A, B], 20.0)
    assert table.standing(B, 20.0) == pytest.approx(before / 2), "one of them it was"


def test_a_path_is_left_only_for_one_that_is_a_tenth_better() -> None:
    choice = PathChoice()
    direct, a, b = keys("direct", "a", "b")
    assert choice.deadline() is None
    first = choice.evaluate({direct: 0.5, a: 0.4}, 0.0)
    assert first is not None
    assert (first.before, first.after) == (None, direct)
    assert choice.deadline() == EVALUATION_S
    assert choice.evaluate({direct: 0.5, a: 0.54}, 30.0) is None
    switch = choice.evaluate({direct: 0.5, a: 0.56}, 60.0)
    assert switch is not None
    assert choice.current == a
    assert "0.560 instead of 0.500" in switch.reason
    assert choice.evaluate({direct: 0.005, a: 0.0, b: 0.0}, 90.0) is None
    assert choice.evaluate({direct: 0.02, a: 0.0}, 120.0) is not None
    assert len(choice.switches) == 3


def test_a_path_that_failed_is_left_at_once() -> None:
    choice = PathChoice()
    direct, a, b = keys("direct", "a", "b")
    choice.evaluate({direct: 0.5, a: 0.4, b: 0.4}, 0.0)
    assert choice.failed(a, {direct: 0.5, b: 0.4}, "closed", 1.0) is None
    switch = choice.failed(direct, {direct: 0.5, b: 0.1}, "silent for 4 s", 1.0)
    assert switch is not None
    assert choice.current == b
    assert str(switch).endswith(": silent for 4 s")
    gone = choice.failed(b, {}, "closed", 2.0)
    assert gone is not None
    assert choice.current is None
    assert "no path" in str(gone)
    again = choice.evaluate({a: 0.1}, 3.0)
    assert again is not None
    assert again.reason == "the first path"
    back = choice.evaluate({b: 0.1}, 4.0)
    assert back is not None
    assert "is there no more" in back.reason


def test_a_thousand_links_are_ranked() -> None:
    _, found = route_calculation()
    assert RELAYS * LINKS == 1000
    assert found >= RELAYS
