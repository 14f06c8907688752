"""yamux/4: how streams end."""

from __future__ import annotations

import asyncio

from mesh.codecs.ping import PING_BYTES
from mesh.codecs.yamux import ACK, FIN, RST
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.ping_streams import (
    STALL_S,
    echo_of,
    echoed,
    ping_stream,
    send_in_two,
    settled,
    stuffed,
)
from mesh.conformance.verdict import Deviation
from mesh.conformance.yamux_frames import data, window
from mesh.conformance.yamux_session import Session, Stream
from mesh.protocols.multistream import opening as proposal

SECTION = Section("yamux/4", "Closing and reset", "yamux", needs=(services.PING,))
TRANSFER_PINGS = 4000
UNKNOWN_STREAM = 9999
RESET_CODE = 0x1234
IN_TURN = 1000
STUFFED_BYTES = 320_000
"""More than a window, in whole pings: the target is still at the first of them when our side ends."""
MOMENT_S = 0.2
END = "end of stream"


async def orderly_end(stream: Stream) -> None:
    """The stream ends with FIN and no more bytes."""
    ending = await stream.ended(END)
    if ending != END or stream.buffer:
        raise Deviation(f"the stream ends by {ending} with {len(stream.buffer)} bytes before it")


async def stops_sending(session: Session, stream: Stream) -> None:
    """Nothing more comes of a stream that was reset, and the session lives. What was on its way may still arrive."""
    await session.alive()
    await asyncio.sleep(STALL_S)
    before = stream.total_bytes
    await asyncio.sleep(STALL_S)
    if stream.total_bytes != before:
        raise Deviation(f"{stream.total_bytes - before} bytes come of a stream that was reset")
    await session.alive()


@SECTION.must(1, "FIN after a request", "answer still comes, then FIN", limit_s=3, source="yamux: closing")
async def request_and_fin(attempt: Attempt) -> None:
    _, stream = await ping_stream(attempt)
    payload = attempt.rng.randbytes(PING_BYTES)
    stream.send(payload)
    stream.finish()
    await echo_of(stream, payload)
    await orderly_end(stream)


@SECTION.should(
    2,
    "Data after our FIN",
    "dropped, RST, or session end; does not reach the application",
    limit_s=3,
    source="yamux: FIN",
    hurts=True,
)
async def data_after_fin(attempt: Attempt) -> str:
    session, stream, _ = await stuffed(attempt, STUFFED_BYTES)
    late = attempt.rng.randbytes(PING_BYTES)
    session.send_frame(window(stream.id, 0, FIN), data(stream.id, late), window(stream.id, 2 * STUFFED_BYTES))
    await settled(stream)
    if late in stream.buffer:
        raise Deviation("the data reached the application")
    return f"stream {stream.state}, session {session.state}"


@SECTION.should(3, "FIN twice", "ignored", limit_s=2)
async def fin_twice(attempt: Attempt) -> None:
    session, stream = await ping_stream(attempt)
    stream.finish()
    stream.finish()
    await stream.ended(END)
    await session.alive()


@SECTION.must(
    4, "RST during transfer", "target stops sending on it, session lives", limit_s=3, source="yamux: RST"
)
async def reset_in_transfer(attempt: Attempt) -> None:
    session, stream = await ping_stream(attempt)
    stream.send(attempt.rng.randbytes(TRANSFER_PINGS * PING_BYTES))
    await echo_start(stream)
    stream.reset()
    await stops_sending(session, stream)


async def echo_start(stream: Stream) -> None:
    """The first ping has come back."""
    await stream.until(lambda: len(stream.buffer) >= PING_BYTES or None, "start of the echo")


@SECTION.should(5, "Data after RST", "ignored, session lives", limit_s=2, hurts=True)
async def data_after_reset(attempt: Attempt) -> None:
    session, stream = await ping_stream(attempt)
    stream.reset()
    stream.send(attempt.rng.randbytes(PING_BYTES))
    await session.alive()


@SECTION.should(6, "FIN, RST, ACK for unknown stream", "ignored", limit_s=2, hurts=True)
async def unknown_stream(attempt: Attempt) -> None:
    session = await attempt.session()
    session.send_frame(*(window(UNKNOWN_STREAM, 0, flags) for flags in (FIN, RST, ACK)))
    await session.alive()


@SECTION.must(7, "RST window update with error code 0x1234", "treated as RST", limit_s=2)
async def reset_with_code(attempt: Attempt) -> None:
    session, stream = await ping_stream(attempt)
    await echoed(attempt, stream)
    stream.send(attempt.rng.randbytes(TRANSFER_PINGS * PING_BYTES))
    await echo_start(stream)
    stream.reset(RESET_CODE)
    await stops_sending(session, stream)


@SECTION.must(8, "FIN on data, its body a moment later, and FIN on window update", "same meaning", limit_s=2)
async def both_fins(attempt: Attempt) -> None:
    for on_data in (False, True):
        session, stream = await ping_stream(attempt)
        payload = attempt.rng.randbytes(PING_BYTES)
        if on_data:
            await send_in_two(session, data(stream.id, payload, FIN), MOMENT_S)
        else:
            session.send_frame(data(stream.id, payload), window(stream.id, 0, FIN))
        await echo_of(stream, payload, "echo of what came with FIN on data" if on_data else "echo")
        await orderly_end(stream)


@SECTION.should(
    9,
    f"{IN_TURN} streams one after another, each ended by both sides",
    "no leak, all work",
    limit_s=20,
    source="robustness",
)
async def many_in_turn(attempt: Attempt) -> None:
    session = await attempt.session()
    for number in range(IN_TURN):
        stream = session.start()
        payload = attempt.rng.randbytes(PING_BYTES)
        session.send_frame(data(stream.id, proposal(services.PING) + payload), window(stream.id, 0, FIN))
        try:
            await stream.agreed(services.PING)
            await echo_of(stream, payload)
            await stream.ended(END)
        except Deviation as deviation:
            raise Deviation(f"stream {number}: {deviation.actual}") from None
