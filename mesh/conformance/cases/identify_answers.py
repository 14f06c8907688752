"""identify/1: what the target says of itself, and what it makes of what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from mesh.codecs.identify import Identify
from mesh.codecs.kademlia import Message, MessageType
from mesh.codecs.multistream import encode_token
from mesh.conformance import services
from mesh.conformance.attempt import Attempt, merged_identify
from mesh.conformance.case import Section
from mesh.conformance.verdict import Deviation
from mesh.conformance.yamux_session import Session, Stream
from mesh.errors import DecodeError
from mesh.framing import delimited
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import PeerRecord, open_peer_record
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.multistream import HEADER

SECTION = Section("identify/1", "identify", "identify")
ROBUSTNESS = "robustness"
KADEMLIA = ("/ipfs/kad/1.0.0", "/ipfs/lan/kad/1.0.0")
MARK = Multiaddr.parse("/ip4/192.0.2.77/tcp/47077")
"""An address nobody has, to be recognised again."""
ONE_PART_BYTES = 4096
PARALLEL = 40
FLOOD_ENTRIES = 100_000
PART_BYTES = 8000
MAX_ANSWER_BYTES = 4 * 2**20


async def told(attempt: Attempt) -> Identify:
    """The target's identify message."""
    return await attempt.identify(await attempt.session())


@SECTION.must(1, "Open the stream, send nothing", "message, then end of stream", limit_s=5)
async def asked(attempt: Attempt) -> None:
    session = await attempt.session()
    stream = await session.open(services.IDENTIFY)
    merged_identify(await stream.rest("message and end of stream"))
    if stream.ending != "end of stream":
        raise Deviation(f"the stream ended by {stream.ending}")


@SECTION.should(
    2, "Check publicKey", "matches the connection's peer id", limit_s=5, source="identify: publicKey"
)
async def public_key(attempt: Attempt) -> None:
    message = await told(attempt)
    if message.public_key is None:
        raise Deviation("no key is sent")
    try:
        peer = PeerId.from_public_key(PublicKey.from_protobuf(message.public_key))
    except DecodeError as error:
        raise Deviation(f"the key cannot be read: {error}") from None
    if peer != attempt.target.peer:
        raise Deviation(f"the key is that of {peer}")


@SECTION.should(3, "Check observedAddr", "our address as seen", limit_s=5, source="identify: observedAddr")
async def observed(attempt: Attempt) -> str:
    message = await told(attempt)
    if message.observed_addr is None:
        raise Deviation("none is sent")
    try:
        address = Multiaddr.from_bytes(message.observed_addr)
    except DecodeError as error:
        raise Deviation(f"it cannot be read: {error}") from None
    own = attempt.own_address()
    if attempt.target.is_loopback and address.without_peer() != own:
        raise Deviation(f"{address} is said, {own} is right")
    return str(address)


@SECTION.must(4, "Check listenAddrs", "all parse as multiaddr", limit_s=5, source="identify: listenAddrs")
async def listen_addrs(attempt: Attempt) -> str:
    message = await told(attempt)
    for each in message.listen_addrs:
        try:
            Multiaddr.from_bytes(each)
        except DecodeError as error:
            raise Deviation(f"{each.hex()}: {error}") from None
    return f"{len(message.listen_addrs)} addresses"


@SECTION.should(
    5,
    "Check protocols",
    "each listed one can be negotiated; identify itself is there",
    limit_s=30,
    source="identify: protocols",
)
async def protocols(attempt: Attempt) -> str:
    session = await attempt.session()
    message = await attempt.identify(session)
    if services.IDENTIFY not in message.protocols:
        raise Deviation(f"{services.IDENTIFY} is not listed")
    for name in message.protocols:
        stream = session.start()
        stream.send(encode_token(HEADER) + encode_token(name))
        try:
            await stream.agreed(name)
        except Deviation as deviation:
            raise Deviation(f"{name} is listed: {deviation.actual}") from None
        stream.reset()
    return f"{len(message.protocols)} protocols"


@SECTION.must(
    6,
    "Check signedPeerRecord if present",
    "envelope verifies, id matches, addresses parse",
    limit_s=5,
    source="RFC 0002, 0003",
)
async def signed_record(attempt: Attempt) -> str:
    message = await told(attempt)
    if message.signed_peer_record is None:
        return "none is sent"
    try:
        record = open_peer_record(message.signed_peer_record)
    except DecodeError as error:
        raise Deviation(f"it does not hold: {error}") from None
    if record.peer_id != attempt.target.peer:
        raise Deviation(f"it is about {record.peer_id}")
    return f"sequence {record.seq}, {len(record.addresses)} addresses"


