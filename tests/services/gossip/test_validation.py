"""What is checked of a message: policy, signature, blacklist, and what validators say."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable

import pytest

from mesh.codecs.gossip import Message as WireMessage
from mesh.codecs.gossip import Rpc
from mesh.errors import UsageError
from mesh.node import Node
from mesh.services.gossip import Message, Topic, Validator, Verdict, validation
from tests.network.live import Nodes, eventually
from tests.services.gossip.network import gossip_node, meshed, pair, stranger, take


async def judged(nodes: Nodes, validator: Validator) -> tuple[Topic, Topic, Node]:
    """A publisher's topic, and that of a node with a validator."""
    first, second = await pair(nodes)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x", validator=validator)
    await meshed(ours, theirs)
    return ours, theirs, second


def by_first_letter(message: Message) -> Verdict:
    return {b"a": Verdict.ACCEPT, b"i": Verdict.IGNORE, b"r": Verdict.REJECT}[message.data[:1]]


async def later(message: Message) -> Verdict:
    await asyncio.sleep(0)
    return by_first_letter(message)


@pytest.mark.parametrize("validator", [by_first_letter, later])
async def test_only_accepted_messages_are_delivered(nodes: Nodes, validator: Validator) -> None:
    ours, theirs, node = await judged(nodes, validator)
    reader = theirs.subscribe()
    for data in (b"reject", b"ignore", b"ignore too", b"accept"):
        await ours.publish(data)
    assert [each.data for each in await take(reader, 1)] == [b"accept"]
    await eventually(lambda: node.pubsub.counts()["ignored"] == 2, "the verdicts")
    assert node.pubsub.counts()["rejected"] == 1


async def test_only_accepted_messages_are_passed_on(nodes: Nodes) -> None:
    left, middle, right = [await gossip_node(nodes) for _ in range(3)]
    await left.connect(middle.listen_addrs[0])
    await right.connect(middle.listen_addrs[0])
    ours = left.pubsub.join("x")
    between = middle.pubsub.join("x", validator=later)
    reader = right.pubsub.join("x").subscribe()
    await eventually(lambda: len(between.mesh()) == 2, "the mesh")
    await meshed(ours)
    for data in (b"reject", b"ignore", b"accept"):
        await ours.publish(data)
    assert [each.data for each in await take(reader, 1)] == [b"accept"]
    assert right.pubsub.counts()["delivered"] == 1


def crash(message: Message) -> Verdict:
    raise RuntimeError("a validator of the test")


async def crash_later(message: Message) -> Verdict:
    raise RuntimeError("a validator of the test")


async def nothing_later(message: Message) -> None:
    return None


@pytest.mark.parametrize(
    "validator", [crash, crash_later, lambda message: None, lambda message: True, nothing_later]
)
async def test_a_validator_that_fails_costs_that_message_alone(
    nodes: Nodes, validator: Callable[[Message], object]
) -> None:
    def judge(message: Message) -> object:
        return Verdict.ACCEPT if message.data == b"fine" else validator(message)

    ours, theirs, node = await judged(nodes, judge)  # type: ignore[arg-type]
    reader = theirs.subscribe()
    await ours.publish(b"trouble")
    await ours.publish(b"fine")
    assert [each.data for each in await take(reader, 1)] == [b"fine"]
    await eventually(lambda: node.counters["gossip.validation:crashed"] == 1, "the crash counted")
    assert node.pubsub.counts()["ignored"] == 1


async def test_so_many_verdicts_are_waited_for_and_no_more(nodes: Nodes) -> None:
    decided = asyncio.Event()

    async def wait(message: Message) -> Verdict:
        await decided.wait()
        return Verdict.ACCEPT

    ours, theirs, node = await judged(nodes, wait)
    reader = theirs.subscribe(buffer=2000)
    for number in range(1030):
        await ours.publish(b"%d" % number)
    await eventually(lambda: node.counters["gossip.validation:throttled"] == 6, "the surplus")
    assert node.pubsub.counts()["ignored"] == 6
    decided.set()
    assert {each.data for each in await take(reader, 1024)} == {b"%d" % number for number in range(1024)}
    await ours.publish(b"after")
    assert [each.data for each in await take(reader, 1)] == [b"after"]


