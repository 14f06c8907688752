"""What leaves for a peer, in which order, and what is dropped."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.send_queue import live_send_queue
from mesh.codecs.gossip import Control, ExchangedPeer, Extensions, Message, Prune, Rpc
from mesh.codecs.wire import decode_uvarint
from mesh.protocols.gossip.send_queue import (
    BATCH_MESSAGES,
    CONTROL_BYTES,
    DECLINED_IDS,
    WAITING_DECLINED_IDS,
    SendQueue,
    announcement,
    as_field,
)
from mesh.protocols.gossip.settings import Limits
from mesh.protocols.gossip.version import Version

LIMITS = Limits()
SMALL = Limits(queue_bytes=4000, queue_messages=100)


def queue_of(limits: Limits = LIMITS, version: Version = Version.V1_3) -> SendQueue:
    return SendQueue(limits, version)


def message(number: int, size: int = 100) -> bytes:
    return Message(data=number.to_bytes(4, "big") + bytes(size), topic="t").encode()


def taken(queue: SendQueue) -> list[Rpc]:
    """All that waits, RPC by RPC."""
    found = []
    while framed := queue.take():
        size, start = decode_uvarint(framed)
        assert start + size == len(framed)
        found.append(Rpc.decode(framed, start))
    assert not queue
    assert queue.waiting_bytes == 0
    return found


def control_of(rpc: Rpc) -> Control:
    assert rpc.control is not None
    return rpc.control


def test_nothing_waits_at_first() -> None:
    queue = queue_of()
    assert not queue
    assert queue.take() == b""
    assert queue.has_room


def test_messages_share_an_rpc_in_their_order() -> None:
    queue = queue_of()
    sent = [message(number) for number in range(20)]
    for number, wire in enumerate(sent):
        assert queue.publish(as_field(wire), own=number % 2 == 0)
    assert queue.waiting_bytes == sum(len(as_field(wire)) for wire in sent)
    assert [rpc.publish for rpc in taken(queue)] == [sent]


def test_rpcs_of_messages_are_not_longer_than_others_take() -> None:
    queue = queue_of()
    sent = [message(number, size) for number, size in enumerate([1000] * 100 + [60_000, 5, 200_000, 5])]
    for wire in sent:
        assert queue.publish(as_field(wire), own=False)
    rpcs = taken(queue)
    assert [wire for rpc in rpcs for wire in rpc.publish] == sent
    assert all(len(rpc.encode()) <= LIMITS.own_rpc_bytes or len(rpc.publish) == 1 for rpc in rpcs)
    assert len(rpcs) <= 8


def test_very_small_messages_are_not_too_many_for_one_rpc() -> None:
    queue = queue_of(Limits(queue_messages=20_000))
    for _ in range(10_000):
        assert queue.publish(as_field(b""), own=True)
    counts = [len(rpc.publish) for rpc in taken(queue)]
    assert sum(counts) == 10_000
    assert max(counts) <= BATCH_MESSAGES


def test_urgent_things_come_first_and_share_the_rpc_with_messages() -> None:
    queue = queue_of()
    queue.publish(as_field(message(1)), own=True)
    queue.answer(as_field(message(2)))
    queue.iwant([b"wanted"])
    queue.ihave("t", [b"had"])
    queue.idontwant([b"declined"])
    queue.graft("t")
    queue.prune("u", 60)
    queue.subscribe("t", True)
    queue.extensions(Extensions(partial_messages=True))
    first, second = taken(queue)
    assert [(each.subscribe, each.topic) for each in first.subscriptions] == [(True, "t")]
    control = control_of(first)
    assert control.extensions == Extensions(partial_messages=True)
    assert [each.topic for each in control.graft] == ["t"]
    assert control.prune == [Prune("u", backoff=60)]
    assert [each.message_ids for each in control.idontwant] == [[b"declined"]]
    assert [each.message_ids for each in control.iwant] == [[b"wanted"]]
    assert [(each.topic, each.message_ids) for each in control.ihave] == [("t", [b"had"])]
    assert first.publish == [message(1)]
    assert second == Rpc(publish=[message(2)])


def test_what_is_last_said_of_a_topic_counts() -> None:
    queue = queue_of()
    for on in (True, False, True):
        queue.subscribe("t", on)
    queue.graft("t")
    queue.prune("t", 10)
    queue.graft("u")
    queue.prune("v", 10)
    queue.graft("v")
    [rpc] = taken(queue)
    assert [(each.subscribe, each.topic) for each in rpc.subscriptions] == [(True, "t")]
    assert [each.topic for each in control_of(rpc).graft] == ["u", "v"]
    assert [each.topic for each in control_of(rpc).prune] == ["t"]


def test_extensions_are_in_the_first_of_many_rpcs() -> None:
    queue = queue_of()
    for number in range(2000):
        queue.subscribe(f"a topic of some length {number}", True)
    queue.extensions(Extensions(partial_messages=True))
    rpcs = taken(queue)
    assert [each.topic for rpc in rpcs for each in rpc.subscriptions] == [
        f"a topic of some length {number}" for number in range(2000)
    ]
    assert [bool(rpc.control) for rpc in rpcs] == [True] + [False] * (len(rpcs) - 1)
    assert all(len(rpc.encode()) <= CONTROL_BYTES + 10 for rpc in rpcs)


@pytest.mark.parametrize("version", Version)
def test_a_peer_is_sent_what_its_version_knows(version: Version) -> None:
    queue = queue_of(version=version)
    queue.extensions(Extensions(partial_messages=True))
    queue.graft("t")
    queue.prune("u", 60, [ExchangedPeer(b"id")])
    assert queue.ihave("t", [b"1"]) == version.meshes
    assert queue.iwant([b"1"]) == version.meshes
    assert queue.idontwant([b"1"]) == version.declines
    queue.subscribe("t", True)
    queue.publish(as_field(message(1)), own=True)
    [rpc] = taken(queue)
    assert rpc.publish == [message(1)]
    assert len(rpc.subscriptions) == 1
    control = rpc.control or Control()
    assert bool(rpc.control) == version.meshes
    assert bool(control.extensions) == version.extends
    assert bool(control.idontwant) == version.declines
    assert len(control.graft) == len(control.ihave) == len(control.iwant) == version.meshes
    if version.meshes:
        expected = Prune("u", [ExchangedPeer(b"id")], 60) if version.exchanges else Prune("u")
        assert control.prune == [expected]


def test_long_lists_of_ids_are_split() -> None:
    queue = queue_of()
    ids = [number.to_bytes(46, "big") for number in range(5000)]
    assert queue.ihave("t", ids)
    assert queue.iwant(ids)
    rpcs = taken(queue)
    assert [id for rpc in rpcs for each in control_of(rpc).iwant for id in each.message_ids] == ids
    assert [id for rpc in rpcs for each in control_of(rpc).ihave for id in each.message_ids] == ids
    assert all(each.topic == "t" for rpc in rpcs for each in control_of(rpc).ihave)
    assert all(len(rpc.encode()) <= CONTROL_BYTES + 10 for rpc in rpcs)


@pytest.mark.parametrize("topic_bytes", [1, 300, 4096])
@pytest.mark.parametrize("id_bytes", [(46,), (1,), (127, 128), (20, 200, 33)])
def test_an_rpc_is_filled_with_two_entries_of_ids(id_bytes: tuple[int, ...], topic_bytes: int) -> None:
    queue = queue_of()
    ids = [
        bytes([number % 256]) * id_bytes[number % len(id_bytes)] for number in range(100_000 // sum(id_bytes))
    ]
    assert queue.ihave("t" * topic_bytes, ids)
    *full, last = taken(queue)
    assert [id for rpc in (*full, last) for each in control_of(rpc).ihave for id in each.message_ids] == ids
    assert {len(control_of(rpc).ihave) for rpc in full} == {2}
    assert all(CONTROL_BYTES - 600 < len(control_of(rpc).encode()) <= CONTROL_BYTES for rpc in full)


def test_an_announcement_serves_many_queues() -> None:
    entries = announcement("t", [b"1", b"2"])
    for _ in range(2):
        queue = queue_of()
        assert queue.announce(entries)
        [rpc] = taken(queue)
        assert [each.message_ids for each in control_of(rpc).ihave] == [[b"1", b"2"]]
    assert not queue_of(version=Version.FLOODSUB).announce(entries)


def test_go_looks_at_ten_declined_ids_of_an_rpc() -> None:
    queue = queue_of()
    ids = [bytes([number]) for number in range(25)]
    assert queue.idontwant(ids)
    assert queue.idontwant(ids[:5])
    found = [[id for each in control_of(rpc).idontwant for id in each.message_ids] for rpc in taken(queue)]
    assert [id for part in found for id in part] == ids
    assert max(map(len, found)) == DECLINED_IDS


def test_too_many_declined_ids_are_left_out() -> None:
    queue = queue_of()
    assert queue.idontwant([number.to_bytes(2, "big") for number in range(WAITING_DECLINED_IDS)])
    assert not queue.idontwant([b"more"])
    assert queue.dropped["idontwant"] == 1


# --- when there is too much ----------------------------------------------------------------------------


def test_forwarded_messages_leave_room_for_own_ones() -> None:
    queue = queue_of(SMALL)
    forwarded = 0
    while queue.publish(as_field(message(forwarded)), own=False):
        forwarded += 1
    assert queue.dropped["forwarded"] == 1
    assert queue.has_room
    assert not queue.answer(as_field(message(0)))
    own = 0
    while queue.has_room:
        assert queue.publish(as_field(message(own)), own=True)
        own += 1
    assert own >= 5
    assert not queue.publish(as_field(message(own)), own=True)
    assert (queue.dropped["own"], queue.dropped["answer"]) == (1, 1)
    assert queue.waiting_bytes < SMALL.queue_bytes + 200
    assert sum(len(rpc.publish) for rpc in taken(queue)) == forwarded + own
    assert queue.has_room


def test_the_number_of_messages_is_limited_too() -> None:
    queue = queue_of(SMALL)
    results = [queue.publish(as_field(b"m"), own=False) for _ in range(90)]
    assert results == [True] * 75 + [False] * 15
    results = [queue.publish(as_field(b"m"), own=True) for _ in range(30)]
    assert results == [True] * 25 + [False] * 5


@given(st.lists(st.lists(st.sampled_from([1, 100, 20_000, 60_000]), min_size=1, max_size=9), max_size=9))
def test_many_passed_on_at_once_are_as_many_passed_on_one_by_one(groups: list[list[int]]) -> None:
    limits = Limits(queue_bytes=400_000, queue_messages=40)
    together, singly = queue_of(limits), queue_of(limits)
    for number, sizes in enumerate(groups):
        fields = [as_field(message(number, size)) for size in sizes]
        accepted = [singly.publish(field, own=False) for field in fields]
        assert together.pass_on(fields) == accepted.count(True)
    assert together.dropped == singly.dropped
    assert together.waiting_bytes == singly.waiting_bytes
    published = [[wire for rpc in taken(queue) for wire in rpc.publish] for queue in (together, singly)]
    assert published[0] == published[1]


def test_gossip_is_dropped_first_but_not_what_was_asked_for() -> None:
    queue = queue_of(SMALL)
    assert queue.ihave("t", [bytes(46)] * 20)
    assert queue.idontwant([b"declined"])
    assert queue.iwant([b"wanted"])
    while not queue.dropped["ihave"]:
        assert queue.publish(as_field(message(1)), own=False)
    assert queue.dropped == {
        "own": 0,
        "forwarded": 0,
        "answer": 0,
        "alone": 0,
        "idontwant": 1,
        "iwant": 0,
        "ihave": 1,
    }
    controls = [rpc.control for rpc in taken(queue) if rpc.control]
    assert [each.message_ids for control in controls for each in control.iwant] == [[b"wanted"]]
    assert not any(control.ihave or control.idontwant for control in controls)


def test_gossip_that_has_no_room_is_left_out() -> None:
    queue = queue_of(SMALL)
    assert not queue.ihave("t", [bytes(46)] * 100)
    assert not queue.iwant([bytes(46)] * 100)
    assert queue.dropped["ihave"] == 1
    assert queue.dropped["iwant"] == 1
    assert not queue


def test_topics_and_meshes_are_told_of_however_full_the_queue_is() -> None:
    queue = queue_of(SMALL)
    while queue.publish(as_field(message(1)), own=True):
        pass
    queue.subscribe("t", False)
    queue.prune("t", 10)
    first = taken(queue)[0]
    assert first.subscriptions
    assert control_of(first).prune


@pytest.mark.parametrize("size", [100, 50_000, 61_000, 100_000])
def test_nothing_waits_for_ever_behind_messages_that_never_end(size: int) -> None:
    """With a GRAFT, a forwarded message and an IDONTWANT before every RPC, all the rest still leaves."""
    queue = queue_of()
    queue.answer(as_field(message(1, 61_000)))
    queue.answer(as_field(message(2, 200_000)))
    queue.iwant([b"wanted"])
    queue.ihave("t", [number.to_bytes(46, "big") for number in range(1000)])
    seen: list[Rpc] = []
    for number in range(60):
        queue.graft("t")
        queue.idontwant([bytes([number])])
        queue.publish(as_field(message(100 + number, size)), own=False)
        framed = queue.take()
        _, start = decode_uvarint(framed)
        seen.append(Rpc.decode(framed, start))
    published = [wire for rpc in seen for wire in rpc.publish]
    assert message(1, 61_000) in published
    assert message(2, 200_000) in published
    assert sum(len(wire) == len(message(0, size)) for wire in published) >= 15
    controls = [rpc.control for rpc in seen if rpc.control]
    assert any(control.iwant for control in controls)
    assert sum(len(each.message_ids) for control in controls for each in control.ihave) == 1000
    assert sum(bool(control.graft) for control in controls) >= 20


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=400))
def test_a_queue_keeps_to_its_model(commands: bytes) -> None:
    live_send_queue([commands])
