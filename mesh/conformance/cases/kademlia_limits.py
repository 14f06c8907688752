"""kad/3: what is no request, and what is too much."""

from __future__ import annotations

import asyncio

from mesh.codecs.kademlia import MessageType
from mesh.codecs.multistream import encode_token as token
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.kademlia_queries import multihash
from mesh.conformance.kademlia_client import (
    MAX_MESSAGE_BYTES,
    PROTOCOLS,
    ask,
    find_node,
    get_providers,
    opened,
    refused,
)
from mesh.conformance.protobuf_fields import NOT_PROTOBUF, UNKNOWN_FIELDS
from mesh.conformance.verdict import Deviation, Skipped
from mesh.framing import delimited
from mesh.multiformats import varint
from mesh.protocols.multistream import HEADER, NOT_AVAILABLE

SECTION = Section("kad/3", "Limits", "kad-dht", hurts=True)
MANY_REQUESTS = 1000
PIECES = 20
QUIET_S = 1.0


@SECTION.should(1, "Unknown type 99", "reset", limit_s=5)
async def unknown_type(attempt: Attempt) -> str:
    request = find_node(attempt.target.peer.to_bytes()).encode()
    changed = request.replace(bytes((0x08, MessageType.FIND_NODE)), b"\x08\x63", 1)
    return await refused(*await opened(attempt), delimited.encode(changed))


@SECTION.must(2, "Undecodable message", "reset", limit_s=5)
async def undecodable(attempt: Attempt) -> str:
    return await refused(*await opened(attempt), delimited.encode(NOT_PROTOBUF))


@SECTION.must(
    3, "Length 4 MiB + 1", "reset without allocating", limit_s=5, source="implementation", harmful=True
)
async def too_long(attempt: Attempt) -> str:
    return await refused(*await opened(attempt), varint.encode(MAX_MESSAGE_BYTES + 1))


@SECTION.may(4, "Length 0", "reset or ignored", limit_s=5)
async def empty(attempt: Attempt) -> str:
    session, stream = await opened(attempt)
    stream.send(b"\x00")
    try:
        await stream.ended("end of the stream", within_s=QUIET_S)
    except Deviation:
        await session.alive()
    return f"{len(stream.buffer)} bytes came; {stream.state}"


@SECTION.should(
    5,
    "Request cut in half, then silence",
    "ended in reasonable time",
    limit_s=90,
    slow=True,
    source="implementation",
)
async def half(attempt: Attempt) -> str:
    session, stream = await opened(attempt)
    request = delimited.encode(find_node(attempt.target.peer.to_bytes()).encode())
    stream.send(request[: len(request) // 2])
    ending = await stream.ended("end of the stream")
    await session.alive()
    return ending


@SECTION.must(6, "Extra unknown fields", "ignored", limit_s=5, source="protobuf")
async def unknown_fields(attempt: Attempt) -> None:
    _, stream = await opened(attempt)
    request = find_node(attempt.target.peer.to_bytes())
    answer = await ask(stream, request.encode() + UNKNOWN_FIELDS)
    if answer.type is not request.type:
        raise Deviation(f"FIND_NODE with unknown fields was answered by {answer.type.name}")


@SECTION.should(
    7,
    "1000 requests without reading answers",
    "backpressure",
    limit_s=20,
    harmful=True,
    source="robustness",
)
async def unread(attempt: Attempt) -> str:
    session, stream = await opened(attempt)
    stream.grants = False
    request = delimited.encode(get_providers(multihash(b"unread")).encode())
    for _ in range(PIECES):
        if stream.ending is None and stream.credit_bytes >= len(request) * (MANY_REQUESTS // PIECES):
            stream.send(request * (MANY_REQUESTS // PIECES))
        await asyncio.sleep(QUIET_S / PIECES)
    await session.alive()
    return f"{stream.total_bytes} bytes of answers; {stream.state}"


@SECTION.must(
    8,
    "Client-mode node: open kad",
    "na and not in identify",
    limit_s=5,
    source="kad-dht: client mode",
)
async def client_mode(attempt: Attempt) -> None:
    served = [each for each in PROTOCOLS if attempt.target.serves(each)]
    if served:
        raise Skipped(f"the target is a server: identify lists {', '.join(served)}")
    session = await attempt.session()
    for each in PROTOCOLS:
        stream = session.start()
        stream.send(token(HEADER) + token(each))
        await stream.token("multistream header")
        if (answer := await stream.token("na")) != NOT_AVAILABLE:
            raise Deviation(f"identify does not list {each}, and the answer to it is {answer[:64]!r}")
