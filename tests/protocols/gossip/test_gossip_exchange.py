"""IHAVE, IWANT and the promises they make (gossipsub v1.0 "Control messages", v1.1 "Spam protection", catalogue 3.x)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.codecs.gossip import Control, IHave, IWant, Rpc
from mesh.protocols.gossip import (
    GossipSettings,
    RouterSettings,
    ScoreSettings,
    Thresholds,
    Version,
)
from tests.protocols.gossip.network import TOPIC, Alone, message

P7 = ScoreSettings(behaviour_weight=-1.0, behaviour_decay=0.9999)


def ids(count: int, first: int = 0) -> list[bytes]:
    return [b"id" + number.to_bytes(4, "big") for number in range(first, first + count)]


def behaviour(alone: Alone, peer: int) -> float:
    assert alone.scores is not None
    parts = alone.scores.parts(peer, alone.now)
    assert parts is not None
    return parts.behaviour


class TestTelling:
    def test_peers_outside_the_mesh_are_told_of_recent_messages(self) -> None:
        alone = Alone()
        alone.peers(6, outbound=True, grafted=True)
        alone.peers(10, first=20)
        id, wire = message(0, 1)
        alone.router.publish(TOPIC, id, wire, alone.now)
        alone.said()
        alone.beat()
        told = {peer for peer, said in alone.said().items() if said.told == [id]}
        assert len(told) == 6
        assert min(told) >= 20

    def test_who_comes_into_the_mesh_is_told_of_what_went_past_it(self) -> None:
        """Once, at the next beat: of its messages since it was in, a member of a mesh is told of none."""
        alone = Alone()
        alone.peers(2, outbound=True, grafted=True)
        alone.beat()
        before, after = message(50, 1), message(50, 2)
        alone.accept(1, before[1])
        alone.peer(20)
        alone.peers(1, first=21, grafted=True)
        alone.accept(1, after[1])
        alone.said()
        alone.beat()
        said = alone.said()
        assert TOPIC in said[20].grafts
        assert said[20].told == [before[0], after[0]]
        assert said[21].told == [before[0]]
        assert not [peer for peer, each in said.items() if each.told and peer not in (20, 21)]
        alone.beat()
        assert not [peer for peer, each in alone.said().items() if each.told]

    def test_a_quarter_of_many(self) -> None:
        alone = Alone()
        alone.peers(6, outbound=True, grafted=True)
        alone.peers(80, first=20)
        alone.accept(1, message(50, 1)[1])
        alone.said()
        alone.beat()
        assert sum(bool(said.told) for said in alone.said().values()) == 20

    def test_neither_direct_nor_floodsub_peers_nor_low_scores_are_told(self) -> None:
        settings = replace(RouterSettings(), thresholds=Thresholds(gossip=-1.0, publish=-2.0, graylist=-3.0))
        alone = Alone(settings, ScoreSettings(), direct=(20,))
        alone.peers(6, outbound=True, grafted=True)
        for peer in (20, 21, 22):
            alone.peer(peer)
        alone.peer(23, Version.FLOODSUB)
        alone.peer(24, topics=("other",))
        assert alone.scores is not None
        alone.scores.set_application(21, -1.5)
        alone.scores.set_application(22, -0.5)
        alone.router.publish(TOPIC, *message(0, 1), alone.now)
        alone.said()
        alone.beat()
        assert [peer for peer, said in alone.said().items() if said.told] == [22]

    def test_for_three_beats(self) -> None:
        alone = Alone()
        alone.peers(6, outbound=True, grafted=True)
        alone.peer(20)
        alone.router.publish(TOPIC, *message(0, 1), alone.now)
        alone.said()
        told = []
        for _ in range(5):
            alone.beat()
            told.append(bool(alone.said()[20].told))
        assert told == [True, True, True, False, False]

    def test_no_more_than_5000_ids(self) -> None:
        alone = Alone(replace(RouterSettings(), gossip=GossipSettings(max_ihave_length=50)))
        alone.peers(6, outbound=True, grafted=True)
        alone.peers(2, first=20)
        for number in range(120):
            alone.router.publish(TOPIC, *message(0, number), alone.now)
        alone.said()
        alone.beat()
        told = [said.told for said in alone.said().values() if said.told]
        assert [len(set(each)) for each in told] == [50, 50]
        assert set(told[0]) != set(told[1])

    def test_of_a_fanout_topic_as_well(self) -> None:
        alone = Alone(topics=())
        alone.peers(20)
        id, wire = message(0, 1)
        alone.router.publish(TOPIC, id, wire, alone.now)
        fanout = {peer for peer, said in alone.said().items() if said.wires}
        alone.beat()
        told = {peer for peer, said in alone.said().items() if said.told == [id]}
        assert len(told) == 6
        assert told.isdisjoint(fanout)


class TestAsking:
    def test_both_of_two_unknown_ids(self) -> None:
        alone = Alone()
        alone.peer(1)
        alone.said()
        alone.tell(1, [b"\xff\x00one", b"two"])
        assert sorted(alone.said()[1].asked) == [b"two", b"\xff\x00one"]

    def test_not_for_what_is_here(self) -> None:
        alone = Alone()
        alone.peer(1)
        known, wire = message(5, 1)
        alone.accept(1, wire)
        alone.said()
        alone.tell(1, [known, b"new"])
        assert alone.said()[1].asked == [b"new"]

    def test_not_in_topics_not_joined(self) -> None:
        alone = Alone()
        alone.peer(1)
        alone.said()
        alone.tell(1, [b"one"], topic="other")
        assert alone.said()[1].asked == []

    def test_5000_ids_of_a_peer_in_a_beat(self) -> None:
        alone = Alone()
        alone.peers(2)
        alone.beat()
        alone.said()
        alone.tell(1, ids(6000))
        assert len(set(alone.said()[1].asked)) == 5000
        alone.tell(1, ids(10, first=10000))
        assert alone.said()[1].asked == []
        alone.tell(2, ids(10, first=10000))
        assert len(alone.said()[2].asked) == 10
        alone.beat()
        alone.said()
        alone.tell(1, ids(10, first=10000))
        assert len(alone.said()[1].asked) == 10

    def test_5000_ids_of_an_rpc_are_looked_at_whatever_the_topics(self) -> None:
        alone = Alone(topics=(TOPIC, "other"))
        alone.peer(1)
        alone.said()
        told = [IHave("unknown", ids(4000)), IHave(TOPIC, ids(3000)), IHave("other", ids(3000, first=10000))]
        alone.control(1, Control(ihave=told))
        asked = alone.said()[1].asked
        assert sorted(asked) == sorted(ids(3000) + ids(2000, first=10000))

    def test_the_rest_of_the_room_of_a_beat(self) -> None:
        alone = Alone()
        alone.peer(1)
        alone.said()
        alone.tell(1, ids(4990))
        alone.said()
        alone.tell(1, ids(100, first=10000))
        assert len(alone.said()[1].asked) == 10

    def test_ten_announcements_of_a_peer_in_a_beat(self) -> None:
        alone = Alone()
        alone.peer(1)
        alone.beat()
        alone.said()
        for number in range(15):
            alone.tell(1, ids(1, first=number))
        assert len(alone.said()[1].asked) == 10
        assert alone.router.counts["announcements_over_limit"] == 5
        alone.beat()
        alone.said()
        alone.tell(1, ids(1, first=100))
        assert len(alone.said()[1].asked) == 1

    def test_nobody_below_the_gossip_threshold(self) -> None:
        settings = replace(RouterSettings(), thresholds=Thresholds(gossip=-1.0, publish=-2.0, graylist=-3.0))
        alone = Alone(settings, ScoreSettings())
        alone.peer(1)
        alone.said()
        assert alone.scores is not None
        alone.scores.set_application(1, -1.5)
        alone.tell(1, [b"one"])
        assert alone.said()[1].asked == []


class TestAnswering:
    def test_a_message_three_times_to_a_peer(self) -> None:
        alone = Alone()
        alone.peers(2)
        id, wire = message(0, 1)
        alone.router.publish(TOPIC, id, wire, alone.now)
        alone.said()
        for _ in range(6):
            alone.ask(1, [id])
        alone.ask(2, [id])
        said = alone.said()
        assert said[1].wires == [wire] * 3
        assert said[2].wires == [wire]
        assert alone.router.counts["answers_over_limit"] == 3

    def test_nothing_for_unknown_ids(self) -> None:
        alone = Alone()
        alone.peer(1)
        alone.said()
        alone.ask(1, [b"\xff\xfe", b"", b"what"])
        assert alone.said()[1].rpcs == []

    def test_for_five_beats(self) -> None:
        alone = Alone()
        alone.peer(1)
        id, wire = message(0, 1)
        alone.router.publish(TOPIC, id, wire, alone.now)
        alone.said()
        for beats, found in ((4, [wire]), (1, [])):
            alone.pass_time(beats)
            alone.said()
            alone.ask(1, [id])
            assert alone.said()[1].wires == found

    def test_nobody_below_the_gossip_threshold(self) -> None:
        settings = replace(RouterSettings(), thresholds=Thresholds(gossip=-1.0, publish=-2.0, graylist=-3.0))
        alone = Alone(settings, ScoreSettings())
        alone.peer(1)
        assert alone.scores is not None
        alone.scores.set_application(1, -1.5)
        id, wire = message(0, 1)
        alone.router.publish(TOPIC, id, wire, alone.now)
        alone.said()
        alone.ask(1, [id])
        assert alone.said()[1].wires == []

    def test_no_more_than_5000_ids_of_an_rpc_are_looked_at(self) -> None:
        alone = Alone()
        alone.peer(1)
        id, wire = message(0, 1)
        alone.router.publish(TOPIC, id, wire, alone.now)
        alone.said()
        alone.control(1, Control(iwant=[IWant(ids(3000)), IWant([*ids(2000), id])]))
        assert alone.said()[1].wires == []
        alone.control(1, Control(iwant=[IWant(ids(3000)), IWant([*ids(1999), id])]))
        assert alone.said()[1].wires == [wire]

    def test_many_requests_of_long_messages_fill_no_more_than_the_queue(self) -> None:
        alone = Alone()
        alone.peer(1)
        alone.said()
        requested = []
        for number in range(20):
            id, wire = message(0, number, bytes(900_000))
            alone.router.publish("elsewhere", id, wire, alone.now)
            requested.append(id)
        alone.control(1, Control(iwant=[IWant(requested * 3)]))
        assert alone.router.queues[1].waiting_bytes < 6 * 2**20
        assert alone.router.counts["dropped_full"] > 0


class TestPromises:
    def test_a_broken_one_is_misbehaviour_after_three_seconds(self) -> None:
        alone = Alone(scores=P7)
        alone.peer(1)
        alone.pass_time(0.2)
        alone.tell(1, ids(20))
        alone.pass_time(2.5)
        assert behaviour(alone, 1) == 0
        alone.pass_time(2.0)
        assert behaviour(alone, 1) == pytest.approx(1, rel=0.01)
        alone.pass_time(20.0)
        assert behaviour(alone, 1) <= 1

    @pytest.mark.parametrize("bringer", [1, 2])
    def test_whoever_brings_the_message_keeps_it(self, bringer: int) -> None:
        alone = Alone(scores=P7)
        alone.peers(2)
        id, wire = message(5, 1)
        alone.tell(1, [id])
        alone.pass_time(2.0)
        alone.accept(bringer, wire)
        alone.pass_time(5.0)
        assert behaviour(alone, 1) == 0

    def test_a_forgery_does_not_keep_it(self) -> None:
        alone = Alone(scores=P7)
        alone.peer(1)
        id, wire = message(5, 1)
        alone.tell(1, [id])
        (incoming,) = alone.bring(1, wire)
        alone.router.forged(incoming, alone.now)
        alone.pass_time(5.0)
        assert behaviour(alone, 1) == pytest.approx(1, rel=0.01)

    def test_one_for_each_announcement(self) -> None:
        alone = Alone(scores=P7)
        alone.peer(1)
        for number in range(4):
            alone.control(1, Control(ihave=[IHave(TOPIC, ids(5, first=100 * number))]))
        alone.pass_time(5.0)
        assert behaviour(alone, 1) == pytest.approx(4, rel=0.01)

    def test_who_goes_does_not_get_off(self) -> None:
        alone = Alone(
            scores=ScoreSettings(behaviour_weight=-1.0, behaviour_decay=0.9999, application_weight=0.0)
        )
        alone.peer(1)
        alone.tell(1, ids(5))
        alone.prune(1)
        alone.graft(1)
        alone.router.disconnect(1, alone.now)
        alone.pass_time(5.0)
        alone.peer(1)
        assert behaviour(alone, 1) == pytest.approx(3, rel=0.01)

    def test_their_number_is_bounded(self) -> None:
        settings = replace(RouterSettings(), gossip=GossipSettings(max_promises=3))
        alone = Alone(settings, scores=P7)
        alone.peer(1)
        for number in range(8):
            alone.tell(1, ids(5, first=100 * number))
        alone.pass_time(5.0)
        assert alone.router.counts["promises_broken"] == 3


def test_an_empty_control_message_changes_nothing() -> None:
    alone = Alone()
    alone.peer(1)
    alone.said()
    assert alone.hear(1, Rpc(control=Control())) == []
    assert alone.hear(1, Rpc()) == []
    assert alone.said()[1].rpcs == []
