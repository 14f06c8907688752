"""P1 to P7: what each is counted by and how it fades (gossipsub v1.1, "Peer scoring")."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest

from mesh.errors import UsageError
from mesh.protocols.gossip.scores import PeerParts, Scores
from mesh.protocols.gossip.settings import ScoreSettings, TopicScoreSettings

T = "topic"
QUIET = TopicScoreSettings()
SLOW = 0.999_999_999
"""A decay that takes nothing off within a test."""


def scores(topic: TopicScoreSettings = QUIET, overall: ScoreSettings | None = None) -> Scores[str]:
    settings = replace(overall or ScoreSettings(), topics={T: topic})
    found: Scores[str] = Scores(settings, 0.0)
    for peer in ("ann", "bob", "cid"):
        found.connected(peer, [], 0.0)
    return found


def parts(of: Scores[str], peer: str, now: float) -> PeerParts:
    found = of.parts(peer, now)
    assert found is not None
    return found


def deliver(to: Scores[str], peer: str, now: float, ids: count[int], times: int = 1) -> None:
    for _ in range(times):
        message_id = next(ids).to_bytes(4, "big")
        to.validating(peer, T, message_id, now)
        to.delivered(peer, T, message_id, now)


# --- P1 ---------------------------------------------------------------------------------------------------------------


P1 = TopicScoreSettings(
    weight=0.5, time_in_mesh_weight=1.0, time_in_mesh_quantum_s=2.0, time_in_mesh_cap=10.0
)


def test_time_in_mesh_counts_whole_quanta_up_to_the_cap() -> None:
    found = scores(P1)
    assert found.score("ann", 0.0) == 0
    found.grafted("ann", T, 0.0)
    assert found.score("ann", 1.5) == 0
    assert found.score("ann", 5.0) == pytest.approx(0.5 * 2)
    assert found.score("ann", 9.0) == pytest.approx(0.5 * 4)
    assert found.score("ann", 20.0) == pytest.approx(0.5 * 10)
    assert found.score("ann", 500.0) == pytest.approx(0.5 * 10)
    assert found.score("bob", 500.0) == 0


def test_time_in_mesh_is_looked_at_once_an_interval() -> None:
    found = scores(replace(P1, time_in_mesh_quantum_s=0.5, weight=1.0), ScoreSettings(decay_interval_s=4.0))
    found.grafted("ann", T, 1.0)
    assert found.score("ann", 3.9) == 0
    assert found.score("ann", 4.0) == 6
    assert found.score("ann", 7.9) == 6


def test_time_in_mesh_ends_with_a_prune_and_starts_anew() -> None:
    found = scores(P1)
    found.grafted("ann", T, 0.0)
    assert found.score("ann", 8.0) == 2
    found.pruned("ann", T, 8.0)
    assert found.score("ann", 8.0) == 0
    found.grafted("ann", T, 10.0)
    assert found.score("ann", 11.0) == 0
    assert found.score("ann", 12.0) == 0.5


# --- P2 ---------------------------------------------------------------------------------------------------------------


P2 = TopicScoreSettings(
    first_deliveries_weight=2.0, first_deliveries_decay=0.5, first_deliveries_cap=10.0, weight=1.0
)


def test_first_deliveries_count_in_and_out_of_the_mesh_up_to_the_cap() -> None:
    found, ids = scores(P2), count()
    deliver(found, "ann", 0.0, ids, 4)
    assert found.score("ann", 0.0) == 8
    deliver(found, "ann", 0.0, ids, 40)
    assert found.score("ann", 0.0) == 20


def test_first_deliveries_fade_to_zero() -> None:
    found, ids = scores(P2, ScoreSettings(decay_to_zero=0.3)), count()
    deliver(found, "ann", 0.0, ids, 8)
    assert [found.score("ann", float(at)) for at in (0, 1, 2, 3, 4, 5)] == [16, 8, 4, 2, 1, 0]


def test_a_duplicate_is_no_first_delivery() -> None:
    found, ids = scores(P2), count()
    deliver(found, "ann", 0.0, ids)
    found.duplicate("bob", T, (0).to_bytes(4, "big"), 0.0)
    found.delivered("bob", T, (0).to_bytes(4, "big"), 0.0)
    assert found.score("bob", 0.0) == 0


# --- P3 and P3b -------------------------------------------------------------------------------------------------------


P3 = TopicScoreSettings(
    mesh_deliveries_weight=-1.0,
    mesh_deliveries_decay=SLOW,
    mesh_deliveries_cap=30.0,
    mesh_deliveries_threshold=20.0,
    mesh_deliveries_window_s=0.01,
    mesh_deliveries_activation_s=5.0,
)


def test_a_deficit_counts_squared_once_activated() -> None:
    found, ids = scores(P3), count()
    for peer in ("ann", "bob"):
        found.grafted(peer, T, 0.0)
    deliver(found, "ann", 0.0, ids, 17)
    assert found.score("bob", 5.0) == 0
    assert found.score("ann", 6.0) == pytest.approx(-9, rel=1e-3)
    assert found.score("bob", 6.0) == -400
    assert found.score("cid", 6.0) == 0
    deliver(found, "bob", 6.5, ids, 20)
    assert found.score("bob", 6.5) == 0


def test_duplicates_count_while_validated_and_within_the_window_after() -> None:
    found = scores(P3)
    for peer in ("ann", "bob", "cid"):
        found.grafted(peer, T, 0.0)
    found.validating("ann", T, b"id", 1.0)
    found.duplicate("bob", T, b"id", 3.0)
    assert parts(found, "bob", 3.0).topics[T].mesh_deliveries == 0
    found.delivered("ann", T, b"id", 3.5)
    found.duplicate("bob", T, b"id", 3.505)
    found.duplicate("ann", T, b"id", 3.505)
    found.duplicate("cid", T, b"id", 3.505)
    found.duplicate("cid", T, b"id", 3.505)
    for peer in ("ann", "bob", "cid"):
        assert parts(found, peer, 3.6).topics[T].mesh_deliveries == pytest.approx(1), peer
    found.validating("ann", T, b"other", 4.0)
    found.delivered("ann", T, b"other", 4.0)
    found.duplicate("cid", T, b"other", 4.02)
    assert parts(found, "cid", 4.02).topics[T].mesh_deliveries == pytest.approx(1)


def test_mesh_deliveries_count_in_the_mesh_alone_and_up_to_the_cap() -> None:
    found, ids = scores(P3), count()
    found.grafted("ann", T, 0.0)
    deliver(found, "ann", 0.0, ids, 50)
    deliver(found, "bob", 0.0, ids, 50)
    found.validating("ann", T, b"id", 0.0)
    found.duplicate("cid", T, b"id", 0.0)
    found.delivered("ann", T, b"id", 0.0)
    assert parts(found, "ann", 0.0).topics[T].mesh_deliveries == 30
    assert parts(found, "bob", 0.0).topics[T].mesh_deliveries == 0
    assert parts(found, "cid", 0.0).topics[T].mesh_deliveries == 0


def test_a_fading_count_of_deliveries_falls_below_the_threshold_again() -> None:
    found, ids = scores(replace(P3, mesh_deliveries_decay=0.5)), count()
    found.grafted("ann", T, 0.0)
    found.score("ann", 6.0)
    deliver(found, "ann", 6.0, ids, 24)
    assert found.score("ann", 6.5) == 0
    assert found.score("ann", 7.0) == -64


def test_what_was_lacking_sticks_after_a_prune() -> None:
    rules = replace(P3, mesh_deliveries_weight=0.0, mesh_failure_weight=-1.0, mesh_failure_decay=0.5)
    found, ids = scores(rules), count()
    for peer in ("ann", "bob", "cid"):
        found.grafted(peer, T, 0.0)
    deliver(found, "ann", 0.0, ids, 20)
    found.pruned("cid", T, 3.0)
    assert found.score("cid", 3.0) == 0, "not active yet"
    deliver(found, "ann", 6.0, ids, 1)
    for peer in ("ann", "bob"):
        assert found.score(peer, 6.0) == 0
        found.pruned(peer, T, 6.0)
        found.pruned(peer, T, 6.0)
    assert found.score("ann", 6.0) == 0
    assert found.score("bob", 6.0) == -400
    assert found.score("bob", 7.0) == -200


def test_a_deficit_stays_after_a_prune_until_the_next_graft() -> None:
    found = scores(P3)
    found.grafted("ann", T, 0.0)
    found.score("ann", 6.0)
    found.pruned("ann", T, 6.0)
    assert found.score("ann", 60.0) == -400
    found.grafted("ann", T, 60.0)
    assert found.score("ann", 60.0) == 0
    assert found.score("ann", 66.0) == -400


# --- P4 ---------------------------------------------------------------------------------------------------------------


P4 = TopicScoreSettings(invalid_weight=-1.0, invalid_decay=0.5, weight=2.0)


def test_a_refused_message_counts_against_all_who_brought_it() -> None:
    found = scores(P4)
    found.validating("ann", T, b"id", 0.0)
    found.duplicate("bob", T, b"id", 0.0)
    assert found.score("ann", 0.0) == 0
    found.rejected("ann", T, b"id", 0.0)
    found.rejected("ann", T, b"id", 0.0)
    found.duplicate("cid", T, b"id", 50.0)
    assert found.score("ann", 0.0) == -2
    assert found.score("bob", 0.0) == -2
    assert found.score("cid", 50.0) == -2


def test_refused_messages_count_squared_and_fade() -> None:
    found = scores(P4)
    for number in range(4):
        found.rejected("ann", T, bytes([number]), 0.0)
    assert [found.score("ann", float(at)) for at in (0, 1, 2)] == [-32, -8, -2]
    assert found.score("ann", 20.0) == 0


def test_ignored_messages_and_accepted_ones_blame_nobody() -> None:
    found = scores(P4)
    found.validating("ann", T, b"id", 0.0)
    found.duplicate("bob", T, b"id", 0.0)
    found.ignored("ann", T, b"id", 0.0)
    found.duplicate("cid", T, b"id", 0.0)
    found.rejected("ann", T, b"id", 0.0)
    found.delivered("ann", T, b"good", 0.0)
    found.rejected("bob", T, b"good", 0.0)
    assert [found.score(peer, 0.0) for peer in ("ann", "bob", "cid")] == [0, 0, 0]


def test_a_forged_id_does_not_taint_the_real_message() -> None:
    found = scores(replace(P4, first_deliveries_weight=1.0))
    found.invalid("ann", T, 0.0)
    assert found.score("ann", 0.0) == -2
    found.delivered("bob", T, b"id", 0.0)
    assert found.score("bob", 0.0) == 2


def test_a_message_is_forgotten_after_a_while() -> None:
    found = scores(P4)
    found.rejected("ann", T, b"id", 0.0)
    found.duplicate("bob", T, b"id", 100.0)
    assert found.score("bob", 100.0) == -2
    found.duplicate("cid", T, b"id", 400.0)
    assert found.score("cid", 400.0) == 0


# --- topics together --------------------------------------------------------------------------------------------------


def test_topics_add_up_to_the_cap() -> None:
    topics = {name: replace(P2, weight=weight) for name, weight in (("a", 1.0), ("b", 2.0))}
    for cap, wanted in ((0.0, 6.0), (5.0, 5.0), (7.0, 6.0)):
        found: Scores[str] = Scores(ScoreSettings(topics=topics, topic_cap=cap), 0.0)
        found.connected("ann", [], 0.0)
        for topic in ("a", "b", "unknown"):
            found.delivered("ann", topic, topic.encode(), 0.0)
        assert found.score("ann", 0.0) == wanted


def test_the_cap_spares_what_is_not_of_topics() -> None:
    found = scores(P2, ScoreSettings(topic_cap=5.0))
    deliver(found, "ann", 0.0, count(), 8)
    found.set_application("ann", 7.0)
    assert found.score("ann", 0.0) == 12


def test_a_topic_can_be_counted_otherwise_from_now_on() -> None:
    found, ids = scores(P2), count()
    deliver(found, "ann", 0.0, ids, 8)
    found.set_topic(T, replace(P2, first_deliveries_cap=3.0), 0.0)
    assert found.score("ann", 0.0) == 6
    found.set_topic("new", P2, 0.0)
    found.delivered("ann", "new", b"id", 0.0)
    assert found.score("ann", 0.0) == 8
    with pytest.raises(UsageError, match="invalid_decay"):
        found.set_topic(T, replace(P2, invalid_decay=1.0), 0.0)
    assert found.score("ann", 0.0) == 8


def test_topics_without_settings_count_for_nothing() -> None:
    found = scores(replace(P3, first_deliveries_weight=1.0, invalid_weight=-1.0))
    for step in (found.validating, found.delivered, found.duplicate, found.rejected, found.ignored):
        step("ann", "unknown", b"id", 0.0)
    found.grafted("ann", "unknown", 0.0)
    found.invalid("ann", "unknown", 0.0)
    found.pruned("ann", "unknown", 9.0)
    told = parts(found, "ann", 10.0)
    assert told.score == 0
    assert told.topics == {}
    found.validating("ann", T, b"id", 10.0)
    found.delivered("ann", T, b"id", 10.0)
    assert found.score("ann", 10.0) == 1


# --- P5 and P7 --------------------------------------------------------------------------------------------------------


def test_the_application_has_a_say() -> None:
    found = scores(QUIET, ScoreSettings(application_weight=0.5))
    found.set_application("ann", -100.0)
    assert found.score("ann", 1000.0) == -50
    found.set_application("ann", 10.0)
    assert found.score("ann", 1000.0) == 5
    found.set_application("stranger", 10.0)
    assert found.score("stranger", 1000.0) == 0
    with pytest.raises(UsageError):
        found.set_application("ann", float("nan"))


def test_misbehaviour_above_the_threshold_counts_squared_and_fades() -> None:
    overall = ScoreSettings(behaviour_weight=-1.0, behaviour_threshold=2.0, behaviour_decay=0.5)
    found = scores(QUIET, overall)
    found.misbehaved("ann", 0.0, 2.0)
    assert found.score("ann", 0.0) == 0
    found.misbehaved("ann", 0.0)
    found.misbehaved("ann", 0.0, 3.0)
    assert found.score("ann", 0.0) == -16
    assert found.score("ann", 1.0) == -1
    assert found.score("ann", 2.0) == 0
    found.misbehaved("stranger", 0.0)
    assert found.score("stranger", 0.0) == 0
    with pytest.raises(UsageError):
        found.misbehaved("ann", 0.0, -1.0)
