"""What the heartbeat does to meshes and fanouts (gossipsub v1.0 "Mesh maintenance", v1.1 "Outbound mesh quotas")."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.codecs.gossip import Subscription
from mesh.errors import UsageError
from mesh.protocols.gossip import (
    DirectMissing,
    Grafted,
    MeshSettings,
    Pruned,
    RouterSettings,
    ScoreSettings,
    Thresholds,
    Version,
)
from tests.protocols.gossip.network import TOPIC, Alone, message


def scored(thresholds: Thresholds | None = None) -> Alone:
    return Alone(replace(RouterSettings(), thresholds=thresholds or Thresholds()), ScoreSettings())


def give(alone: Alone, peer: int, score: float) -> None:
    assert alone.scores is not None
    alone.scores.set_application(peer, score)


def test_the_first_beat_comes_early_and_then_every_second() -> None:
    alone = Alone()
    assert alone.router.deadline() == pytest.approx(0.1)
    alone.router.wake(0.1)
    assert alone.router.deadline() == pytest.approx(1.1)
    alone.router.wake(0.5)
    assert alone.router.deadline() == pytest.approx(1.1)


def test_missed_beats_are_not_made_up_for() -> None:
    alone = Alone()
    alone.router.wake(100.0)
    assert alone.router.deadline() == pytest.approx(101.0)


def test_a_small_mesh_is_filled_to_d() -> None:
    alone = Alone()
    alone.peers(30)
    alone.said()
    alone.beat()
    mesh = alone.router.mesh(TOPIC)
    assert len(mesh) == 6
    said = alone.said()
    assert {peer for peer in said if said[peer].grafts == [TOPIC]} == set(mesh)
    assert {event.peer for event in alone.router.events() if isinstance(event, Grafted)} == set(mesh)


def test_who_is_grafted_does_not_follow_from_who_came_when() -> None:
    picked = []
    for seed in range(20):
        alone = Alone(seed=seed)
        alone.peers(60)
        alone.peers(60, first=100)
        alone.beat()
        picked += alone.router.mesh(TOPIC)
        runs = sum(peer + 1 in alone.router.mesh(TOPIC) for peer in alone.router.mesh(TOPIC))
        assert runs < 4
    assert 30 < sum(peer < 100 for peer in picked) < 90


def test_a_mesh_between_the_bounds_is_left_alone() -> None:
    alone = Alone()
    alone.peers(5, outbound=True, grafted=True)
    alone.peers(20, first=100)
    alone.said()
    alone.pass_time(5.0)
    assert alone.router.mesh(TOPIC) == [1, 2, 3, 4, 5]
    assert all(not said.grafts and not said.prunes for said in alone.said().values())


def test_a_mesh_at_d_high_is_cut_to_d() -> None:
    alone = Alone()
    alone.peers(11, grafted=True)
    alone.beat()
    assert len(alone.router.mesh(TOPIC)) == 11
    alone.peer(12)
    alone.graft(12)
    alone.said()
    alone.router.events()
    alone.beat()
    mesh = alone.router.mesh(TOPIC)
    assert len(mesh) == 6
    pruned = {peer for peer, said in alone.said().items() if said.prunes}
    assert pruned == set(range(1, 13)) - set(mesh)
    assert {event.peer for event in alone.router.events() if isinstance(event, Pruned)} == pruned


def test_who_was_cut_off_is_in_backoff() -> None:
    alone = Alone()
    alone.peers(12, grafted=True)
    alone.beat()
    cut = next(peer for peer in range(1, 13) if peer not in alone.router.mesh(TOPIC))
    alone.said()
    alone.graft(cut)
    assert len(alone.said()[cut].prunes) == 1


def test_the_best_by_score_are_kept() -> None:
    alone = scored()
    alone.peers(12, grafted=True)
    for peer in range(1, 13):
        give(alone, peer, float(peer))
    alone.beat()
    mesh = set(alone.router.mesh(TOPIC))
    assert len(mesh) == 6
    assert mesh >= {9, 10, 11, 12}


def test_two_dialled_peers_are_kept_when_the_mesh_is_cut() -> None:
    alone = scored()
    alone.peers(10, grafted=True)
    alone.peers(2, first=11, outbound=True, grafted=True)
    for peer in range(1, 13):
        give(alone, peer, 5.0 if peer < 11 else 1.0)
    alone.beat()
    mesh = alone.router.mesh(TOPIC)
    assert len(mesh) == 6
    assert set(mesh) >= {11, 12}


def test_dialled_peers_are_added_when_there_are_too_few() -> None:
    alone = Alone()
    alone.peers(6, grafted=True)
    alone.peers(10, first=20)
    alone.peers(3, first=40, outbound=True)
    alone.beat()
    mesh = alone.router.mesh(TOPIC)
    assert set(mesh) >= set(range(1, 7))
    assert len(mesh) == 8
    assert sum(peer >= 40 for peer in mesh) == 2


def test_a_negative_score_is_pruned_and_others_are_untouched() -> None:
    alone = scored()
    alone.peers(6, outbound=True, grafted=True)
    give(alone, 3, -0.1)
    alone.said()
    alone.beat()
    assert alone.router.mesh(TOPIC) == [1, 2, 4, 5, 6]
    said = alone.said()
    assert [prune.backoff for prune in said[3].prunes] == [60]
    assert not any(said[peer].prunes for peer in said if peer != 3)


def test_peers_with_a_negative_score_are_not_grafted() -> None:
    alone = scored()
    alone.peers(4)
    give(alone, 2, -1.0)
    alone.beat()
    assert set(alone.router.mesh(TOPIC)) == {1, 3, 4}


def test_floodsub_peers_are_not_grafted() -> None:
    alone = Alone()
    alone.peers(3, Version.FLOODSUB)
    alone.peers(1, Version.V1_0, first=10)
    alone.beat()
    assert alone.router.mesh(TOPIC) == [10]


def test_opportunistic_grafting_brings_in_better_peers() -> None:
    alone = scored(Thresholds(opportunistic_graft=2.0))
    alone.peers(6, outbound=True, grafted=True)
    alone.peers(33, first=20)
    for peer in range(1, 7):
        give(alone, peer, 1.0)
    for peer in range(20, 53):
        give(alone, peer, 3.0 if peer < 23 else 1.0 if peer < 40 else 0.5)
    alone.pass_time(58.9)
    assert alone.router.mesh(TOPIC) == [1, 2, 3, 4, 5, 6]
    alone.pass_time(2.0)
    mesh = set(alone.router.mesh(TOPIC))
    assert len(mesh) == 8
    assert mesh - {1, 2, 3, 4, 5, 6} <= {20, 21, 22}


def test_no_opportunistic_grafting_in_a_good_mesh() -> None:
    alone = scored(Thresholds(opportunistic_graft=0.5))
    alone.peers(6, outbound=True, grafted=True)
    alone.peers(5, first=20)
    for peer in range(1, 7):
        give(alone, peer, 1.0)
    for peer in range(20, 25):
        give(alone, peer, 3.0)
    alone.pass_time(130.0)
    assert alone.router.mesh(TOPIC) == [1, 2, 3, 4, 5, 6]


def test_missing_direct_peers_are_called_every_300_beats() -> None:
    alone = Alone(direct=(7, 8))
    alone.peer(7)
    alone.pass_time(0.5)

    def missing() -> list[int]:
        return [event.peer for event in alone.router.events() if isinstance(event, DirectMissing)]

    assert missing() == [8]
    alone.pass_time(298.0)
    assert missing() == []
    alone.pass_time(3.0)
    assert missing() == [8]


class TestFanout:
    def test_messages_of_a_topic_not_joined_go_to_d_peers_that_stay(self) -> None:
        alone = Alone(topics=())
        alone.peers(20)
        receivers = []
        for number in range(3):
            assert alone.router.publish(TOPIC, *message(0, number), alone.now) == 6
            receivers.append({peer for peer, said in alone.said().items() if said.wires})
            alone.beat()
        assert receivers[0] == receivers[1] == receivers[2]
        assert alone.router.topics() == []

    def test_it_is_forgotten_after_a_minute_without_messages(self) -> None:
        alone = Alone(topics=(), seed=3)
        alone.peers(100)
        alone.router.publish(TOPIC, *message(0, 1), alone.now)
        first = {peer for peer, said in alone.said().items() if said.wires}
        alone.pass_time(62.0)
        alone.said()
        alone.router.publish(TOPIC, *message(0, 2), alone.now)
        second = {peer for peer, said in alone.said().items() if said.wires}
        assert len(first) == len(second) == 6
        assert first != second

    def test_it_stays_while_there_are_messages(self) -> None:
        alone = Alone(topics=(), seed=3)
        alone.peers(100)
        receivers = []
        for number in range(4):
            alone.router.publish(TOPIC, *message(0, number), alone.now)
            receivers.append({peer for peer, said in alone.said().items() if said.wires})
            alone.pass_time(50.0)
            alone.said()
        assert receivers[0] == receivers[1] == receivers[2] == receivers[3]

    def test_those_who_leave_are_replaced(self) -> None:
        alone = Alone(topics=())
        alone.peers(12)
        alone.router.publish(TOPIC, *message(0, 1), alone.now)
        first = {peer for peer, said in alone.said().items() if said.wires}
        for peer in sorted(first)[:3]:
            alone.router.disconnect(peer, alone.now)
        alone.beat()
        alone.said()
        assert alone.router.publish(TOPIC, *message(0, 2), alone.now) == 6
        assert sum(bool(said.wires) for said in alone.said().values()) == 6

    def test_those_who_leave_get_nothing_before_they_are_replaced(self) -> None:
        alone = Alone(topics=())
        alone.peers(6)
        alone.router.publish(TOPIC, *message(0, 1), alone.now)
        alone.router.disconnect(1, alone.now)
        alone.hear(2, subscriptions=[Subscription(False, TOPIC)])
        assert alone.router.publish(TOPIC, *message(0, 2), alone.now) == 4

    def test_joining_grafts_it_first(self) -> None:
        alone = Alone(topics=())
        alone.peers(50)
        alone.router.publish(TOPIC, *message(0, 1), alone.now)
        fanout = {peer for peer, said in alone.said().items() if said.wires}
        alone.router.join(TOPIC, alone.now)
        assert set(alone.router.mesh(TOPIC)) == fanout

    def test_peers_below_the_publish_threshold_get_nothing(self) -> None:
        alone = scored(Thresholds(gossip=-1.0, publish=-2.0, graylist=-3.0))
        alone.router.leave(TOPIC, alone.now)
        alone.peers(3)
        give(alone, 1, -2.5)
        give(alone, 2, -1.5)
        assert alone.router.publish(TOPIC, *message(0, 1), alone.now) == 2
        give(alone, 2, -2.5)
        alone.beat()
        alone.said()
        assert alone.router.publish(TOPIC, *message(0, 2), alone.now) == 1


def test_topics_that_cannot_be_are_refused() -> None:
    alone = Alone()
    for topic in ("x" * 4097, "\udc80"):
        with pytest.raises(UsageError):
            alone.router.join(topic, 0.0)
    alone.router.join("x" * 4096, 0.0)
    alone.router.join("x" * 4096, 0.0)
    assert alone.router.topics() == [TOPIC, "x" * 4096]


@pytest.mark.parametrize(
    "mesh",
    [
        MeshSettings(d=4),
        MeshSettings(d=13),
        MeshSettings(d_score=7),
        MeshSettings(d_out=4),
        MeshSettings(d_out=2, d_low=2),
        MeshSettings(heartbeat_s=0.0),
        MeshSettings(heartbeat_s=float("nan")),
        MeshSettings(direct_ticks=0),
    ],
)
def test_settings_that_contradict_each_other_are_refused(mesh: MeshSettings) -> None:
    with pytest.raises(UsageError):
        Alone(RouterSettings(mesh=mesh))


def test_a_node_may_keep_no_mesh_at_all() -> None:
    alone = Alone(RouterSettings(mesh=MeshSettings(d=0, d_low=0, d_score=0, d_out=0, d_high=0)))
    alone.peers(3)
    alone.graft(1)
    alone.beat()
    assert alone.router.mesh(TOPIC) == []
    assert [len(said.prunes) for said in alone.said().values()] == [1, 0, 0]
