"""What is kept of a peer that went, and that nothing depends on when one asks (gossipsub v1.1, "Peer scoring")."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.protocols.gossip.scores import PeerParts, Scores
from mesh.protocols.gossip.settings import ScoreSettings, TopicScoreSettings

T = "topic"
QUIET = TopicScoreSettings()
P2 = TopicScoreSettings(first_deliveries_weight=2.0, first_deliveries_decay=0.5, first_deliveries_cap=10.0)
P3 = TopicScoreSettings(
    mesh_deliveries_weight=-1.0,
    mesh_deliveries_decay=0.999_999_999,
    mesh_deliveries_cap=30.0,
    mesh_deliveries_threshold=20.0,
    mesh_deliveries_window_s=0.01,
    mesh_deliveries_activation_s=5.0,
)


def scores(topic: TopicScoreSettings, overall: ScoreSettings) -> Scores[str]:
    found: Scores[str] = Scores(replace(overall, topics={T: topic}), 0.0)
    for peer in ("ann", "bob", "cid"):
        found.connected(peer, [], 0.0)
    return found


def parts(of: Scores[str], peer: str, now: float) -> PeerParts:
    found = of.parts(peer, now)
    assert found is not None
    return found


def deliver(to: Scores[str], peer: str, now: float, times: int) -> None:
    for number in range(times):
        to.delivered(peer, T, bytes([number]), now)


LASTING = ScoreSettings(
    behaviour_weight=-1.0, behaviour_decay=0.5, retain_s=100.0, max_retained=2, decay_interval_s=1.0
)


def test_a_bad_score_outlasts_a_disconnection_unfaded() -> None:
    found = scores(P2, LASTING)
    found.misbehaved("ann", 0.0, 4.0)
    found.disconnected("ann", 0.5)
    assert found.score("ann", 99.0) == -16
    found.connected("ann", [], 99.5)
    assert found.score("ann", 99.9) == -16
    assert found.score("ann", 100.0) == -4


def test_it_is_forgotten_in_the_end() -> None:
    found = scores(P2, LASTING)
    found.misbehaved("ann", 0.0, 4.0)
    found.disconnected("ann", 0.0)
    assert found.deadline() == 100.0
    found.wake(99.0)
    assert found.score("ann", 99.0) == -16
    found.wake(100.0)
    assert found.parts("ann", 100.0) is None
    assert len(found) == 2
    assert found.deadline() is None


def test_forgetting_does_not_wait_to_be_woken() -> None:
    found = scores(P2, LASTING)
    for peer in ("ann", "bob"):
        found.misbehaved(peer, 0.0, 4.0)
        found.disconnected(peer, 0.0)
    assert found.score("ann", 100.0) == 0
    found.connected("bob", [], 100.0)
    assert found.score("bob", 100.0) == 0


def test_a_good_score_is_forgotten_at_once() -> None:
    found = scores(replace(P2, invalid_weight=-1.0), LASTING)
    deliver(found, "ann", 0.0, 9)
    found.invalid("ann", T, 0.0)
    assert found.score("ann", 0.0) == 17
    found.disconnected("ann", 0.0)
    assert len(found) == 2
    found.connected("ann", [], 0.0)
    assert found.score("ann", 0.0) == 0


def test_first_deliveries_are_not_kept_and_a_deficit_sticks() -> None:
    rules = replace(P3, mesh_failure_weight=-1.0, mesh_failure_decay=0.5, first_deliveries_weight=1.0)
    found = scores(rules, LASTING)
    found.grafted("ann", T, 0.0)
    deliver(found, "ann", 6.0, 10)
    assert found.score("ann", 6.0) == -90
    found.disconnected("ann", 6.0)
    kept = parts(found, "ann", 6.0)
    assert not kept.connected
    assert not kept.topics[T].in_mesh
    assert kept.topics[T].first_deliveries == 0
    assert kept.topics[T].mesh_failure == 100
    assert kept.score == -200


def test_who_is_kept_is_bounded_and_the_guilty_stay_longest() -> None:
    found: Scores[int] = Scores(replace(LASTING, behaviour_threshold=1.0), 0.0)
    for peer in range(100):
        found.connected(peer, [], 0.0)
        found.misbehaved(peer, 0.0, 3.0 if peer == 0 else 1.0)
        found.disconnected(peer, 0.0)
    assert len(found) == 2
    assert found.score(0, 0.0) == -4
    for peer in range(100, 103):
        found.connected(peer, [], 0.0)
        found.misbehaved(peer, 0.0, 4.0)
        found.disconnected(peer, 0.0)
    assert [found.score(peer, 0.0) for peer in (0, 100, 101, 102)] == [0, 0, -9, -9]


def test_nothing_is_kept_of_those_who_did_nothing_or_if_so_wished() -> None:
    found = scores(QUIET, LASTING)
    found.disconnected("ann", 0.0)
    assert len(found) == 2
    found = scores(QUIET, replace(LASTING, retain_s=0.0))
    found.misbehaved("ann", 0.0)
    found.disconnected("ann", 0.0)
    assert len(found) == 2


def test_strangers_are_nobody() -> None:
    found = scores(replace(QUIET, invalid_weight=-1.0), LASTING)
    found.rejected("stranger", T, b"id", 0.0)
    found.grafted("stranger", T, 0.0)
    found.pruned("stranger", T, 0.0)
    found.disconnected("stranger", 0.0)
    assert found.score("stranger", 0.0) == 0
    assert found.parts("stranger", 0.0) is None
    assert len(found) == 3


# --- all of it --------------------------------------------------------------------------------------------------------


ALL = ScoreSettings(
    behaviour_weight=-1.0,
    behaviour_decay=0.8,
    ip_colocation_weight=-1.0,
    ip_colocation_threshold=1,
    topic_cap=50.0,
    retain_s=20.0,
    max_retained=3,
)
ALL_TOPIC = replace(
    P3,
    time_in_mesh_weight=0.1,
    first_deliveries_weight=1.0,
    mesh_failure_weight=-1.0,
    mesh_deliveries_decay=0.8,
    mesh_deliveries_activation_s=2.0,
    invalid_weight=-1.0,
)

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "connect",
                "go",
                "graft",
                "prune",
                "start",
                "accept",
                "again",
                "refuse",
                "ignore",
                "offend",
                "wake",
            ]
        ),
        st.integers(0, 5),
        st.integers(0, 3),
        st.sampled_from([0.0, 0.005, 0.4, 1.0, 7.5, 130.0]),
    ),
    max_size=60,
)


def act(found: Scores[int], step: str, peer: int, number: int, now: float) -> None:
    message_id = bytes([number])
    match step:
        case "connect":
            found.connected(peer, [f"192.0.2.{number}"], now)
        case "go":
            found.disconnected(peer, now)
        case "graft":
            found.grafted(peer, T, now)
        case "prune":
            found.pruned(peer, T, now)
        case "start":
            found.validating(peer, T, message_id, now)
        case "accept":
            found.delivered(peer, T, message_id, now)
        case "again":
            found.duplicate(peer, T, message_id, now)
        case "refuse":
            found.rejected(peer, T, message_id, now)
        case "ignore":
            found.ignored(peer, T, message_id, now)
        case "offend":
            found.misbehaved(peer, now)
        case _:
            found.wake(now)


@given(STEPS)
@example([("connect", 1, 0, 0.0), ("go", 1, 0, 0.0), ("connect", 0, 0, 130.0)])
@example([("connect", 1, 0, 0.0), ("connect", 0, 0, 0.0), ("go", 1, 0, 0.0), ("graft", 2, 0, 130.0)])
def test_asking_and_waking_change_nothing(steps: list[tuple[str, int, int, float]]) -> None:
    """One life is watched at every step and woken in time, the other is left alone: in the end they are equal."""
    settings = replace(ALL, topics={T: ALL_TOPIC})
    watched: Scores[int] = Scores(settings, 0.0)
    alone: Scores[int] = Scores(settings, 0.0)
    now = 0.0
    for step, peer, number, passed_s in steps:
        now += passed_s
        deadline = watched.deadline()
        if deadline is not None and deadline <= now:
            watched.wake(now)
        for each in range(6):
            seen = watched.parts(each, now)
            assert watched.score(each, now) == (seen.score if seen else 0)
            if seen:
                told = (
                    seen.topics_score
                    + seen.application_score
                    + seen.ip_colocation_score
                    + seen.behaviour_score
                )
                assert told == pytest.approx(seen.score)
                assert seen.topics_score <= 50
        act(watched, step, peer, number, now)
        if step != "wake":
            act(alone, step, peer, number, now)
    for each in range(6):
        assert alone.score(each, now) == pytest.approx(watched.score(each, now))
    assert len(watched) <= 6