async def test_so_many_bytes_are_waited_for_and_no_more(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "MAX_PENDING_BYTES", 1000)
    decided = asyncio.Event()

    async def wait(message: Message) -> Verdict:
        await decided.wait()
        return Verdict.ACCEPT

    ours, theirs, node = await judged(nodes, wait)
    reader = theirs.subscribe()
    for number in range(15):
        await ours.publish(bytes(100) + b"%d" % number)
    await eventually(lambda: node.counters["gossip.validation:throttled"] == 5, "the surplus")
    decided.set()
    assert len(await take(reader, 10)) == 10
    await ours.publish(b"after")
    assert [each.data for each in await take(reader, 1)] == [b"after"]


async def test_verdicts_that_come_too_late_are_lost_with_their_topic(nodes: Nodes) -> None:
    decided, asked = asyncio.Event(), asyncio.Event()

    async def wait(message: Message) -> Verdict:
        asked.set()
        await decided.wait()
        return Verdict.ACCEPT

    ours, theirs, node = await judged(nodes, wait)
    await ours.publish(b"early")
    await asked.wait()
    await theirs.leave()
    decided.set()
    await eventually(lambda: node.pubsub.counts()["ignored"] == 1, "the verdict")
    assert node.pubsub.counts()["delivered"] == 0


async def test_validators_under_way_end_with_the_node(nodes: Nodes) -> None:
    asked = asyncio.Event()

    async def wait_for_ever(message: Message) -> Verdict:
        asked.set()
        await asyncio.Event().wait()
        return Verdict.ACCEPT

    ours, _, node = await judged(nodes, wait_for_ever)
    await ours.publish(b"hello")
    await asked.wait()
    await node.stop()


@pytest.mark.parametrize("validator", [by_first_letter, later])
async def test_own_messages_are_judged_too(nodes: Nodes, validator: Validator) -> None:
    node = await gossip_node(nodes)
    topic = node.pubsub.join("x", validator=validator)
    for data in (b"reject", b"ignore"):
        with pytest.raises(UsageError, match=data.decode()):
            await topic.publish(data)
    assert node.pubsub.counts()["published"] == 0
    await topic.publish(b"accept")
    assert node.pubsub.counts()["published"] == 1


# -- signatures ----------------------------------------------------------------------------------------------------------


def unsigned(data: bytes) -> bytes:
    return WireMessage(data=data, topic="x").encode()


def forged(wire: bytes) -> bytes:
    message = WireMessage.decode(wire)
    message.data = b"forged"
    return message.encode()


@pytest.mark.parametrize(
    ("policy", "taken"),
    [
        ("strict-sign", [b"signed"]),
        ("strict-no-sign", [b"unsigned"]),
        ("lax-sign", [b"signed", b"unsigned"]),
        ("lax-no-sign", [b"signed", b"unsigned"]),
    ],
)
async def test_the_policy_says_what_may_be_signed(nodes: Nodes, policy: str, taken: list[bytes]) -> None:
    node, other = await gossip_node(nodes, signatures=policy), await stranger(nodes)
    reader = node.pubsub.join("x").subscribe()
    await other.enter(node, "x")
    signed = other.message("x", b"signed")
    await other.send(Rpc(publish=[signed, unsigned(b"unsigned"), forged(signed)]))
    assert [each.data for each in await take(reader, len(taken))] == taken
    await eventually(lambda: node.pubsub.counts()["forged"] == 3 - len(taken), "the others refused")
    assert not len(reader)


