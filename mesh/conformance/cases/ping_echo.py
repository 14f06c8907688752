"""ping/1: 32 bytes there and back."""

from __future__ import annotations

import asyncio

from mesh.codecs.ping import PING_BYTES
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.ping_streams import another, echo_of, echoed, ping_stream, stuffed
from mesh.conformance.verdict import Deviation

SECTION = Section("ping/1", "Echo", "ping", needs=(services.PING,))
LONG_S = 40
REST_S = 0.5
UNREAD_BYTES = 1 << 20


@SECTION.must(1, "32 random bytes", "same 32", limit_s=3)
async def once(attempt: Attempt) -> None:
    _, stream = await ping_stream(attempt)
    await echoed(attempt, stream)


@SECTION.must(2, "Two payloads in one write", "both, in order", limit_s=3, source="ping: repeat")
async def two(attempt: Attempt) -> None:
    _, stream = await ping_stream(attempt)
    payload = attempt.rng.randbytes(2 * PING_BYTES)
    stream.send(payload)
    await echo_of(stream, payload)


@SECTION.must(3, "32 bytes in 32 pieces", "one echo", limit_s=5)
async def in_pieces(attempt: Attempt) -> None:
    _, stream = await ping_stream(attempt)
    payload = attempt.rng.randbytes(PING_BYTES)
    await stream.drip(payload, 0.005)
    await echo_of(stream, payload)
    await asyncio.sleep(REST_S)
    if stream.buffer:
        raise Deviation(f"{len(stream.buffer)} bytes too many")


@SECTION.should(4, "33 bytes, stream left open", "32 back, rest awaited", limit_s=3)
async def one_more(attempt: Attempt) -> None:
    _, stream = await ping_stream(attempt)
    payload = attempt.rng.randbytes(2 * PING_BYTES)
    stream.send(payload[: PING_BYTES + 1])
    await echo_of(stream, payload[:PING_BYTES])
    await stream.silent_for(REST_S)
    stream.send(payload[PING_BYTES + 1 :])
    await echo_of(stream, payload[PING_BYTES:])


@SECTION.should(5, "31 bytes and close", "no echo needed; stream ends", limit_s=3)
async def short(attempt: Attempt) -> str:
    session, stream = await ping_stream(attempt)
    stream.send(attempt.rng.randbytes(PING_BYTES - 1))
    stream.finish()
    ending = await stream.ended("end of the stream")
    await session.alive()
    return ending


@SECTION.should(6, "Close at once", "stream ends", limit_s=3)
async def closed(attempt: Attempt) -> str:
    session, stream = await ping_stream(attempt)
    stream.finish()
    ending = await stream.ended("end of the stream")
    await session.alive()
    return ending


@SECTION.should(
    7,
    f"One payload each second for {LONG_S} s",
    "echoes while the stream lives; orderly end allowed",
    limit_s=45,
    slow=True,
)
async def for_long(attempt: Attempt) -> str:
    session, stream = await ping_stream(attempt)
    echoes = 0
    while echoes < LONG_S and stream.ending is None:
        try:
            await echoed(attempt, stream)
        except Deviation:
            if stream.ending != "end of stream":
                raise
            break
        echoes += 1
        await asyncio.sleep(1.0)
    await session.alive()
    return f"{echoes} echoes, then {stream.state}"


@SECTION.should(
    8, "Open and stay silent", "ended in reasonable time", limit_s=70, slow=True, source="implementation"
)
async def silence(attempt: Attempt) -> str:
    session, stream = await ping_stream(attempt)
    ending = await stream.ended("end of the stream")
    await session.alive()
    return ending


@SECTION.should(9, "Two streams at the same time", "both served", limit_s=3, source="ping: two streams")
async def together(attempt: Attempt) -> None:
    session, first = await ping_stream(attempt)
    second = await another(attempt, session)
    await echoed(attempt, second)
    await echoed(attempt, first)


@SECTION.may(10, "Third and fourth stream", "may be refused, connection lives", limit_s=3)
async def four(attempt: Attempt) -> str:
    session, first = await ping_stream(attempt)
    await another(attempt, session)
    served = 2
    for _ in range(2):
        stream = session.start()
        try:
            await stream.negotiate(services.PING)
            await echoed(attempt, stream)
        except Deviation:
            continue
        served += 1
    await session.alive()
    await echoed(attempt, first)
    return f"{served} of 4 served"


@SECTION.should(
    11,
    "1 MiB of payloads, not reading",
    "backpressure, no growth",
    limit_s=10,
    source="robustness",
    harmful=True,
    hurts=True,
)
async def not_reading(attempt: Attempt) -> str:
    session, stream, sent = await stuffed(attempt, UNREAD_BYTES)
    await session.alive()
    if sent >= UNREAD_BYTES and stream.ending is None:
        raise Deviation(f"{sent} bytes were taken while none of the answers was")
    return f"{sent} bytes taken, stream {stream.state}"
