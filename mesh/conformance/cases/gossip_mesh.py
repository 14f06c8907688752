"""gossipsub/3: the mesh of a topic, and gossip about messages outside it."""

from __future__ import annotations

import asyncio
import contextlib

from mesh.codecs.gossip import Control, Extensions, IDontWant, IHave, Message, Rpc
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.gossip_peer import (
    NEWEST,
    SETTLED_S,
    VERSIONS,
    GossipPeer,
    Line,
    flows,
    grafted,
    joined,
    line,
    pruned,
    topic_of,
    wanted_ids,
)
from mesh.conformance.protobuf_fields import bytes_field
from mesh.conformance.verdict import Deviation, Level, Skipped
from mesh.identity.peer_id import PeerId

SECTION = Section("gossipsub/3", "Mesh and gossip", "gossipsub", lane="gossipsub")
BACKOFF_S = 60
SHORT_BACKOFF_S = 30
WITH_DONT_WANT = (NEWEST, *VERSIONS[:1])
OFFERED_IDS = 6000
BOUND_IDS = 5000
BURST = 15
BURSTS = 3
HEARTBEAT_S = 1.0
REQUESTS = 6
LARGE_BYTES = 1024
PAUSE_S = 0.02


def unknown_topic(attempt: Attempt) -> str:
    return f"conform-{attempt.rng.getrandbits(64):016x}"


@SECTION.must(
    1,
    "Subscribe and GRAFT with room",
    "no PRUNE; forwarded messages follow",
    limit_s=3,
    source="gossipsub: GRAFT",
)
async def graft(attempt: Attempt) -> None:
    between = await line(attempt)
    wire = between.author.sealed(between.topic, attempt.rng.randbytes(32))
    between.author.publish(wire)
    await between.witness.message(wire)
    if any(pruned(each, between.topic) for each in between.witness.rpcs):
        raise Deviation("the target sent a PRUNE though it has room")


@SECTION.may(2, "GRAFT unknown topic", "PRUNE or silence", limit_s=3, source="v1.0 PRUNE, v1.1 silence")
async def graft_unknown(attempt: Attempt) -> str:
    peer = await joined(attempt)
    topic = unknown_topic(attempt)
    peer.graft(topic)
    await asyncio.sleep(SETTLED_S)
    await peer.session.alive()
    return "PRUNE" if any(pruned(each, topic) for each in peer.rpcs) else "silence"


@SECTION.should(3, "PRUNE unknown topic", "ignored", limit_s=3, hurts=True)
async def prune_unknown(attempt: Attempt) -> None:
    peer = await joined(attempt)
    topic = await topic_of(attempt, peer)
    peer.subscribe(topic)
    peer.prune(unknown_topic(attempt), BACKOFF_S)
    await peer.listens(topic)


@SECTION.must(4, "PRUNE, then GRAFT at once", "PRUNE with backoff", limit_s=3, source="v1.1: backoff")
async def graft_too_soon(attempt: Attempt) -> str:
    between = await line(attempt)
    peer = between.witness
    seen = len(peer.rpcs)
    peer.prune(between.topic, BACKOFF_S)
    peer.graft(between.topic)
    answer = await peer.find(
        lambda rpc: pruned(rpc, between.topic) is not None, "PRUNE in answer", after=seen
    )
    found = pruned(answer, between.topic)
    if found is None or not found.backoff:
        raise Deviation("the PRUNE has no backoff")
    return f"backoff {found.backoff}"


@SECTION.must(
    5,
    "Respect of our PRUNE backoff 30",
    "no GRAFT from it for 30 s",
    limit_s=35,
    slow=True,
    source="v1.1",
)
async def respect(attempt: Attempt) -> None:
    between = await line(attempt)
    peer = between.witness
    peer.prune(between.topic, SHORT_BACKOFF_S)
    await peer.listens(between.topic)
    seen = len(peer.rpcs)
    await asyncio.sleep(SHORT_BACKOFF_S - 1)
    if any(grafted(each, between.topic) for each in peer.rpcs[seen:]):
        raise Deviation(f"the target sent a GRAFT within {SHORT_BACKOFF_S} s of a PRUNE")


def ids_of(peer: GossipPeer, count: int) -> list[bytes]:
    """Ids of messages that there are not."""
    return [peer.id + peer.seqno() for _ in range(count)]


async def member(attempt: Attempt) -> tuple[GossipPeer, str]:
    """One peer in the target's topic, whose stream the target reads."""
    peer = await joined(attempt)
    topic = await topic_of(attempt, peer)
    peer.subscribe(topic)
    return peer, topic