@SECTION.should(
    7,
    "Size of the first message",
    f"at most {ONE_PART_BYTES} bytes (peers that read one small message)",
    limit_s=5,
    source="implementation (rust limit)",
)
async def first_size(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = await session.open(services.IDENTIFY)
    message = await stream.message(MAX_ANSWER_BYTES, "identify message")
    if len(message) > ONE_PART_BYTES:
        raise Deviation(f"{len(message)} bytes")
    return f"{len(message)} bytes"


@SECTION.should(8, "Send stray bytes on the stream", "answer unaffected", limit_s=5, source=ROBUSTNESS)
async def stray(attempt: Attempt) -> None:
    session = await attempt.session()
    stream = session.start()
    stream.send(encode_token(HEADER) + encode_token(services.IDENTIFY) + b"stray bytes")
    await stream.agreed(services.IDENTIFY)
    merged_identify(await stream.rest("message and end of stream"))


@SECTION.should(
    9,
    f"{PARALLEL} identify streams in parallel",
    "answered or reset, no crash",
    limit_s=10,
    source=ROBUSTNESS,
    harmful=True,
    hurts=True,
)
async def parallel(attempt: Attempt) -> str:
    session = await attempt.session()
    streams = [session.start() for _ in range(PARALLEL)]
    for each in streams:
        each.send(encode_token(HEADER) + encode_token(services.IDENTIFY))
    await session.until(
        lambda: all(each.ending is not None for each in streams) or None, f"end of {PARALLEL} streams"
    )
    await session.alive()
    answered = sum(each.ending == "end of stream" for each in streams)
    return f"{answered} answered, {PARALLEL - answered} not"


@SECTION.should(10, "Does the target open identify to us after connecting", "yes, soon", limit_s=5)
async def asks(attempt: Attempt) -> None:
    asked_us = asyncio.Event()
    answer = services.answering_identify(
        services.identify_message(attempt.identity, (services.IDENTIFY, *attempt.serves))
    )

    async def serve(stream: Stream) -> None:
        asked_us.set()
        await answer(stream)

    attempt.serves[services.IDENTIFY] = serve
    await attempt.session()
    try:
        async with asyncio.timeout(attempt.limit_s):
            await asked_us.wait()
    except TimeoutError:
        raise Deviation(f"no identify stream within {attempt.limit_s:g} s") from None


@SECTION.should(
    11,
    "Harness answers identify with nothing and holds the stream",
    "target gives up, connection lives",
    limit_s=20,
    slow=True,
    source=ROBUSTNESS,
)
async def held(attempt: Attempt) -> str:
    held_stream: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()

    async def serve(stream: Stream) -> None:
        if not held_stream.done():
            held_stream.set_result(stream)

    attempt.serves[services.IDENTIFY] = serve
    session = await attempt.session()
    try:
        stream = await asyncio.wait_for(asyncio.shield(held_stream), attempt.limit_s)
    except TimeoutError:
        return "the target does not ask"
    ending = await stream.ended("end of the stream that is held")
    await session.alive()
    return ending


async def known_under(session: Session, protocol: str, peer: PeerId) -> Iterable[Multiaddr]:
    """Addresses that the target's DHT tells of a peer."""
    stream = await session.open(protocol)
    request = Message(type=MessageType.FIND_NODE, key=peer.to_bytes())
    stream.send(delimited.encode(request.encode()))
    answer = Message.decode(await stream.message(MAX_ANSWER_BYTES, "answer to FIND_NODE"))
    addresses = []
    for each in answer.closer_peers:
        if each.id == peer.to_bytes():
            addresses += [Multiaddr.from_bytes(address) for address in each.addrs]
    return addresses


async def not_believed(attempt: Attempt, message: Identify, victim: PeerId) -> str:
    """Tell the target this of us; it must not come to believe it of the victim, and goes on."""
    attempt.about_us = message
    session = await attempt.session()
    try:
        await session.alive()
    except Deviation:
        if session.ending is None:
            raise
        return f"the connection ends: {session.ending}"
    await asyncio.sleep(1.0)
    if session.ending is not None:
        return f"the connection ends: {session.ending}"
    merged = await attempt.identify(session)
    if merged.public_key is not None and victim.to_bytes() == PeerId.from_public_key(
        PublicKey.from_protobuf(merged.public_key)
    ):
        raise Deviation("the target took the identity for its own")
    protocol = next((each for each in KADEMLIA if attempt.target.serves(each)), None)
    if protocol is None:
        return "ignored; who it believes us to be cannot be asked without a DHT"
    if MARK in await known_under(session, protocol, victim):
        raise Deviation("the address is told as that of the other peer")
    return "ignored"


def other(attempt: Attempt) -> tuple[PrivateKey, PeerId]:
    key = attempt.fresh_identity()
    return key, PeerId.from_public_key(key.public)


@SECTION.must(
    12,
    "Harness answers with another peer's key",
    "connection not attributed to that peer",
    limit_s=5,
    source="identify, security",
    hurts=True,
)
async def other_key(attempt: Attempt) -> str:
    key, victim = other(attempt)
    message = services.identify_message(key, (services.IDENTIFY, *attempt.serves))
    message.listen_addrs = [MARK.to_bytes()]
    return await not_believed(attempt, message, victim)


@SECTION.must(
    13,
    "Harness answers with a record signed by another key",
    "record ignored",
    limit_s=5,
    source="RFC 0003",
    hurts=True,
)
async def other_record(attempt: Attempt) -> str:
    key, victim = other(attempt)
    message = services.identify_message(attempt.identity, (services.IDENTIFY, *attempt.serves))
    message.signed_peer_record = PeerRecord(victim, 1, (MARK,)).seal(key)
    return await not_believed(attempt, message, victim)


@SECTION.should(
    14,
    f"Harness lists {FLOOD_ENTRIES} addresses",
    "bounded; no crash",
    limit_s=10,
    source=ROBUSTNESS,
    harmful=True,
    hurts=True,
)
async def long_list(attempt: Attempt) -> str:
    async def serve(stream: Stream) -> None:
        address = MARK.to_bytes()
        entry = b"\x12" + bytes((len(address),)) + address
        part = delimited.encode(entry * (PART_BYTES // len(entry)))
        for _ in range(FLOOD_ENTRIES * len(entry) // PART_BYTES + 1):
            await stream.write(part)
        stream.finish()

    attempt.serves[services.IDENTIFY] = serve
    session = await attempt.session()
    await asyncio.sleep(2.0)
    try:
        await session.alive()
    except Deviation:
        if session.ending is None:
            raise
    return f"session {session.state}"
