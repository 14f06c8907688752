"""yamux/3: data within its window, and what goes beyond."""

from __future__ import annotations

import asyncio

from mesh.codecs.ping import PING_BYTES
from mesh.codecs.yamux import INITIAL_WINDOW_BYTES
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.ping_streams import (
    another,
    echo_of,
    echoed,
    ping_stream,
    settled,
    stuffed,
    unfinished,
)
from mesh.conformance.verdict import Deviation, Skipped
from mesh.conformance.yamux_frames import DATA, Frame, data, window
from mesh.conformance.yamux_session import Stream

FLOW_CONTROL = "yamux: flow control"
RACES = "yamux (races)"
SECTION = Section("yamux/3", "Data, window and credit", FLOW_CONTROL, needs=(services.PING,))
WANTED_BYTES = 400_000
TOO_MUCH_BYTES = 4 * 2**20
GRANT_BYTES = 1000
STEPS = 64
MIB = 1 << 20
UNKNOWN_STREAM = 9999


async def all_taken(stream: Stream, size: int) -> None:
    """Exactly so many bytes have come of the stream, and no more come."""
    await stream.until(lambda: (stream.total_bytes >= size) or None, f"{size} bytes")
    await settled(stream)
    if stream.total_bytes > size:
        raise Deviation(f"{stream.total_bytes} bytes came where {size} were granted")


@SECTION.must(
    1,
    "A whole window to a stream nobody reads",
    "accepted, session lives",
    limit_s=3,
    source="yamux: 256 KiB",
)
async def whole_window(attempt: Attempt) -> str:
    session, stream, sent = await stuffed(attempt, TOO_MUCH_BYTES)
    await session.alive()
    unfinished(stream)
    if stream.ending is not None:
        raise Deviation(f"the stream ended ({stream.ending}) with {sent} bytes within its window")
    return f"{sent} bytes in flight and read"


@SECTION.should(2, "More than granted", "session ends, go away 1", limit_s=3, hurts=True)
async def overrun(attempt: Attempt) -> str:
    session, stream, sent = await stuffed(attempt, TOO_MUCH_BYTES)
    if stream.credit_bytes > 0:
        raise Skipped(f"the target reads on whatever it may write: {sent} bytes")
    unfinished(stream)
    stream.send(bytes(INITIAL_WINDOW_BYTES))
    return await session.ended()


@SECTION.should(
    3,
    "Header announcing 2^31-1 bytes, no body",
    "ends without waiting or allocating",
    limit_s=3,
    source="robustness",
    harmful=True,
    hurts=True,
)
async def huge_announcement(attempt: Attempt) -> str:
    session, stream = await ping_stream(attempt)
    session.send_frame(Frame(DATA, 0, stream.id, 2**31 - 1))
    return await session.ended()


@SECTION.must(4, "Target sends 400000 bytes, we grant nothing", "it stops at 262144", limit_s=3)
async def stops(attempt: Attempt) -> None:
    _, stream, _ = await stuffed(attempt, WANTED_BYTES)
    await all_taken(stream, INITIAL_WINDOW_BYTES)


@SECTION.must(5, "Then 1000 bytes of credit", "exactly 1000 more", limit_s=3)
async def exactly_more(attempt: Attempt) -> None:
    _, stream, _ = await stuffed(attempt, WANTED_BYTES)
    before = stream.total_bytes
    unfinished(stream)
    stream.grant(GRANT_BYTES)
    await all_taken(stream, before + GRANT_BYTES)


@SECTION.should(
    6,
    "Credit of 2^32-1 on top",
    "session ends or saturates; no overrun",
    limit_s=3,
    source="robustness",
    hurts=True,
)
async def credit_overflow(attempt: Attempt) -> str:
    session, stream = await ping_stream(attempt, grants=False)
    stream.grant(2**32 - 1)
    await asyncio.sleep(0.2)
    sent = 0
    while sent < WANTED_BYTES and session.ending is None:
        room = min(WANTED_BYTES - sent, max(0, stream.credit_bytes))
        if not room:
            before = stream.credit_bytes
            await settled(stream)
            if stream.credit_bytes == before:
                break
            continue
        stream.send(bytes(room))
        sent += room
        await asyncio.sleep(0)
    if session.ending is None:
        await settled(stream)
    unfinished(stream)
    if session.ending is not None or stream.ending is not None:
        return f"session {session.state}, stream {stream.state}"
    await session.alive()
    if stream.total_bytes <= INITIAL_WINDOW_BYTES:
        raise Deviation(f"the credit wrapped round: it stops after {stream.total_bytes} bytes, and lives")
    return "saturates"


@SECTION.should(7, "Credit for an unknown stream", "ignored", limit_s=2, source=RACES)
async def unknown_credit(attempt: Attempt) -> None:
    session = await attempt.session()
    session.send_frame(window(UNKNOWN_STREAM, 1000))
    await session.alive()


@SECTION.should(
    8, "Data for an unknown stream", "ignored or RST, session lives", limit_s=2, source=RACES, hurts=True
)
async def unknown_data(attempt: Attempt) -> None:
    session = await attempt.session()
    session.send_frame(data(UNKNOWN_STREAM, b"nobody asked for this"))
    await session.alive()


@SECTION.may(9, "Data on id 0", "session ends or ignored", limit_s=2, source="yamux: id 0", hurts=True)
async def data_on_zero(attempt: Attempt) -> str:
    session = await attempt.session()
    session.send_frame(data(0, b"nobody asked for this"))
    try:
        await session.alive()
    except Deviation:
        return session.state
    return "ignored"


@SECTION.must(
    10,
    "Send 1 MiB to a reading protocol, wait for credit",
    "window updates and echoes each arrive in time, all passes",
    limit_s=10,
)
async def one_mebibyte(attempt: Attempt) -> str:
    _, stream = await ping_stream(attempt)
    payload = attempt.rng.randbytes(MIB)

    async def each_echo() -> None:
        for start in range(0, MIB, PING_BYTES):
            await echo_of(stream, payload[start : start + PING_BYTES])

    await asyncio.gather(stream.write(payload), each_echo())
    return f"{stream.updates} window updates"


@SECTION.must(
    11,
    "Slow reading by us while other streams run",
    "other streams unaffected",
    limit_s=10,
    source="yamux: per-stream windows",
)
async def others_run(attempt: Attempt) -> None:
    session, _, _ = await stuffed(attempt, WANTED_BYTES)
    other = await another(attempt, session)
    for _ in range(10):
        await echoed(attempt, other, "echo on another stream")


@SECTION.must(12, "Credit in steps of 1 byte", "works", limit_s=10, source="yamux")
async def byte_steps(attempt: Attempt) -> None:
    _, stream, _ = await stuffed(attempt, WANTED_BYTES)
    before = stream.total_bytes
    unfinished(stream)
    for _ in range(STEPS):
        stream.grant(1)
        await asyncio.sleep(0)
    await all_taken(stream, before + STEPS)