@SECTION.should(6, "IHAVE two unknown ids", "IWANT for both", limit_s=3, source="gossipsub: IHAVE")
async def have(attempt: Attempt) -> None:
    peer, topic = await member(attempt)
    ids = ids_of(peer, 2)
    peer.have(topic, ids)
    await peer.until(
        lambda: set(ids) <= asked_of(peer) or None,
        "IWANT for both ids",
    )


def asked_of(peer: GossipPeer) -> set[bytes]:
    """All ids that the target asked a peer for."""
    return {each for rpc in peer.rpcs for each in wanted_ids(rpc)}


@SECTION.should(7, "IHAVE for unjoined topic", "no IWANT", limit_s=3)
async def have_elsewhere(attempt: Attempt) -> None:
    peer, topic = await member(attempt)
    ids = ids_of(peer, 2)
    peer.have(unknown_topic(attempt), ids)
    await peer.listens(topic)
    await asyncio.sleep(SETTLED_S)
    if set(ids) & asked_of(peer):
        raise Deviation("the target asks for messages of a topic that it is not in")


@SECTION.should(
    8,
    "IHAVE 6000 ids",
    "bounded IWANT",
    limit_s=3,
    source="v1.1 spam protection",
    harmful=True,
)
async def have_many(attempt: Attempt) -> str:
    peer, topic = await member(attempt)
    peer.have(topic, ids_of(peer, OFFERED_IDS))
    await peer.until(lambda: asked_of(peer) or None, "IWANT")
    await asyncio.sleep(HEARTBEAT_S)
    count = len(asked_of(peer))
    if count > BOUND_IDS:
        raise Deviation(f"{count} ids were asked for")
    return f"{count} ids asked for"


@SECTION.should(9, "15 IHAVE RPCs in a beat", "bounded", limit_s=3, source="v1.1 spam protection")
async def have_often(attempt: Attempt) -> str:
    for _ in range(BURSTS):
        peer, topic = await member(attempt)
        ids = ids_of(peer, BURST)
        for each in ids:
            peer.have(topic, [each])
        await peer.find(lambda rpc: bool(wanted_ids(rpc)), "IWANT")
        await asyncio.sleep(SETTLED_S)
        count = len(asked_of(peer) & set(ids))
        if count < BURST:
            return f"{count} of {BURST} asked for"
    raise Deviation(f"all ids of {BURST} IHAVE at once were asked for, {BURSTS} times")


async def learned_id(between: Line, wire: bytes) -> bytes:
    """The id by which the target offers a message to the witness, which it has just left out of its mesh."""
    peer = between.witness
    seen = len(peer.rpcs)
    peer.prune(between.topic, BACKOFF_S)
    await peer.listens(between.topic)
    between.author.publish(wire)
    try:
        rpc = await peer.find(lambda each: bool(offered_ids(each, between.topic)), "IHAVE", after=seen)
    except Deviation:
        raise Skipped("the target offers no messages to peers outside its mesh") from None
    return offered_ids(rpc, between.topic)[-1]


def offered_ids(rpc: Rpc, topic: str) -> list[bytes]:
    """The ids that an RPC offers for a topic."""
    control = rpc.control
    haves: list[IHave] = control.ihave if control is not None else []
    return [each for have in haves if have.topic == topic for each in have.message_ids]


@SECTION.must(
    10,
    "IWANT of a fresh message, six times",
    "given, boundedly",
    limit_s=5,
    source="gossipsub: IWANT",
)
async def want(attempt: Attempt) -> str:
    between = await line(attempt)
    wire = between.author.sealed(between.topic, attempt.rng.randbytes(32))
    peer = between.witness
    try:
        await learned_id(between, wire)
        ids = {each for rpc in peer.rpcs for each in offered_ids(rpc, between.topic)} | set(id_forms(wire))
    except Skipped:
        wire = between.author.sealed(between.topic, attempt.rng.randbytes(32))
        ids = set(id_forms(wire))
        between.author.publish(wire)
        await asyncio.sleep(SETTLED_S)
    for _ in range(REQUESTS):
        peer.want(*ids)
        await asyncio.sleep(PAUSE_S)
    await peer.message(wire, "message that was offered")
    await asyncio.sleep(SETTLED_S)
    count = peer.messages().count(wire)
    if count >= REQUESTS:
        raise Deviation(f"the message was given {count} times", Level.SHOULD)
    return f"{count} times"


@SECTION.should(11, "IWANT unknown id", "nothing", limit_s=3)
async def want_unknown(attempt: Attempt) -> None:
    peer = await joined(attempt)  # in no topic, so that no message comes unasked
    topic = await topic_of(attempt, peer)
    peer.want(*ids_of(peer, 1))
    await peer.listens(topic)
    await asyncio.sleep(SETTLED_S)
    if peer.messages():
        raise Deviation("a message came for an id that nobody has")


