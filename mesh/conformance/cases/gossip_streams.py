"""gossipsub/1: streams between routers, and the frame of an RPC."""

from __future__ import annotations

import asyncio

from mesh.codecs.gossip import MAX_RPC_BYTES, Control, IHave, Rpc, Subscription
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.gossip_peer import VERSIONS, GossipPeer, joined, topic_of, wanted_ids
from mesh.conformance.protobuf_fields import NOT_PROTOBUF, UNKNOWN_FIELDS
from mesh.conformance.verdict import Deviation, Skipped
from mesh.multiformats import varint

SECTION = Section("gossipsub/1", "Streams and RPC", "gossipsub", hurts=True, lane="gossipsub")
QUIET_S = 0.5
MANY_TOPICS = 2000
CONTROL_BYTES = 513 * 1024
ID_BYTES = 1024


async def still_heard(attempt: Attempt, peer: GossipPeer) -> None:
    """The target still reads our stream where it is in a topic; else stream and session live."""
    try:
        topic = await topic_of(attempt, peer)
    except Skipped:
        await asyncio.sleep(QUIET_S)
        if peer.stream.ending is not None:
            raise Deviation(f"the stream ended: {peer.stream.ending}") from None
        await peer.session.alive()
        return
    peer.subscribe(topic)
    await peer.listens(topic)


async def lives(peer: GossipPeer) -> str:
    """The session lives; what became of our stream."""
    await asyncio.sleep(QUIET_S)
    await peer.session.alive()
    return f"our stream: {peer.stream.state}"


@SECTION.must(
    1,
    "Open best common version",
    "accepted; target opens its own stream to us",
    limit_s=5,
    source="pubsub: stream management",
)
async def both_ways(attempt: Attempt) -> str:
    offered = [each for each in VERSIONS if attempt.target.serves(each)]
    if not offered:
        raise Skipped("the target offers no gossipsub")
    peer = GossipPeer(attempt, attempt.identity)
    attempt.serves |= dict.fromkeys(VERSIONS, peer.serve)
    session = await attempt.session()
    await session.open(offered[0])
    await peer.until(lambda: peer.incoming, "stream of the target's own")
    return offered[0]


@SECTION.must(
    2,
    "First RPC from the target",
    "lists its subscriptions",
    limit_s=5,
    source="gossipsub v1.0: hello",
)
async def hello(attempt: Attempt) -> str:
    peer = await joined(attempt)
    topic = await topic_of(attempt, peer)
    await peer.find(lambda _rpc: topic in peer.subscriptions(), f"RPC that lists {topic}")
    first = next(place for place, each in enumerate(peer.rpcs, 1) if each.subscriptions)
    return f"{len(peer.subscriptions())} topics, in RPC {first}"


@SECTION.must(3, "All of /meshsub/1.0.0 to 1.2.0 offered", "at least one accepted", limit_s=5, needs=())
async def versions(attempt: Attempt) -> str:
    if not any(attempt.target.serves(each) for each in VERSIONS):
        raise Skipped("the target offers no gossipsub")
    peer = GossipPeer(attempt, attempt.identity)
    attempt.serves |= dict.fromkeys(VERSIONS, peer.serve)
    session = await attempt.session()
    accepted = []
    for each in VERSIONS:
        try:
            await session.open(each)
        except Deviation:
            continue
        accepted.append(each)
    if not accepted:
        raise Deviation("no version was accepted")
    return ", ".join(accepted)


@SECTION.must(4, "Unknown fields in the RPC", "ignored", limit_s=3, source="protobuf, v1.3")
async def unknown_fields(attempt: Attempt) -> None:
    peer = await joined(attempt)
    peer.send(Rpc(subscriptions=[Subscription(True, "conform-other")]).encode() + UNKNOWN_FIELDS)
    await still_heard(attempt, peer)


@SECTION.should(5, "Empty RPC (length 0)", "ignored", limit_s=3, source="robustness")
async def empty(attempt: Attempt) -> None:
    peer = await joined(attempt)
    peer.stream.send(b"\x00")
    await still_heard(attempt, peer)


@SECTION.should(
    6, "Undecodable RPC", "stream reset at most, connection lives", limit_s=3, source="robustness"
)
async def undecodable(attempt: Attempt) -> str:
    peer = await joined(attempt)
    peer.send(NOT_PROTOBUF)
    return await lives(peer)


@SECTION.must(7, "Length 1 MiB + 1", "reset, no allocation", limit_s=3, source="pubsub: size", harmful=True)
async def too_long(attempt: Attempt) -> str:
    peer = await joined(attempt)
    peer.stream.send(varint.encode(MAX_RPC_BYTES + 1))
    return await peer.stream.ended("end of our stream")


@SECTION.may(8, "Second stream to it", "replaces or coexists", limit_s=3, source="pubsub")
async def second_stream(attempt: Attempt) -> str:
    peer = await joined(attempt)
    offered = next(each for each in VERSIONS if attempt.target.serves(each))
    second = await peer.session.open(offered)
    await asyncio.sleep(QUIET_S)
    await peer.session.alive()
    return f"first: {peer.stream.state}; second: {second.state}"


@SECTION.should(
    9, "Write on the stream the target opened", "ignored or reset", limit_s=3, source="pubsub: one-way"
)
async def wrong_way(attempt: Attempt) -> str:
    peer = await joined(attempt)
    assert peer.incoming is not None
    peer.incoming.send(b"\x00")
    said = await lives(peer)
    return f"its stream: {peer.incoming.state}; {said}"


@SECTION.may(
    10, "2000 subscriptions", "bounded or accepted", limit_s=3, source="implementation", harmful=True
)
async def many_topics(attempt: Attempt) -> str:
    peer = await joined(attempt)
    peer.subscribe(*(f"conform-{number}" for number in range(MANY_TOPICS)))
    return await lives(peer)


@SECTION.may(
    11,
    "Control part over 512 KiB",
    "reset or accepted",
    limit_s=3,
    source="implementation",
    harmful=True,
)
async def large_control(attempt: Attempt) -> str:
    peer = await joined(attempt)
    topic = await topic_of(attempt, peer)
    ids = [attempt.rng.randbytes(ID_BYTES) for _ in range(CONTROL_BYTES // ID_BYTES)]
    await peer.stream.write(framed(Rpc(control=Control(ihave=[IHave(topic, ids)]))))
    said = await lives(peer)
    return f"{sum(len(wanted_ids(each)) for each in peer.rpcs)} ids asked for; {said}"


def framed(rpc: Rpc) -> bytes:
    """An RPC with its length."""
    encoded = rpc.encode()
    return varint.encode(len(encoded)) + encoded
