"""What is no RPC, or no message that may pass: refused and charged, while stream, connection and others live or die as
they should."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from mesh.codecs.gossip import Message, Rpc, Subscription
from mesh.identity.keys import KeyType, PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.services.gossip import ScoreSettings, Thresholds, TopicScoreSettings
from tests.hostile import raw_pubsub
from tests.hostile.raw_pubsub import (
    MIB,
    TOPIC,
    PubsubTarget,
    RawPeer,
    announced,
    framed,
    target_with,
    until,
    was_reset,
)
from tests.network.live import eventually
from tests.vectors import cases

victim = raw_pubsub.victim
INVALID = -10.0
SCORES = ScoreSettings(
    topics={
        TOPIC: TopicScoreSettings(invalid_weight=INVALID, invalid_decay=0.9999),
        "vectors": TopicScoreSettings(invalid_weight=INVALID, invalid_decay=0.9999),
    },
    decay_interval_s=60.0,
)
THRESHOLDS = Thresholds(gossip=-1000.0, publish=-2000.0, graylist=-3000.0)
scored = target_with(SCORES, THRESHOLDS)
VECTORS = {each["name"]: bytes.fromhex(each["message"]) for each in cases("gossipsub") if "message" in each}
SIGNED = [name for name in VECTORS if name.startswith("signed")]

Forge = Callable[[RawPeer, PubsubTarget], bytes]


def flipped(wire: bytes) -> bytes:
    return wire[:-1] + bytes([wire[-1] ^ 1])


def own_id(peer: RawPeer) -> bytes:
    return peer.id.to_bytes()


def signed_by(peer: RawPeer, signature: bytes) -> bytes:
    return Message(own_id(peer), b"bad", bytes(8), TOPIC, signature).encode()


def of_a_hashed_id(peer: RawPeer, _target: PubsubTarget) -> bytes:
    key = PrivateKey.generate(KeyType.RSA)
    return peer.wire(b"bad", key=key, sender=PeerId.from_public_key(key.public).to_bytes())


FORGERIES: dict[str, Forge] = {
    "signature altered": lambda peer, _: flipped(peer.wire(b"bad")),
    "data altered": lambda peer, _: peer.wire(b"sad").replace(b"sad", b"bad"),
    "signature cut": lambda peer, _: signed_by(peer, bytes(63)),
    "signature empty": lambda peer, _: signed_by(peer, b""),
    "no signature": lambda peer, _: Message(own_id(peer), b"bad", bytes(8), TOPIC).encode(),
    "nothing but data": lambda _peer, _: Message(data=b"bad", topic=TOPIC).encode(),
    "signed by another": lambda peer, _: peer.wire(b"bad", key=PrivateKey.generate()),
    "no sender": lambda peer, _: peer.wire(b"bad", sender=b""),
    "sender is no id": lambda peer, _: peer.wire(b"bad", sender=b"no id"),
    "sender of the bystander": lambda peer, it: peer.wire(b"bad", sender=it.bystander.peer_id.to_bytes()),
    "key of another": lambda peer, _: peer.wire(b"bad", attached=PrivateKey.generate().public.to_protobuf()),
    "key is none": lambda peer, _: peer.wire(b"bad", attached=b"\x08\x01\x12\x03abc"),
    "key empty": lambda peer, _: peer.wire(b"bad", attached=b""),
    "key missing": of_a_hashed_id,
    "the target's own": lambda peer, it: peer.wire(b"bad", sender=it.node.peer_id.to_bytes()),
    "the target's own, with its key": lambda peer, it: peer.wire(
        b"bad", sender=it.node.peer_id.to_bytes(), key=it.node.key
    ),
}


async def refused(victim: PubsubTarget, peer: RawPeer, wire: bytes) -> None:
    """The message goes no further; the connection lives, and a good message over the same stream passes."""
    connections = peer.node.connections
    await peer.publish(wire)
    await peer.publish(peer.wire(b"good"))
    assert await until(victim.heard, b"good") == [b"good"]
    assert await until(victim.reader, b"good") == [b"good"]
    assert peer.node.connections == connections
    assert len(peer.streams) == 1


@scored
@pytest.mark.parametrize("name", FORGERIES)
async def test_forgeries_are_refused_and_charged(victim: PubsubTarget, name: str) -> None:
    peer = await victim.attacker()
    await refused(victim, peer, FORGERIES[name](peer, victim))
    assert victim.score(peer) == pytest.approx(INVALID)
    assert victim.node.pubsub.scores()[victim.bystander.peer_id].score == 0


@scored
@pytest.mark.parametrize("name", SIGNED)
async def test_recorded_messages_pass_and_altered_ones_do_not(victim: PubsubTarget, name: str) -> None:
    wire = VECTORS[name]
    readers = [each.pubsub.join("vectors").subscribe() for each in (victim.node, victim.bystander)]
    await eventually(lambda: victim.node.pubsub.mesh("vectors"), "a mesh of the other topic")
    peer = await victim.attacker()
    for at in (20, len(wire) // 2, len(wire) - 1):
        await peer.publish(wire[:at] + bytes([wire[at] ^ 0x80]) + wire[at + 1 :])
    await peer.publish(VECTORS["unsigned message (StrictNoSign)"])
    await peer.publish(wire)
    for reader in readers:
        data = Message.decode(wire).data or b""
        assert await until(reader, data) == [data]
    assert victim.score(peer) < 0


@target_with(SCORES, THRESHOLDS, signatures="strict-no-sign")
async def test_signed_ones_are_refused_where_nobody_signs(victim: PubsubTarget) -> None:
    peer = await victim.attacker()
    good = Message(data=b"good", topic=TOPIC)
    for bad in (
        peer.wire(b"bad"),
        Message(own_id(peer), b"bad", None, TOPIC).encode(),
        Message(None, b"bad", bytes(8), TOPIC).encode(),
        Message(None, b"bad", None, TOPIC, None, b"key").encode(),
    ):
        await peer.publish(bad)
    await peer.publish(good.encode())
    assert await until(victim.reader, b"good") == [b"good"]
    assert victim.count("forged") == 4
    assert victim.score(peer) < 0


@scored
async def test_messages_that_nobody_is_blamed_for(victim: PubsubTarget) -> None:
    """Go's nodes pass on what these are, so who brings them may be honest."""
    peer = await victim.attacker()
    await refused(victim, peer, peer.wire(b"numberless", seqno=None))
    unsigned = Message(own_id(peer), b"bad", bytes(8), TOPIC).encode()
    oversized = [unsigned + tag + framed(bytes(5000)) for tag in (b"\x1a", b"\x22", b"\x2a", b"\x32")]
    for wire in (b"", b"\xff\xff", peer.wire(b"elsewhere", "elsewhere"), *oversized):
        await refused(victim, peer, wire)
    assert victim.score(peer) == 0


