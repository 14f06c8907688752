"""Messages through one router: what is taken, passed on, and to whom (catalogue 2.x, pubsub "Message signing")."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.codecs.gossip import Message, Rpc
from mesh.errors import UsageError
from mesh.protocols.gossip import (
    Limits,
    RouterSettings,
    ScoreSettings,
    Thresholds,
    TopicScoreSettings,
    Verdict,
    Version,
)
from tests.protocols.gossip.network import ME, TOPIC, Alone, message

P4 = ScoreSettings(topics={TOPIC: TopicScoreSettings(invalid_weight=-1.0, invalid_decay=0.99)})


def meshed(scores: ScoreSettings | None = None, settings: RouterSettings | None = None) -> Alone:
    """Peers 1 to 4 are in the mesh."""
    alone = Alone(settings, scores)
    alone.peers(4, outbound=True, grafted=True)
    alone.said()
    return alone


def receivers(alone: Alone, wire: bytes) -> list[int]:
    return [peer for peer, said in alone.said().items() if said.wires == [wire]]


@pytest.mark.parametrize("data", [b"data", b"", bytes(50_000)])
def test_an_accepted_message_goes_to_the_mesh_unchanged_but_not_back(data: bytes) -> None:
    alone = meshed()
    alone.peer(9)
    wire = message(20, 1, data)[1] + b"\x7a\x01x"
    (incoming,) = alone.bring(1, wire)
    assert incoming.source == 1
    assert incoming.message.data == data
    assert alone.router.verified(incoming, alone.now)
    assert alone.router.settle(incoming, Verdict.ACCEPT, alone.now) == 3
    assert receivers(alone, wire) == [2, 3, 4]


def test_of_messages_verified_together_the_first_of_an_id_is_new() -> None:
    alone = meshed(P4)
    scores = alone.scores
    assert scores is not None
    wires = [message(20, 1)[1], message(20, 1)[1] + b"\x7a\x01x", message(20, 2)[1]]
    brought = [alone.bring(peer, wire)[0] for peer, wire in enumerate(wires, 1)]
    assert alone.router.verified_all(brought, alone.now) == [brought[0], brought[2]]
    assert alone.router.counts["duplicates"] == 1
    assert alone.router.settle(brought[0], Verdict.REJECT, alone.now) == 0
    assert [scores.score(peer, alone.now) < 0 for peer in (1, 2, 3)] == [True, True, False]
    with pytest.raises(UsageError):
        alone.router.verified_all(brought[:1], alone.now)


def test_not_to_its_author() -> None:
    alone = meshed()
    assert alone.accept(1, message(3, 1)[1]) == 2
    assert 3 not in receivers(alone, message(3, 1)[1])


def test_not_to_those_who_sent_it_meanwhile() -> None:
    alone = meshed()
    wire = message(20, 1)[1]
    (incoming,) = alone.bring(1, wire)
    assert alone.bring(3, wire) == []
    assert alone.router.verified(incoming, alone.now)
    assert alone.router.accept([incoming], alone.now) == 2
    assert receivers(alone, wire) == [2, 4]


def test_many_are_passed_on_in_their_order_to_each_but_their_senders() -> None:
    alone = meshed()
    wires = [message(20, number)[1] for number in range(4)]
    incoming = [alone.bring(1 + number % 2, wire)[0] for number, wire in enumerate(wires)]
    assert all(alone.router.verified(each, alone.now) for each in incoming)
    assert alone.router.accept(incoming, alone.now) == 12
    said = alone.said()
    assert [said[peer].wires for peer in (1, 2, 3, 4)] == [wires[1::2], wires[::2], wires, wires]


def test_not_in_the_mesh_may_bring_messages_too() -> None:
    alone = meshed()
    alone.peer(9)
    assert alone.accept(9, message(20, 1)[1]) == 4


@pytest.mark.parametrize("verdict", [Verdict.IGNORE, Verdict.REJECT])
def test_neither_ignored_nor_rejected_messages_are_passed_on(verdict: Verdict) -> None:
    alone = meshed()
    (incoming,) = alone.bring(1, message(20, 1)[1])
    alone.router.verified(incoming, alone.now)
    assert alone.router.settle(incoming, verdict, alone.now) == 0
    assert receivers(alone, incoming.wire) == []
    alone.ask(2, [incoming.id])
    assert alone.said()[2].wires == []


@pytest.mark.parametrize("size", [10, 10_000])
def test_a_copy_is_a_duplicate_whoever_brings_it(size: int) -> None:
    alone = meshed()
    wire = message(20, 1, bytes(size))[1]
    alone.accept(1, wire)
    for peer in (1, 2, 3):
        assert alone.bring(peer, wire, wire) == []
    assert alone.router.counts["duplicates"] == 6


def test_many_messages_later_a_copy_is_still_a_duplicate() -> None:
    alone = meshed()
    wires = [message(20, number)[1] for number in range(6000)]
    alone.accept(1, *wires)
    for some in (wires[:10], wires[3000:3010], wires[-10:]):
        assert alone.bring(2, *some) == []


def test_a_copy_that_differs_in_its_bytes_is_a_duplicate_by_its_id() -> None:
    alone = meshed()
    wire = message(20, 1)[1]
    alone.accept(1, wire)
    assert alone.bring(2, wire + b"\x7a\x00") == []


@pytest.mark.parametrize("size", [10, 5000])
def test_a_message_is_remembered_for_two_minutes(size: int) -> None:
    alone = Alone(RouterSettings(limits=Limits(seen_ttl_s=120.0)))
    alone.peers(2, grafted=True)
    wire = message(20, 1, bytes(size))[1]
    alone.accept(1, wire)
    alone.pass_time(119.0)
    assert alone.bring(2, wire) == []
    alone.pass_time(125.0)
    assert len(alone.bring(2, wire)) == 1


def test_a_copy_is_not_verified_twice_at_a_time() -> None:
    alone = meshed()
    wire = message(20, 1)[1]
    (incoming,) = alone.bring(1, wire)
    assert alone.bring(2, wire) == []
    assert alone.router.verified(incoming, alone.now)


def test_a_forgery_does_not_keep_out_the_real_message() -> None:
    alone = meshed()
    id, wire = message(20, 1)
    forged = Message(sender=b"peer 20", data=b"lie", seqno=(1).to_bytes(8, "big"), topic=TOPIC).encode()
    (lie,) = alone.bring(1, forged)
    (real,) = alone.bring(2, wire)
    assert lie.id == real.id == id
    alone.router.forged(lie, alone.now)
    assert alone.router.verified(real, alone.now)
    assert alone.router.settle(real, Verdict.ACCEPT, alone.now) == 3


def test_of_two_encodings_the_first_verified_counts() -> None:
    alone = meshed()
    wire = message(20, 1)[1]
    (one,) = alone.bring(1, wire)
    (two,) = alone.bring(2, wire + b"\x7a\x00")
    assert alone.router.verified(two, alone.now)
    assert not alone.router.verified(one, alone.now)


def test_what_was_dropped_before_verification_may_come_again() -> None:
    alone = meshed()
    wire = message(20, 1)[1]
    (incoming,) = alone.bring(1, wire)
    alone.router.dropped(incoming, alone.now)
    assert len(alone.bring(2, wire)) == 1


def test_no_more_than_so_many_are_verified_at_once() -> None:
    alone = meshed(settings=RouterSettings(limits=Limits(pending=3)))
    wires = [message(20, number)[1] for number in range(5)]
    taken = alone.bring(1, *wires)
    assert len(taken) == 3
    assert alone.router.counts["throttled"] == 2
    alone.router.verified(taken[0], alone.now)
    assert len(alone.bring(1, wires[4])) == 1


def test_own_messages_from_others_are_dropped() -> None:
    alone = meshed(P4)
    assert alone.bring(1, message(ME, 77)[1]) == []
    assert alone.router.counts["own"] == 1
    assert alone.scores is not None
    assert alone.scores.score(1, alone.now) < 0


def test_own_messages_come_back_as_duplicates() -> None:
    alone = meshed()
    id, wire = message(ME, 1)
    alone.router.publish(TOPIC, id, wire, alone.now)
    assert alone.bring(1, wire) == []
    assert alone.router.counts["duplicates"] == 1


def test_messages_of_topics_not_joined_are_dropped() -> None:
    alone = meshed()
    assert alone.bring(1, message(20, 1, topic="other")[1]) == []
    assert alone.router.counts["unjoined"] == 1


@pytest.mark.parametrize("wire", [b"\x0a\xff", b"\xff" * 40, Message(data=b"no id", topic=TOPIC).encode()])
def test_malformed_messages_are_dropped_alone(wire: bytes) -> None:
    alone = meshed()
    good = message(20, 1)[1]
    (incoming,) = alone.bring(1, wire, good)
    assert incoming.wire == good
    assert alone.router.counts["malformed"] == 1


def test_a_topic_left_meanwhile_is_not_passed_on() -> None:
    alone = meshed()
    (incoming,) = alone.bring(1, message(20, 1)[1])
    assert alone.router.verified(incoming, alone.now)
    alone.router.leave(TOPIC, alone.now)
    assert alone.router.settle(incoming, Verdict.ACCEPT, alone.now) == 0


def test_the_source_may_be_gone_meanwhile() -> None:
    alone = meshed(P4)
    one, two = alone.bring(1, message(20, 1)[1], message(20, 2)[1])
    alone.router.disconnect(1, alone.now)
    assert alone.router.verified(one, alone.now)
    assert alone.router.settle(one, Verdict.ACCEPT, alone.now) == 3
    alone.router.forged(two, alone.now)


def test_every_message_is_settled_once() -> None:
    alone = meshed()
    (incoming,) = alone.bring(1, message(20, 1)[1])
    alone.router.verified(incoming, alone.now)
    for door in (alone.router.verified, alone.router.forged, alone.router.dropped):
        with pytest.raises(UsageError):
            door(incoming, alone.now)


def test_a_topic_can_have_ids_of_its_own() -> None:
    alone = meshed()
    alone.router.set_message_id(TOPIC, lambda message: b"by data " + (message.data or b""))
    first, second = message(20, 1, b"same")[1], message(21, 9, b"same")[1]
    assert alone.accept(1, first) == 3
    assert alone.bring(2, second) == []
    alone.said()
    alone.ask(9, [b"by data same"])
    alone.ask(4, [b"by data same"])
    assert alone.said()[4].wires == [first]


def test_forgeries_and_rejected_messages_count_against_all_who_sent_them() -> None:
    alone = meshed(P4)
    forged, refused = message(20, 1)[1], message(20, 2)[1]
    first, second = alone.bring(1, forged, refused)
    alone.bring(2, forged)
    alone.bring(3, refused)
    alone.router.forged(first, alone.now)
    alone.router.verified(second, alone.now)
    alone.router.settle(second, Verdict.REJECT, alone.now)
    alone.bring(4, refused)
    assert alone.scores is not None
    scores = [alone.scores.score(peer, alone.now) for peer in (1, 2, 3, 4)]
    assert scores == [-4.0, -1.0, -1.0, -1.0]


def test_a_sender_of_forgeries_is_pruned_and_then_not_heard() -> None:
    settings = replace(RouterSettings(), thresholds=Thresholds(gossip=-2.0, publish=-4.0, graylist=-12.0))
    alone = meshed(P4, settings)
    for number in range(2):
        (incoming,) = alone.bring(1, message(20, number)[1])
        alone.router.forged(incoming, alone.now)
    alone.beat()
    assert alone.router.mesh(TOPIC) == [2, 3, 4]
    for number in range(2, 4):
        (incoming,) = alone.bring(1, message(20, number)[1])
        alone.router.forged(incoming, alone.now)
    alone.said()
    assert alone.bring(1, message(20, 9)[1]) == []
    alone.tell(1, [b"id"])
    alone.graft(1)
    assert alone.said()[1].rpcs == []
    assert alone.router.counts["graylisted"] == 3
    assert alone.accept(2, message(20, 9)[1]) == 2


def test_direct_peers_are_heard_whatever_their_score() -> None:
    alone = Alone(scores=ScoreSettings(), direct=(1,))
    alone.peers(2, grafted=True)
    assert alone.scores is not None
    alone.scores.set_application(1, -100.0)
    assert alone.accept(1, message(20, 1)[1]) == 1
    assert alone.accept(2, message(20, 2)[1]) == 1


def test_floodsub_peers_get_everything_of_their_topics() -> None:
    alone = meshed()
    alone.peer(8, Version.FLOODSUB)
    alone.peer(9, Version.FLOODSUB, topics=("other",))
    wire = message(20, 1)[1]
    assert alone.accept(1, wire) == 4
    assert receivers(alone, wire) == [2, 3, 4, 8]
    assert alone.accept(8, message(8, 2)[1]) == 4


def test_a_full_queue_costs_the_copy_and_nothing_else() -> None:
    settings = RouterSettings(limits=Limits(queue_bytes=40_000))
    alone = meshed(settings=settings)
    for peer in (3, 4):
        alone.router.disconnect(peer, alone.now)
    sent = [alone.accept(1, message(20, number, bytes(9000))[1]) for number in range(10)]
    assert sent[0] == 1
    assert sent[-1] == 0
    assert alone.router.counts["dropped_full"] == sent.count(0)
    alone.said()
    assert alone.accept(1, message(20, 99)[1]) == 1


def test_unknown_fields_are_ignored() -> None:
    alone = meshed()
    wire = message(20, 1)[1]
    encoded = Rpc(publish=[wire]).encode() + b"\xa2\x06\x03abc" + b"\x1a\x04\xfa\x01\x01x"
    (incoming,) = alone.router.receive(1, Rpc.decode(encoded), alone.now)
    assert incoming.wire == wire


def test_nobody_unknown_is_heard() -> None:
    alone = meshed()
    assert alone.router.receive(50, Rpc(publish=[message(20, 1)[1]]), alone.now) == []