def id_forms(wire: bytes) -> list[bytes]:
    """What implementations call a message by default: author and number, in either order, or as text."""
    message = Message.decode(wire)
    author, number = message.sender or b"", message.seqno or b""
    text = f"{PeerId(author)}{int.from_bytes(number, 'big')}"
    return [author + number, number + author, text.encode()]


async def form_of_ids(between: Line) -> int:
    """Which of the forms the target uses. Raises `Skipped` for one of its own."""
    wire = between.author.sealed(between.topic, b"whose id is learned")
    await learned_id(between, wire)
    forms = id_forms(wire)

    def place(rpc: Rpc) -> int | None:
        return next((forms.index(each) for each in offered_ids(rpc, between.topic) if each in forms), None)

    with contextlib.suppress(Deviation):
        found = await between.witness.find(
            lambda rpc: place(rpc) is not None, "IHAVE in a form that is known"
        )
        return place(found) or 0
    raise Skipped("the target makes the ids of messages in a way of its own")


@SECTION.must(
    12,
    "IDONTWANT, then another peer's message",
    "not sent to us",
    limit_s=5,
    source="v1.2",
)
async def dont_want(attempt: Attempt) -> None:
    if not any(attempt.target.serves(each) for each in WITH_DONT_WANT):
        raise Skipped("the target offers no version with IDONTWANT")
    form = await form_of_ids(await line(attempt))
    between = await line(attempt)
    other = await joined(attempt)
    other.subscribe(between.topic)
    other.graft(between.topic)
    await flows(attempt, Line(between.topic, between.author, other))
    unwanted = between.author.sealed(between.topic, attempt.rng.randbytes(32))
    between.witness.send(Rpc(control=Control(idontwant=[IDontWant([id_forms(unwanted)[form]])])))
    await between.witness.listens(between.topic)
    between.author.publish(unwanted)
    await other.message(unwanted)
    wanted = between.author.sealed(between.topic, attempt.rng.randbytes(32))
    between.author.publish(wanted)
    await between.witness.message(wanted)
    await asyncio.sleep(SETTLED_S)
    if unwanted in between.witness.messages():
        raise Deviation("a message came that we said we do not want")


@SECTION.may(
    13,
    "Message of 1024 bytes or more",
    "IDONTWANT to other 1.2 mesh peers",
    limit_s=3,
    source="v1.2",
)
async def large(attempt: Attempt) -> str:
    between = await line(attempt)
    wire = between.author.sealed(between.topic, attempt.rng.randbytes(LARGE_BYTES))
    between.author.publish(wire)
    await between.witness.message(wire)
    await asyncio.sleep(SETTLED_S)
    told = any(each.idontwant for each in between.witness.controls())
    return "IDONTWANT" if told else "no IDONTWANT"


@SECTION.must(
    14,
    "Binary (not UTF-8) ids in IWANT",
    "handled",
    limit_s=3,
    source="gossipsub: ids are bytes",
    hurts=True,
)
async def binary_ids(attempt: Attempt) -> None:
    peer, topic = await member(attempt)
    peer.want(b"\xff\xfe\x80" + attempt.rng.randbytes(29))
    await peer.listens(topic)


@SECTION.should(15, "Late extensions message", "connection lives", limit_s=3, source="v1.3")
async def late_extensions(attempt: Attempt) -> str:
    peer = await joined(attempt, versions=(NEWEST, *VERSIONS))
    peer.subscribe("conform-other")
    peer.send(Rpc(control=Control(extensions=Extensions(partial_messages=False))))
    await asyncio.sleep(SETTLED_S)
    await peer.session.alive()
    return f"our stream: {peer.stream.state}"


@SECTION.must(16, "Unknown extension", "ignored", limit_s=3, source="v1.3", hurts=True)
async def unknown_extension(attempt: Attempt) -> None:
    peer = await joined(attempt, versions=(NEWEST, *VERSIONS))
    unknown = bytes_field(6_492_435, b"\x08\x01")
    peer.send(bytes_field(3, bytes_field(6, unknown)))
    topic = await topic_of(attempt, peer)
    peer.subscribe(topic)
    await peer.listens(topic)


@SECTION.should(
    17,
    "Unsubscribe by the target (if it can be told)",
    "PRUNE to mesh, backoff 10",
    limit_s=5,
    source="v1.1",
)
async def unsubscribe(_attempt: Attempt) -> None:
    raise Skipped("no peer can be told over the network to leave a topic")
