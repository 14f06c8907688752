"""Detectors of abuse by Beam's figures, and the health of providers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mesh.protocols.beam.abuse import KEPT_S, AbuseWatch, Alert
from mesh.protocols.beam.health import DEGRADED, HEALTHY, UNHEALTHY, UNKNOWN, ServiceHealth
from tests.protocols.beam.signers import PEERS

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
        watch.message(PEERS[1], 8000, float(number))
    watch.message(PEER, 23_900, 50.0)
    assert watch.alerts(50.0) == []
    watch.message(PEER, 30_000, 51.0)
    assert [each.detector for each in watch.alerts(51.0)] == ["large-messages"]


def test_floods_of_small_messages_make_no_honest_one_large() -> None:
    watch = AbuseWatch()
    for number in range(2000):
        watch.message(PEERS[1], number % 2 * 200, number / 100)
    watch.message(PEER, 7000, 20.0)
    assert {each.peer for each in watch.alerts(20.0)} == {PEERS[1]}, (
        "an update about 50 links is nothing large"
    )


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
