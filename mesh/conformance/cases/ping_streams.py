"""Streams of the ping protocol as a means to an end: whoever serves it reads, and writes back what it has read."""

from __future__ import annotations

import asyncio
import time

from mesh.codecs.ping import PING_BYTES
from mesh.codecs.yamux import ACK, HEADER_BYTES, SYN
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.verdict import Deviation, Unprepared
from mesh.conformance.yamux_frames import PING, Frame
from mesh.conformance.yamux_session import Session, Stream

FIRST_STREAMS_S = 1.0
STALL_S = 1.0
"""Without a frame for so long, a target is taken to have stopped."""
IDLE_S = 8.0
"""Known targets end a ping stream that waits for credit, or for the next ping, after ten seconds."""


async def ping_stream(attempt: Attempt, *, grants: bool = True) -> tuple[Session, Stream]:
    """A ping stream on a fresh session; with ``grants`` False the target gets no credit beyond the first window."""
    attempt.need(services.PING)
    session = await attempt.session()
    return session, await another(attempt, session, grants=grants)


async def another(attempt: Attempt, session: Session, *, grants: bool = True) -> Stream:
    """A further ping stream."""
    stream = session.start()
    stream.grants = grants
    await attempt.prepared(stream.negotiate(services.PING), "ping stream")
    return stream


async def echoed(attempt: Attempt, stream: Stream, what: str = "echo") -> None:
    """One ping there and back."""
    payload = attempt.rng.randbytes(PING_BYTES)
    stream.send(payload)
    await echo_of(stream, payload, what)


async def echo_of(stream: Stream, payload: bytes, what: str = "echo") -> None:
    """The next bytes are these."""
    if await stream.exactly(len(payload), what) != payload:
        raise Deviation(f"{what} came back altered")


async def settled(stream: Stream) -> None:
    """Wait until all that was sent has left, if the target takes it in time, and nothing more comes on the stream."""
    before, waited_s = -1, 0.0
    while before != stream.total_bytes + stream.frames_taken or (
        stream.session.below.unsent_bytes and waited_s < stream.limit_s
    ):
        before = stream.total_bytes + stream.frames_taken
        await asyncio.sleep(STALL_S)
        waited_s += STALL_S


async def send_in_two(session: Session, frame: Frame, pause_s: float) -> None:
    """Send a frame's header, and its body so much later. Nothing of our own comes to lie between them: what the target
    asks by itself has been answered before, and pings of the session wait for the body."""
    await asyncio.sleep(FIRST_STREAMS_S)
    session.answers_pings = session.accepts = False
    before = len(session.frames)
    encoded = frame.encode()
    session.below.send(encoded[:HEADER_BYTES])
    await asyncio.sleep(pause_s)
    session.below.send(encoded[HEADER_BYTES:])
    for each in session.frames[before:]:
        if each.type == PING and each.has(SYN):
            session.send_frame(Frame(PING, ACK, 0, each.length))
    session.answers_pings = session.accepts = True


async def stuffed(attempt: Attempt, size: int) -> tuple[Session, Stream, int]:
    """A ping stream on which the target was sent up to ``size`` bytes within its window, and granted nothing for its
    answers; the number of bytes it took, with all its credit used up unless that is ``size``."""
    session, stream = await ping_stream(attempt, grants=False)
    sent = 0
    while sent < size:
        room = min(size - sent, max(0, stream.credit_bytes))
        if not room:
            await settled(stream)
            if stream.credit_bytes <= 0:
                return session, stream, sent
            continue
        stream.send(attempt.rng.randbytes(room))
        sent += room
        await asyncio.sleep(0)
    await settled(stream)
    return session, stream, sent


def unfinished(stream: Stream) -> None:
    """Raises `Unprepared` when the target has ended a stream that a busy machine let wait for long."""
    if stream.ending == "end of stream" and time.monotonic() - stream.log.started_s > IDLE_S:
        raise Unprepared("the target ended the stream, which had to wait for long")
