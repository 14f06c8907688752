"""yamux/1: headers, and how frames lie in records."""

from __future__ import annotations

from mesh.codecs.ping import PING_BYTES
from mesh.codecs.yamux import SYN
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.ping_streams import echo_of, echoed, ping_stream, send_in_two
from mesh.conformance.verdict import Deviation
from mesh.conformance.yamux_frames import PING, Frame, data, window

SECTION = Section("yamux/1", "Frames", "yamux: framing")
PAUSE_S = 30.0
UNKNOWN_FLAGS = 0xFF00


@SECTION.should(1, "Version 1", "session ends", limit_s=2, source="yamux: version", hurts=True)
async def version(attempt: Attempt) -> str:
    session = await attempt.session()
    session.send_frame(Frame(PING, SYN, 0, 1, version=1))
    return await session.ended()


@SECTION.should(2, "Type 4", "session ends", limit_s=2, source="yamux: type", hurts=True)
async def unknown_type(attempt: Attempt) -> str:
    session = await attempt.session()
    session.send_frame(Frame(4, SYN, 0, 0))
    return await session.ended()


@SECTION.may(3, "Unknown flag bits on a SYN", "ignored, or session ends", limit_s=2, source="yamux: flags")
async def unknown_flags(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = session.start(SYN | UNKNOWN_FLAGS)
    try:
        await stream.negotiate(services.IDENTIFY)
    except Deviation as deviation:
        return f"{deviation.actual}; session {session.state}"
    return "ignored"


@SECTION.must(4, "Header cut by TCP close", "no crash", limit_s=2, source="robustness", hurts=True)
async def cut_header(attempt: Attempt) -> None:
    session = await attempt.session()
    session.below.send(window(1, 0, SYN).encode()[:7])
    attempt.close_wires()
    await (await attempt.session()).alive()


@SECTION.should(
    5,
    "Header then 30 s pause before the body",
    "session lives while pings are answered",
    limit_s=40,
    slow=True,
    source="robustness",
    needs=(services.PING,),
)
async def late_body(attempt: Attempt) -> None:
    session, stream = await ping_stream(attempt)
    await send_in_two(session, data(stream.id, attempt.rng.randbytes(PING_BYTES)), PAUSE_S)
    await session.alive()


@SECTION.should(
    6,
    "Data frame of length 0 without flags on a live stream",
    "ignored",
    limit_s=2,
    source="yamux: data",
    needs=(services.PING,),
)
async def empty_data(attempt: Attempt) -> None:
    session, stream = await ping_stream(attempt)
    session.send_frame(data(stream.id, b""))
    await echoed(attempt, stream)


@SECTION.must(
    7,
    "Many frames in one record, one frame over many",
    "same result",
    limit_s=3,
    source="stream semantics",
    needs=(services.PING,),
)
async def cut_anywhere(attempt: Attempt) -> None:
    session, stream = await ping_stream(attempt)
    payload = attempt.rng.randbytes(10 * PING_BYTES)
    session.send_frame(
        *(data(stream.id, payload[start : start + 20]) for start in range(0, len(payload), 20))
    )
    await echo_of(stream, payload)
    frame = data(stream.id, payload).encode()
    for start in range(0, len(frame), 5):
        session.below.send(frame[start : start + 5])
    await echo_of(stream, payload)
