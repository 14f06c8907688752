"""Detectors of abuse by Beam's figures, and the health of providers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.abuse import KEPT_S, LEAST_SCORE, AbuseWatch, Alert
from mesh.protocols.beam.gossip_message import MAX_LINKS, ROUTE_UPDATE, Link, sign_message
from mesh.protocols.beam.health import DEGRADED, HEALTHY, UNHEALTHY, UNKNOWN, ServiceHealth
from tests.protocols.beam.signers import KEYS, NOW_MS, PEERS

PEER = PEERS[0]


def put(watch: AbuseWatch, now: float) -> None:
    watch.put(PEER, now)


def connected(watch: AbuseWatch, now: float) -> None:
    watch.connected(PEER, now)


def bad(watch: AbuseWatch, now: float) -> None:
    watch.bad_record(PEER, now)


@pytest.mark.parametrize(
    ("act", "span_s", "most", "detector"),
    [
        (put, 60.0, 1000, "dht-puts"),
        (connected, 60.0, 100, "connection-flood"),
        (connected, 300.0, 50, "connection-burst"),
        (bad, 60.0, 4, "bad-records"),
    ],
)
def test_more_than_may_be_raises_an_alert(
    act: Callable[[AbuseWatch, float], None], span_s: float, most: int, detector: str
) -> None:
    for events, expected in ((most, False), (most + 1, True)):
        watch = AbuseWatch()
        for number in range(events):
            act(watch, number * span_s / (events + 1))
        assert (detector in {each.detector for each in watch.alerts(span_s)}) is expected
    slow = AbuseWatch()
    for number in range(2 * most):
        act(slow, number * span_s / most * 1.01)
    assert detector not in {each.detector for each in slow.alerts(0.0)}


def test_a_flood_of_gossip_is_cut_and_told_once_a_minute() -> None:
    raised: list[Alert] = []
    watch = AbuseWatch(raised.append)
    taken = sum(watch.message(PEER, 100, 1.0 + number / 1000) for number in range(1000))
    assert 100 <= taken <= 121
    assert [each.detector for each in raised] == ["gossip-flood"]
    assert watch.message(PEERS[1], 100, 2.0), "others are not cut off for it"
    assert watch.score(PEER, 2.0) == pytest.approx(0.75, abs=0.01)
    assert watch.score(PEERS[1], 2.0) == 1.0
    assert watch.score(PEER, 400.0) == 1.0


def test_sizes_are_measured_against_the_mean() -> None:
    watch = AbuseWatch()
    for number in range(50):
        watch.signed(PEERS[1], 16_000, float(number))
    watch.signed(PEER, 47_000, 50.0)
    assert watch.alerts(50.0) == []
    watch.signed(PEER, 60_000, 51.0)
    assert [each.detector for each in watch.alerts(51.0)] == ["large-messages"]


def test_floods_of_small_messages_make_no_honest_one_large() -> None:
    watch = AbuseWatch()
    for number in range(2000):
        watch.signed(PEERS[1], 200, number / 100)
    peers = [PeerId(b"\x00\x24\x08\x01\x12\x20" + bytes([number]) * 32) for number in range(MAX_LINKS)]
    links = [Link(peer, 599_999.999, 2**40 - 1, 0.9999, 0.9999) for peer in peers]
    update = sign_message(
        KEYS[0], ROUTE_UPDATE, "x" * 36, NOW_MS, {"links": [each.document() for each in links]}
    )
    watch.signed(PEER, len(update.envelope), 20.0)
    assert watch.alerts(20.0) == [], "an update about as many links as there may be is nothing large"


def test_a_critical_alert_alone_is_enough() -> None:
    watch = AbuseWatch()
    assert watch.admits(PEER, 1.0)
    for _ in range(20):
        watch.looked_up(PEER, False, 1.0)
    assert watch.score(PEER, 1.0) == pytest.approx(0.25)
    assert not watch.admits(PEER, 1.0)
    assert not watch.admits(PEER, 150.0)
    assert watch.admits(PEER, 151.1)
    assert watch.score(PEER, 151.1) >= LEAST_SCORE
    assert watch.admits(PEERS[1], 1.0)


def test_who_is_admitted_goes_by_the_score() -> None:
    watch = AbuseWatch()
    for number in range(1200):
        now = number / 2
        watch.message(PEER, 100, now)
        if number % 240 < 30:
            bad(watch, now)
        score = watch.score(PEER, now)
        if abs(score - LEAST_SCORE) > 1e-6:
            assert watch.admits(PEER, now) is (score > LEAST_SCORE), (now, score)


def test_who_wants_more_of_a_relay_than_it_may_have_is_scored() -> None:
    watch = AbuseWatch()
    for number in range(20):
        watch.refused_circuit(PEER, number / 10)
    assert watch.alerts(2.0) == []
    watch.refused_circuit(PEER, 2.0)
    assert [each.detector for each in watch.alerts(2.0)] == ["relay-hoarding"]
    assert watch.score(PEER, 2.0) == pytest.approx(0.9)


def test_contradicting_answers() -> None:
    watch = AbuseWatch()
    for number in range(20):
        watch.looked_up(PEER, number < 3, 1.0)
        watch.looked_up(PEERS[1], number < 4, 1.0)
    assert [(each.peer, each.severity) for each in watch.alerts(1.0)] == [(PEER, "critical")]
    assert watch.alerts(1.0 + KEPT_S) == []


def test_three_failures_make_a_provider_unhealthy() -> None:
    health = ServiceHealth()
    assert health.status == UNKNOWN
    for _ in range(10):
        health.answered(0.01, 5.0)
    assert health.status == HEALTHY
    assert health.last_seen_s == 5.0
    good = health.rank
    assert [health.failed("gone") for _ in range(4)] == [False, False, True, False]
    assert health.status == UNHEALTHY
    assert health.cause == "gone"
    assert health.rank > good
    health.answered(0.01, 6.0)
    assert health.status != HEALTHY, "one answer makes nobody healthy"
    for _ in range(9):
        health.answered(0.01, 6.0)
    assert health.status == HEALTHY


def test_one_failure_in_between_degrades() -> None:
    health = ServiceHealth()
    for _ in range(5):
        health.answered(0.2, 1.0)
    health.failed("late")
    assert health.status == DEGRADED
    assert health.response_s == pytest.approx(0.2)
