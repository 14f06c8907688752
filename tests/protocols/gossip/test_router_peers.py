"""Peers coming and going, their topics, and own messages (pubsub "Subscriptions", gossipsub v1.1 "Flood publishing")."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.codecs.gossip import Control, Extensions, Rpc, Subscription
from mesh.errors import UsageError
from mesh.protocols.gossip import (
    Limits,
    MeshSettings,
    PeerExtends,
    RouterSettings,
    ScoreSettings,
    Thresholds,
    TopicJoined,
    TopicLeft,
    Version,
)
from tests.protocols.gossip.network import ME, TOPIC, Alone, frames, message

FLOODING = RouterSettings(
    mesh=MeshSettings(flood_publish=True), thresholds=Thresholds(gossip=-1.0, publish=-2.0, graylist=-3.0)
)


@pytest.mark.parametrize("version", list(Version))
def test_the_first_rpc_lists_our_topics(version: Version) -> None:
    alone = Alone(topics=(TOPIC, "weather"))
    alone.router.connect(1, version, True, 0.0)
    first = frames(alone.router.queues[1].take())
    assert [(each.topic, each.subscribe) for each in first.subscriptions] == [
        (TOPIC, True),
        ("weather", True),
    ]
    assert first.control is None


def test_joining_and_leaving_is_told_to_all() -> None:
    alone = Alone(topics=())
    alone.peers(2)
    alone.peer(3, Version.FLOODSUB, topics=())
    alone.router.join("weather", 0.0)
    assert [said.subscriptions for said in alone.said().values()] == [[("weather", True)]] * 3
    alone.router.leave("weather", 0.0)
    alone.router.leave("weather", 0.0)
    assert [said.subscriptions for said in alone.said().values()] == [[("weather", False)]] * 3
    assert alone.router.topics() == []


def test_who_is_in_a_topic() -> None:
    alone = Alone()
    alone.peers(3)
    alone.peer(4, Version.FLOODSUB)
    alone.peer(5, topics=("other",))
    alone.hear(2, subscriptions=[Subscription(False, TOPIC), Subscription(False, "never")])
    alone.hear(3, subscriptions=[Subscription(True, TOPIC)])
    assert sorted(alone.router.peers(TOPIC)) == [1, 3, 4]
    assert alone.router.peers("other") == [5]
    alone.router.disconnect(5, 0.0)
    assert alone.router.peers("other") == []
    events = alone.router.events()
    assert [each.peer for each in events if isinstance(each, TopicJoined)] == [1, 2, 3, 4, 5]
    assert [(each.peer, each.topic) for each in events if isinstance(each, TopicLeft)] == [
        (2, TOPIC),
        (5, "other"),
    ]
    assert alone.router.events() == []


def test_a_peer_is_connected_once() -> None:
    alone = Alone()
    alone.peer(1)
    for peer in (1, ME):
        with pytest.raises(UsageError):
            alone.router.connect(peer, Version.V1_2, True, 0.0)
    alone.router.disconnect(1, 0.0)
    alone.router.disconnect(1, 0.0)
    alone.router.connect(1, Version.V1_1, True, 0.0)
    assert list(alone.router.queues) == [1]


def test_a_peer_that_went_is_not_named_and_has_no_queue() -> None:
    alone = Alone()
    alone.peers(2)
    alone.router.disconnect(1, 0.0)
    assert alone.router.take_dirty() == [2]
    assert alone.router.take_dirty() == []


def test_subscriptions_of_a_peer_are_bounded() -> None:
    alone = Alone(RouterSettings(limits=Limits(topics_per_peer=100)))
    alone.peer(1, topics=[f"topic {number}" for number in range(2000)])
    assert alone.router.peers("topic 99") == [1]
    assert alone.router.peers("topic 100") == []
    assert alone.router.counts["subscriptions_over_limit"] == 1900
    alone.hear(1, subscriptions=[Subscription(False, "topic 5"), Subscription(True, "topic 500")])
    assert alone.router.peers("topic 500") == [1]


@pytest.mark.parametrize("limits", [Limits(topics=50), Limits(topic_bytes=50 * 3)])
def test_topics_of_all_peers_together_are_bounded_but_ours_are_known(limits: Limits) -> None:
    alone = Alone(RouterSettings(limits=limits), topics=())
    for peer in range(1, 5):
        alone.peer(peer, topics=[f"{peer}{number:02}" for number in range(40)])
    known = sum(len(alone.router.peers(f"{peer}{number:02}")) for peer in range(1, 5) for number in range(40))
    assert known == 50
    alone.router.join(TOPIC, 0.0)
    alone.peer(9)
    assert alone.router.peers(TOPIC) == [9]
    for peer in range(1, 5):
        alone.router.disconnect(peer, 0.0)
    alone.peer(10, topics=["abc"])
    assert alone.router.peers("abc") == [10]


class TestPublishing:
    def test_to_the_mesh_and_direct_and_floodsub_peers(self) -> None:
        alone = Alone(direct=(10,))
        alone.peers(5, grafted=True)
        alone.peer(8)
        alone.peer(9, Version.FLOODSUB)
        alone.peer(10)
        alone.said()
        id, wire = message(ME, 1)
        assert alone.router.publish(TOPIC, id, wire, 0.0) == 7
        assert [peer for peer, said in alone.said().items() if said.wires == [wire]] == [1, 2, 3, 4, 5, 9, 10]

    def test_a_message_is_published_once(self) -> None:
        alone = Alone()
        alone.peers(2, grafted=True)
        id, wire = message(ME, 1)
        assert alone.router.publish(TOPIC, id, wire, 0.0) == 2
        assert alone.router.publish(TOPIC, id, wire, 0.0) == 0

    def test_flooding_reaches_all_above_the_publish_threshold(self) -> None:
        alone = Alone(FLOODING, ScoreSettings(), direct=(4,))
        alone.peers(20)
        alone.peer(21, Version.FLOODSUB)
        assert alone.scores is not None
        for peer, score in ((3, -2.5), (4, -9.0), (5, -1.5), (21, -2.5)):
            alone.scores.set_application(peer, score)
        alone.said()
        id, wire = message(ME, 1)
        assert alone.router.publish(TOPIC, id, wire, 0.0) == 19
        said = alone.said()
        assert {peer for peer in said if not said[peer].wires} == {3, 21}

    def test_flooding_is_for_own_messages_only(self) -> None:
        alone = Alone(FLOODING)
        alone.peers(20)
        alone.peers(3, first=30, grafted=True)
        assert alone.accept(1, message(50, 1)[1]) == 3

    def test_a_topic_nobody_is_in(self) -> None:
        alone = Alone()
        alone.peers(2)
        assert alone.router.publish("empty", *message(ME, 1, topic="empty"), 0.0) == 0
        assert alone.router.room("empty", 0.0) == []

    def test_peers_with_a_full_queue_are_named(self) -> None:
        alone = Alone(RouterSettings(limits=Limits(queue_bytes=100_000)))
        alone.peers(2, grafted=True)
        number = 0
        while not alone.router.room(TOPIC, 0.0):
            number += 1
            assert alone.router.publish(TOPIC, *message(ME, number, bytes(20_000)), 0.0) == 2
        assert alone.router.room(TOPIC, 0.0) == [1, 2]
        assert number == 5
        assert alone.router.publish(TOPIC, *message(ME, 50), 0.0) == 0
        alone.said()
        assert alone.router.room(TOPIC, 0.0) == []

    @pytest.mark.parametrize("id", [b"", bytes(4097)])
    def test_ids_that_cannot_be_are_refused(self, id: bytes) -> None:
        with pytest.raises(UsageError):
            Alone().router.publish(TOPIC, id, b"", 0.0)


class TestExtensions:
    def test_peers_of_1_3_are_told_first(self) -> None:
        alone = Alone(extensions=Extensions(test_extension=True))
        alone.router.connect(1, Version.V1_3, True, 0.0)
        alone.router.connect(2, Version.V1_2, True, 0.0)
        first = frames(alone.router.queues[1].take())
        assert first.control is not None
        assert first.control.extensions is not None
        assert first.control.extensions.test_extension
        assert frames(alone.router.queues[2].take()).control is None

    def test_what_a_peer_announces_first_is_known(self) -> None:
        alone = Alone()
        alone.router.connect(1, Version.V1_3, True, 0.0)
        alone.control(1, Control(extensions=Extensions(partial_messages=True)))
        found = alone.router.extensions(1)
        assert found is not None
        assert found.partial_messages
        assert [each.peer for each in alone.router.events() if isinstance(each, PeerExtends)] == [1]

    @pytest.mark.parametrize("first", [Rpc(), Rpc(control=Control(extensions=Extensions()))])
    def test_late_or_twice_is_misbehaviour_and_no_more(self, first: Rpc) -> None:
        alone = Alone(scores=ScoreSettings(behaviour_weight=-1.0))
        alone.router.connect(1, Version.V1_3, True, 0.0)
        alone.hear(1, first)
        alone.control(1, Control(extensions=Extensions(partial_messages=True)))
        found = alone.router.extensions(1)
        assert found is None or not found.partial_messages
        assert alone.scores is not None
        assert alone.scores.score(1, 0.0) == -1.0
        alone.hear(1, subscriptions=[Subscription(True, TOPIC)])
        assert alone.router.peers(TOPIC) == [1]

    def test_older_peers_have_none(self) -> None:
        alone = Alone()
        alone.router.connect(1, Version.V1_2, True, 0.0)
        alone.control(1, Control(extensions=Extensions(partial_messages=True)))
        assert alone.router.extensions(1) is None
        assert alone.router.extensions(7) is None


def test_the_addresses_of_peers_count_for_their_score() -> None:
    scores = ScoreSettings(ip_colocation_weight=-1.0, ip_colocation_threshold=1)
    alone = Alone(replace(RouterSettings()), scores)
    for peer in (1, 2, 3):
        alone.router.connect(peer, Version.V1_2, True, 0.0, ("192.0.2.1",))
    alone.router.connect(4, Version.V1_2, True, 0.0, ("192.0.2.2",))
    assert alone.scores is not None
    assert [alone.scores.score(peer, 0.0) for peer in (1, 4)] == [-4.0, 0.0]