@pytest.mark.parametrize("policy", ["strict-sign", "strict-no-sign", "lax-sign", "lax-no-sign"])
async def test_nodes_of_one_policy_understand_each_other(nodes: Nodes, policy: str) -> None:
    first, second = await pair(nodes, signatures=policy)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    reader = theirs.subscribe()
    await meshed(ours)
    await ours.publish(b"hello")
    (message,) = await take(reader, 1)
    if policy == "strict-no-sign":
        assert message.author is None
        assert message.id == hashlib.sha256(b"hello").digest()
    else:
        assert message.author == first.peer_id


async def test_a_forgery_does_not_keep_out_the_real_message(nodes: Nodes) -> None:
    node, other = await gossip_node(nodes), await stranger(nodes)
    reader = node.pubsub.join("x").subscribe()
    await other.enter(node, "x")
    signed = other.message("x", b"real")
    await other.send(Rpc(publish=[forged(signed)]))
    await other.send(Rpc(publish=[signed]))
    assert [each.data for each in await take(reader, 1)] == [b"real"]


@pytest.mark.parametrize("threads", [1, 2])
async def test_long_batches_with_forgeries_among_them_are_told_apart(nodes: Nodes, threads: int) -> None:
    """Long enough for the second thread."""
    helpers = min(threads, os.cpu_count() or 1) - 1
    node, other = await gossip_node(nodes, verify_threads=threads), await stranger(nodes)
    reader = node.pubsub.join("x").subscribe()
    await other.enter(node, "x")
    signed = [other.message("x", b"%d" % number) for number in range(200)]
    mixed = [forged(wire) if number % 3 == 0 else wire for number, wire in enumerate(signed)]
    await other.send(Rpc(publish=mixed))
    expected = [b"%d" % number for number in range(200) if number % 3]
    assert [each.data for each in await take(reader, len(expected))] == expected
    await eventually(lambda: node.pubsub.counts()["forged"] == 67, "the forgeries")
    assert [each.name for each in threading.enumerate()].count("gossip signatures") == helpers


async def test_own_messages_that_come_back_are_dropped(nodes: Nodes) -> None:
    node, other = await gossip_node(nodes), await stranger(nodes)
    topic = node.pubsub.join("x")
    reader = topic.subscribe()
    await other.enter(node, "x")
    await meshed(topic)
    await topic.publish(b"there and back")
    await eventually(lambda: any(each.publish for each in other.received), "the message")
    (wire,) = [wire for each in other.received for wire in each.publish]
    message = WireMessage.decode(wire)
    message.seqno = bytes(8)
    await other.send(Rpc(publish=[wire, message.encode()]))
    await eventually(lambda: node.pubsub.counts()["own"] == 1, "the forgery in our name")
    assert node.pubsub.counts()["duplicates"] == 1
    assert not len(reader)


# -- the blacklist -------------------------------------------------------------------------------------------------------


async def test_a_blacklisted_peer_has_no_streams_but_its_connection(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    await meshed(ours, theirs)
    reader = ours.subscribe()
    first.pubsub.blacklist(second.peer_id)
    assert first.pubsub.peers() == []
    await eventually(lambda: second.counters["gossip.given_up"], "the other side's end")
    assert first.pubsub.peers() == []
    assert len(first.connections) == 1
    assert not len(reader)


async def test_what_a_blacklisted_peer_wrote_is_not_taken_from_others(nodes: Nodes) -> None:
    left, middle, right = [await gossip_node(nodes) for _ in range(3)]
    await left.connect(middle.listen_addrs[0])
    await right.connect(middle.listen_addrs[0])
    topics = [node.pubsub.join("x") for node in (left, middle, right)]
    reader = topics[2].subscribe()
    await eventually(
        lambda: len(topics[1].mesh()) == 2 and topics[0].mesh() and topics[2].mesh(), "the meshes"
    )
    right.pubsub.blacklist(left.peer_id)
    await topics[0].publish(b"unwanted")
    await topics[1].publish(b"wanted")
    assert [each.data for each in await take(reader, 1)] == [b"wanted"]
    await eventually(lambda: right.counters["gossip.blacklisted"] == 1, "the other one")
    assert not len(reader)
