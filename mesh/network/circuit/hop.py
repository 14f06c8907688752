"""What a node asks of a relay over its hop protocol: a reservation, or a circuit to a peer."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from mesh.codecs.relay import MAX_MESSAGE_BYTES, Status
from mesh.errors import RelayRefused, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.relay import HOP_PROTOCOL, Grant, Limit, ask_connect, read_grant, read_status
from mesh.protocols.relay.limit import limit_of
from mesh.protocols.relay.requests import RESERVE, status_name

OPEN_S: Final = 5.0
ANSWER_S: Final = 60.0
"""A relay has 30 s to reach the other end, and that end has its time to answer."""


async def reserve(connection: Connection, own: PeerId) -> Grant:
    """Ask the relay at the other end for a reservation, or to renew it.

    Raises `RelayRefused` with the status of a refusal, `DecodeError` for an answer that does not hold, `TimedOut`,
    `ProtocolNotSupported`, `Closed`.
    """
    async with await _open(connection) as stream:
        answer = await _ask(stream, RESERVE)
    return read_grant(answer, connection.peer, own, time.time())


async def connect(connection: Connection, target: PeerId) -> tuple[Stream, Limit | None]:
    """Ask the relay at the other end for a circuit; the stream is that circuit now.

    Raises what `reserve` does.
    """
    stream = await _open(connection)
    try:
        status, message = read_status(await _ask(stream, ask_connect(target)))
        if status != Status.OK:
            raise RelayRefused(
                f"the relay {connection.peer} answered {status_name(status)}",
                protocol=HOP_PROTOCOL,
                wire_code=status,
            )
    except BaseException:
        stream.reset()
        raise
    return stream, limit_of(message.limit)


async def _open(connection: Connection) -> Stream:
    announced = HOP_PROTOCOL in (connection.remote_protocols or ())
    try:
        async with asyncio.timeout(OPEN_S):
            return await connection.open([HOP_PROTOCOL], optimistic=announced)
    except TimeoutError:
        raise TimedOut(f"the relay {connection.peer} opened no stream within {OPEN_S:g} s") from None


async def _ask(stream: Stream, message: bytes) -> bytes:
    relay = stream.connection.peer
    try:
        async with asyncio.timeout(OPEN_S):
            await stream.write_message(message)
            await stream.negotiated()
    except TimeoutError:
        raise TimedOut(f"the relay {relay} took no request within {OPEN_S:g} s") from None
    try:
        async with asyncio.timeout(ANSWER_S):
            return await stream.read_message(MAX_MESSAGE_BYTES)
    except TimeoutError:
        raise TimedOut(f"the relay {relay} did not answer within {ANSWER_S:g} s") from None