GARBAGE = {
    "a mebibyte and one": announced(MIB + 1) + bytes(100),
    "four gibibytes": b"\xff\xff\xff\xff\x0f",
    "length without end": b"\xff" * 10,
    "length not in its shortest form": b"\x81\x00\x00",
    "cut field": framed(b"\x0a\x05\x08\x01"),
    "no field": framed(b"\xff\xff\xff\xff"),
    "cut control": framed(b"\x1a\x04\x1a\x7fab"),
    "text for bytes": framed(b"\x0a\x04\x12\x02\xff\xfe"),
}


@scored
@pytest.mark.parametrize("name", GARBAGE)
async def test_what_is_no_rpc_ends_the_stream_alone(victim: PubsubTarget, name: str) -> None:
    peer = await victim.attacker()
    connections = peer.node.connections
    assert peer.own is not None
    await peer.write(GARBAGE[name])
    await was_reset(peer.own)
    assert peer.node.connections == connections
    await peer.open(victim.node)
    await peer.send(Rpc(subscriptions=[Subscription(True, TOPIC)], publish=[peer.wire(b"another stream")]))
    assert await until(victim.heard, b"another stream") == [b"another stream"]
    assert victim.score(peer) == 0


async def test_an_oversized_rpc_is_not_waited_for(victim: PubsubTarget) -> None:
    """Its length alone ends the stream, and nothing is set aside for it."""
    peer = await victim.attacker()
    tracemalloc.start()
    try:
        for _ in range(20):
            assert peer.own is not None
            await peer.write(announced(MIB + 1))
            await was_reset(peer.own)
            await peer.open(victim.node)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


async def test_a_message_of_just_a_mebibyte_with_its_rpc_passes(victim: PubsubTarget) -> None:
    peer = await victim.attacker()
    envelope = len(Rpc(publish=[peer.wire(bytes(MIB // 2))]).encode()) - MIB // 2
    longest = bytes(MIB - envelope)
    assert len(Rpc(publish=[peer.wire(longest)]).encode()) <= MIB
    await peer.publish(peer.wire(longest))
    assert await until(victim.heard, longest) == [longest]
