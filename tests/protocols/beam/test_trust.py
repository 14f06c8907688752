"""Trust by Beam's formula, alerts that belong together, and how figures move."""

from __future__ import annotations

import pytest

from mesh.protocols.beam.alert_log import AGREED, KEPT_S, MAX_OF_ORIGIN, WINDOW_S, AlertLog, Correlation
from mesh.protocols.beam.history import SAMPLE_S, History
from mesh.protocols.beam.reports import PEER_DOWN, THREAT, AlertReport, Check, Endorsement, status_of
from mesh.protocols.beam.trust import STALE_S, TrustBook
from tests.protocols.beam.signers import PEERS

ALICE, BOB, CAROL, DAVE, EVE, FRANK = PEERS


def report(kind: str = THREAT, about: int = 0) -> AlertReport:
    return AlertReport(kind, "high", PEERS[about], "too much")


def test_nobody_knows_anything_of_a_stranger() -> None:
    assert TrustBook().trust(ALICE, {}) == 0.5


def test_the_three_parts_of_trust() -> None:
    book = TrustBook()
    assert book.endorse(BOB, 1, [Endorsement(ALICE, 0.8)], 0.0)
    own = {ALICE: 1.0, BOB: 0.5}
    assert book.indirect(ALICE, own) == pytest.approx(0.4)
    assert book.trust(ALICE, own) == pytest.approx(0.4 * 1.0 + 0.4 * 0.4 + 0.2 * 0.8)


def test_a_way_has_three_hops_at_most_and_begins_with_whom_this_node_knows() -> None:
    book = TrustBook()
    book.endorse(BOB, 1, [Endorsement(CAROL, 0.9)], 0.0)
    book.endorse(CAROL, 1, [Endorsement(DAVE, 0.8)], 0.0)
    book.endorse(DAVE, 1, [Endorsement(EVE, 1.0)], 0.0)
    assert book.indirect(DAVE, {BOB: 1.0}) == pytest.approx(0.72)
    assert book.indirect(EVE, {BOB: 1.0}) == 0.5
    assert book.indirect(DAVE, {ALICE: 1.0}) == 0.5


def test_strangers_that_praise_each_other_gain_the_share_of_reputation_alone() -> None:
    book = TrustBook()
    for one, other in ((EVE, FRANK), (FRANK, EVE)):
        book.endorse(one, 1, [Endorsement(other, 1.0)], 0.0)
    assert book.trust(EVE, {ALICE: 1.0}) == pytest.approx(0.6)


def test_what_is_older_or_was_not_said_again_counts_no_more() -> None:
    book = TrustBook()
    book.endorse(BOB, 2, [Endorsement(ALICE, 1.0)], 0.0)
    assert not book.endorse(BOB, 2, [Endorsement(ALICE, 0.0)], 1.0)
    assert book.reputation(ALICE) == 1.0
    book.expire(STALE_S)
    assert (len(book), book.reputation(ALICE)) == (0, 0.5)


def test_alerts_of_one_type_about_one_peer_and_a_cascade_belong_together() -> None:
    log = AlertLog()
    for origin in PEERS[1:6]:
        assert log.add(report(), origin, 0.0)
    assert log.correlations(1.0) == [Correlation("type", THREAT, 5), Correlation("peer", str(ALICE), 5)]
    for kind in (PEER_DOWN, "high-latency"):
        log.add(report(kind, 5), BOB, 1.0)
    assert Correlation("cascade", "", 7) in log.correlations(1.0)
    assert log.correlations(WINDOW_S + 1) == []
    assert len(log.kept(KEPT_S - 1)) == 7
    assert log.kept(KEPT_S + 1) == []


def test_nobody_agrees_with_itself() -> None:
    log = AlertLog()
    assert log.add(report(PEER_DOWN), BOB, 0.0)
    assert not log.add(report(PEER_DOWN), BOB, WINDOW_S - 1)
    log.add(report(PEER_DOWN), ALICE, 0.0)
    log.add(report(PEER_DOWN), CAROL, 0.0)
    assert log.down(1.0) == set()
    log.add(report(PEER_DOWN), DAVE, 0.0)
    assert AGREED == 3
    assert log.down(1.0) == {ALICE}
    assert log.down(WINDOW_S) == set()
    assert log.add(report(PEER_DOWN), BOB, WINDOW_S)


def test_one_origin_fills_no_log() -> None:
    log = AlertLog()
    kinds = ("high-latency", "performance-degradation", THREAT, PEER_DOWN)
    taken = [
        log.add(report(kind, about), BOB, float(n)) for n in range(4) for kind in kinds for about in range(6)
    ]
    assert sum(taken) == len(kinds) * 6 <= MAX_OF_ORIGIN


@pytest.mark.parametrize(
    ("bad", "status"), [(0, "healthy"), (1, "degraded"), (2, "degraded"), (3, "unhealthy")]
)
def test_health_is_the_share_of_checks_that_are(bad: int, status: str) -> None:
    checks = tuple(Check("cpu", "unhealthy" if number < bad else "healthy", 1.0) for number in range(4))
    assert status_of(checks) == status


def test_history_tells_means_and_how_they_move() -> None:
    history = History()
    for minute in range(120):
        now = minute * SAMPLE_S
        history.note(
            {"bytes": 60.0 * minute, "back": -minute}, {"peers": 10.0 if minute < 110 else 20.0}, now
        )
    stats = history.stats(300.0, 119 * SAMPLE_S)
    assert stats["bytes"] == {"mean": 60.0, "least": 60.0, "most": 60.0, "trend": "stable"}
    assert stats["back"]["mean"] == 0.0
    assert (stats["peers"]["mean"], stats["peers"]["trend"]) == (20.0, "rising")
    assert History().stats(300.0, 0.0) == {}
