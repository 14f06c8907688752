"""autonat/1: version 1, which dials back whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

from mesh.codecs.autonat import (
    MAX_V1_BYTES,
    DialResponseV1,
    DialV1,
    MessageV1,
    PeerV1,
    StatusV1,
    TypeV1,
)
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.circuits import id_of, relayed
from mesh.conformance.doors import door, node_at, other_host, tcp_address
from mesh.conformance.verdict import Deviation, Skipped
from mesh.conformance.yamux_session import Session, Stream
from mesh.errors import DecodeError
from mesh.framing import delimited
from mesh.multiformats import varint
from mesh.multiformats.multiaddr import Multiaddr

V1 = "/libp2p/autonat/1.0.0"
SECTION = Section("autonat/1", "Version 1", "autonat-v1", needs=(V1,), lane="autonat", hurts=True)
SETTLED_S = 1.0
UNREACHABLE_PORT = 9
DIALS = 4


def dial(peer: bytes, addresses: Sequence[Multiaddr]) -> MessageV1:
    found = PeerV1(peer, [each.to_bytes() for each in addresses])
    return MessageV1(TypeV1.DIAL, DialV1(found))


async def response(stream: Stream) -> DialResponseV1:
    """The target's DIAL_RESPONSE. Raises `Deviation`."""
    received = await stream.message(MAX_V1_BYTES, "DIAL_RESPONSE")
    try:
        message = MessageV1.decode(received)
    except DecodeError as error:
        raise Deviation(f"DIAL_RESPONSE cannot be read: {error}") from None
    if message.type is not TypeV1.DIAL_RESPONSE or message.dial_response is None:
        raise Deviation(f"the answer is of type {message.type}")
    return message.dial_response


async def ask(session: Session, request: MessageV1) -> DialResponseV1:
    stream = await session.open(V1)
    stream.send(delimited.encode(request.encode()))
    found = await response(stream)
    stream.finish()
    return found


async def _status(attempt: Attempt, request: MessageV1, wanted: StatusV1) -> str:
    answer = await ask(await attempt.session(), request)
    if answer.status != wanted:
        raise Deviation(f"status {answer.status}")
    return f"status {answer.status}"


@SECTION.must(
    1,
    "DIAL with our addresses from a public address",
    "DIAL_RESPONSE 0, or 100, 101",
    limit_s=40,
    slow=True,
)
async def dialed(attempt: Attempt) -> str:
    session = await attempt.session()
    async with node_at(attempt.local_host, attempt.identity) as address:
        answer = await ask(session, dial(id_of(attempt.identity), [address]))
    if answer.status not in (StatusV1.OK, StatusV1.E_DIAL_ERROR, StatusV1.E_DIAL_REFUSED):
        raise Deviation(f"status {answer.status}")
    return f"status {answer.status}"


@SECTION.must(2, "DIAL naming other IPs", "never dialed", limit_s=40, source="autonat-v1: security")
async def elsewhere(attempt: Attempt) -> str:
    session = await attempt.session()
    async with door(attempt, other_host(attempt.local_host)) as other:
        answer = await ask(session, dial(id_of(attempt.identity), [other.address]))
        await asyncio.sleep(SETTLED_S)
        if other.knocks:
            raise Deviation(f"the target dialed {other.address}, which is not the asker's address")
    return f"status {answer.status}"


@SECTION.should(3, "DIAL without peer", "200", limit_s=5)
async def no_peer(attempt: Attempt) -> None:
    await _status(attempt, MessageV1(TypeV1.DIAL, DialV1()), StatusV1.E_BAD_REQUEST)


@SECTION.should(4, "DIAL with another peer id", "200", limit_s=5)
async def other_peer(attempt: Attempt) -> None:
    request = dial(id_of(attempt.fresh_identity()), [tcp_address("127.0.0.1", UNREACHABLE_PORT)])
    await _status(attempt, request, StatusV1.E_BAD_REQUEST)


@SECTION.should(5, "DIAL from loopback or private", "101", limit_s=5)
async def private(attempt: Attempt) -> None:
    session = await attempt.session()
    if not ip_address(attempt.local_host).is_private:
        raise Skipped("this machine's address is public")
    request = dial(id_of(attempt.identity), [tcp_address(attempt.local_host, UNREACHABLE_PORT)])
    answer = await ask(session, request)
    if answer.status != StatusV1.E_DIAL_REFUSED:
        raise Deviation(f"status {answer.status}")


@SECTION.must(6, "DIAL over a relayed connection", "refused", limit_s=15)
async def over_a_circuit(attempt: Attempt) -> str:
    inner = attempt.fresh_identity()
    session = await relayed(attempt, inner)
    async with door(attempt, attempt.local_host) as ours:
        try:
            answer = await ask(session, dial(id_of(inner), [ours.address]))
        except Deviation:
            said = "no answer"
        else:
            said = f"status {answer.status}"
            if answer.status == StatusV1.OK:
                raise Deviation("a dial asked for over a relayed connection succeeded")
        await asyncio.sleep(SETTLED_S)
        if ours.knocks:
            raise Deviation(f"the target dialed what was asked for over a relayed connection; {said}")
    return said


async def _ended(attempt: Attempt, sent: bytes) -> str:
    session = await attempt.session()
    stream = await session.open(V1)
    stream.send(sent)
    ending = await stream.ended_silently("end of the stream")
    await session.alive()
    return ending


@SECTION.should(7, "DIAL_RESPONSE as request", "reset", limit_s=5)
async def response_as_request(attempt: Attempt) -> str:
    message = MessageV1(TypeV1.DIAL_RESPONSE, None, DialResponseV1(StatusV1.OK))
    return await _ended(attempt, delimited.encode(message.encode()))


@SECTION.should(8, "Over 4096 bytes", "reset", limit_s=5, source="implementation")
async def too_long(attempt: Attempt) -> str:
    return await _ended(attempt, varint.encode(MAX_V1_BYTES + 1))


@SECTION.may(
    9, "Four DIALs in a minute", "throttled by 101", limit_s=60, source="implementation", harmful=True
)
async def often(attempt: Attempt) -> str:
    session = await attempt.session()
    request = dial(id_of(attempt.identity), [tcp_address(attempt.local_host, UNREACHABLE_PORT)])
    found = [(await ask(session, request)).status for _ in range(DIALS)]
    return f"statuses {', '.join(map(str, found))}"
