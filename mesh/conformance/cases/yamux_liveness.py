"""yamux/5: pings of the session, and its end."""

from __future__ import annotations

import asyncio

from mesh.codecs.yamux import ACK, SYN
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.ping_streams import ping_stream
from mesh.conformance.verdict import Deviation, Unprepared
from mesh.conformance.wire import Wire
from mesh.conformance.yamux_frames import GO_AWAY, PING, Frame, window
from mesh.conformance.yamux_session import Session
from mesh.protocols.multistream import opening as proposal

SECTION = Section("yamux/5", "Ping and go away", "yamux: ping")
TERMINATION = "yamux: termination"
ID_ZERO = "yamux: id 0"
VALUE = 0xDEADBEEF
MANY_PINGS = 500
TRANSFER_BYTES = 1 << 20
REST_S = 1.0
FIRST_STREAMS_S = 0.5


def is_pong(frame: Frame, value: int) -> bool:
    return frame.type == PING and frame.has(ACK) and frame.length == value


@SECTION.must(1, "Ping SYN with value 0xdeadbeef", "ACK, same value, id 0", limit_s=2)
async def ping(attempt: Attempt) -> None:
    session = await attempt.session()
    session.send_frame(Frame(PING, SYN, 0, VALUE))
    pong = await session.frame(lambda each: each.type == PING and each.has(ACK), "answer to the ping")
    if pong.length != VALUE or pong.stream_id:
        raise Deviation(f"the answer is {pong}")


@SECTION.may(2, "Ping with id 7", "answered or session end", limit_s=2, source=ID_ZERO)
async def ping_on_stream(attempt: Attempt) -> str:
    session = await attempt.session()
    session.send_frame(Frame(PING, SYN, 7, VALUE))
    try:
        pong = await session.frame(lambda each: is_pong(each, VALUE), "answer to the ping")
    except Deviation:
        return f"no answer, session {session.state}"
    return f"answered with id {pong.stream_id}"


@SECTION.may(3, "Unasked pong", "ignored, or session end", limit_s=2)
async def unasked(attempt: Attempt) -> str:
    session = await attempt.session()
    session.send_frame(Frame(PING, ACK, 0, VALUE))
    return await lives_or_ends(session)


async def lives_or_ends(session: Session) -> str:
    """For MAY cases: `ignored`, or how the session ended."""
    try:
        await session.alive()
    except Deviation:
        return f"session {session.state}"
    return "ignored"


@SECTION.may(4, "Ping without flags", "ignored", limit_s=2)
async def no_flags(attempt: Attempt) -> str:
    session = await attempt.session()
    session.send_frame(Frame(PING, 0, 0, VALUE))
    return await lives_or_ends(session)


@SECTION.should(5, "Ping during a long transfer", "answered in 2 s", limit_s=10, needs=(services.PING,))
async def during_transfer(attempt: Attempt) -> None:
    session, stream = await ping_stream(attempt)
    transfer = asyncio.ensure_future(stream.write(bytes(TRANSFER_BYTES)))
    try:
        await stream.until(lambda: stream.total_bytes > 1000 or None, "start of the transfer")
        session.send_frame(Frame(PING, SYN, 0, VALUE))
        await session.frame(
            lambda each: is_pong(each, VALUE), "answer to the ping", within_s=2 * attempt.options.scale
        )
    finally:
        transfer.cancel()
        await asyncio.gather(transfer, return_exceptions=True)


@SECTION.should(
    6,
    f"{MANY_PINGS} pings in one write",
    "session lives; answers may be dropped",
    limit_s=3,
    source="robustness",
    harmful=True,
    hurts=True,
)
async def flood(attempt: Attempt) -> str:
    session = await attempt.session()
    session.send_frame(*(Frame(PING, SYN, 0, number) for number in range(MANY_PINGS)))
    await asyncio.sleep(REST_S)
    answers = sum(each.type == PING and each.has(ACK) for each in session.frames)
    await session.alive()
    return f"{answers} answers"


@SECTION.may(7, "No pong to target's pings", "session ended eventually", limit_s=60, slow=True)
async def no_pong(attempt: Attempt) -> str:
    session = await attempt.session()
    session.answers_pings = False
    try:
        return await session.ended()
    except Deviation as deviation:
        pings = sum(each.type == PING and each.has(SYN) for each in session.frames)
        return f"{deviation.actual}; {pings} pings"


@SECTION.must(8, "Go away 0", "no new streams from it; may end", limit_s=3, source=TERMINATION)
async def go_away(attempt: Attempt) -> str:
    session = await attempt.session()
    await attempt.prepared(session.alive(), "session")
    await asyncio.sleep(FIRST_STREAMS_S)
    before = len(session.frames)
    session.send_frame(Frame(GO_AWAY, 0, 0, 0))
    await asyncio.sleep(REST_S)
    opened = [each for each in session.frames[before:] if each.type != PING and each.has(SYN)]
    if opened:
        raise Deviation(f"it opened {len(opened)} streams")
    return session.state


@SECTION.should(9, "Go away 1, 2, 77", "session ends", limit_s=3, source=TERMINATION, hurts=True)
async def go_away_codes(attempt: Attempt) -> str:
    endings = []
    for code in (1, 2, 77):
        session = await attempt.session()
        session.send_frame(Frame(GO_AWAY, 0, 0, code))
        endings.append(f"{code}: {await session.ended()}")
    return ", ".join(endings)


@SECTION.may(10, "Go away with id 3", "as 5.8 or ignored", limit_s=3, source=ID_ZERO)
async def go_away_on_stream(attempt: Attempt) -> str:
    session = await attempt.session()
    session.send_frame(Frame(GO_AWAY, 0, 3, 0))
    return await lives_or_ends(session)


@SECTION.may(
    11,
    "SYN after our go away 0",
    "no ACK, or a stream: hashicorp's GoAway lets its sender go on opening",
    limit_s=3,
    source=TERMINATION,
)
async def syn_after_go_away(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = session.watch(session.next_id())
    session.send_frame(Frame(GO_AWAY, 0, 0, 0), window(stream.id, 0, SYN))
    stream.send(proposal(services.IDENTIFY))
    await asyncio.sleep(REST_S)
    return f"{'ACK' if stream.acknowledged else 'no ACK'}, session {session.state}"


@SECTION.should(
    12, "TCP half close by us", "session ends orderly", limit_s=3, source="implementation", hurts=True
)
async def half_close(attempt: Attempt) -> str:
    session = await attempt.session()
    wire = session.below
    while not isinstance(wire, Wire):
        below = getattr(wire, "below", None)
        if below is None:
            raise Unprepared("there is no TCP connection below the session")
        wire = below
    wire.finish()
    return await session.ended()
