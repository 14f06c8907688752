"""yamux/2: opening streams, and the ids they have."""

from __future__ import annotations

import asyncio

from mesh.codecs.ping import PING_BYTES
from mesh.codecs.yamux import ACK, FIN, RST, SYN
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.ping_streams import echo_of, echoed, ping_stream
from mesh.conformance.verdict import Deviation, Skipped
from mesh.conformance.yamux_frames import DATA, Frame, data, window
from mesh.conformance.yamux_session import Session
from mesh.protocols.multistream import opening as proposal

SECTION = Section("yamux/2", "Opening", "yamux")
STREAM_ID = "yamux: stream id"
FLOW_CONTROL = "yamux: flow control"
MANY = 600
REST_S = 0.5


async def its_stream(session: Session) -> Frame:
    """The target's first SYN. Raises `Skipped` when it opens no stream by itself."""
    try:
        return await session.frame(
            lambda each: bool(each.flags & SYN) and each.type <= 1, "stream of the target"
        )
    except Deviation as deviation:
        raise Skipped(f"the target opens no stream by itself: {deviation.actual}") from None


@SECTION.must(
    1, "Window update with SYN, odd id", "ACK frame for that id", limit_s=2, source="yamux: opening"
)
async def by_window_update(attempt: Attempt) -> None:
    session = await attempt.session()
    stream = session.start()
    stream.send(proposal(services.IDENTIFY))
    await session.frame(lambda each: each.stream_id == stream.id and each.has(ACK), "ACK")


@SECTION.must(
    2,
    "Data with SYN",
    "ACK; data delivered",
    limit_s=2,
    source="yamux: opening",
    needs=(services.PING,),
)
async def by_data(attempt: Attempt) -> None:
    session = await attempt.session()
    stream = session.watch(session.next_id())
    payload = attempt.rng.randbytes(PING_BYTES)
    session.send_frame(data(stream.id, proposal(services.PING) + payload, SYN))
    await stream.agreed(services.PING)
    await echo_of(stream, payload)
    await session.frame(lambda each: each.stream_id == stream.id and each.has(ACK), "ACK")


@SECTION.should(
    3, "SYN with even id from the client", "session ends", limit_s=2, source=STREAM_ID, hurts=True
)
async def even_id(attempt: Attempt) -> str:
    session = await attempt.session()
    session.send_frame(window(1000, 0, SYN))
    return await session.ended()


@SECTION.must(
    4,
    "SYN with id 0",
    "session ends or frame ignored; never a stream",
    limit_s=2,
    source="yamux: id 0",
    hurts=True,
)
async def id_zero(attempt: Attempt) -> str:
    session = await attempt.session()
    session.send_frame(window(0, 0, SYN), data(0, proposal(services.IDENTIFY)))
    await asyncio.sleep(REST_S)
    if any(each.stream_id == 0 and each.type == DATA for each in session.frames):
        raise Deviation("stream 0 was opened and answers")
    if session.ending is None:
        await session.alive()
    return session.state


@SECTION.should(5, "SYN for a live id", "session ends, go away 1", limit_s=2, hurts=True)
async def live_id(attempt: Attempt) -> str:
    session, stream = await ping_stream(attempt)
    session.send_frame(window(stream.id, 0, SYN))
    return await session.ended()


@SECTION.may(6, "Id lower than the last", "accepted or refused", limit_s=2)
async def lower_id(attempt: Attempt) -> str:
    session = await attempt.session()
    high = session.watch(101)
    session.send_frame(window(high.id, 0, SYN))
    await high.negotiate(services.IDENTIFY)
    low = session.watch(51)
    session.send_frame(window(low.id, 0, SYN))
    try:
        await low.negotiate(services.IDENTIFY)
    except Deviation as deviation:
        return f"refused: {deviation.actual}; session {session.state}"
    return "accepted"


@SECTION.may(7, "Id used again after both sides ended it", "accepted or refused", limit_s=2)
async def used_again(attempt: Attempt) -> str:
    session = await attempt.session()
    first = await session.open(services.IDENTIFY)
    first.finish()
    await first.rest()
    again = session.watch(first.id)
    session.send_frame(window(again.id, 0, SYN))
    try:
        await again.negotiate(services.IDENTIFY)
    except Deviation as deviation:
        return f"refused: {deviation.actual}; session {session.state}"
    return "accepted"


@SECTION.must(
    8,
    "SYN with initial credit 1 MiB",
    "accepted; sender may use it",
    limit_s=3,
    source=FLOW_CONTROL,
    needs=(services.PING,),
)
async def initial_credit(attempt: Attempt) -> None:
    session = await attempt.session()
    stream = session.watch(session.next_id())
    session.send_frame(window(stream.id, 1 << 20, SYN))
    await stream.negotiate(services.PING)
    await echoed(attempt, stream)


@SECTION.should(9, "SYN and FIN together", "half-closed stream, which ends; session lives", limit_s=2)
async def syn_fin(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = session.start(SYN | FIN)
    ending = await stream.ended("end of the stream")
    await session.alive()
    return ending


@SECTION.should(10, "SYN and RST together", "no stream left over", limit_s=2, hurts=True)
async def syn_rst(attempt: Attempt) -> None:
    session = await attempt.session()
    stream = session.watch(session.next_id())
    session.send_frame(window(stream.id, 0, SYN | RST), data(stream.id, proposal(services.IDENTIFY)))
    await session.alive()
    await asyncio.sleep(REST_S)
    if stream.total_bytes:
        raise Deviation("the stream answers")


@SECTION.may(11, "SYN and ACK together", "stream, or session end", limit_s=2)
async def syn_ack(attempt: Attempt) -> str:
    session = await attempt.session()
    stream = session.start(SYN | ACK)
    try:
        await stream.negotiate(services.IDENTIFY)
    except Deviation as deviation:
        return f"{deviation.actual}; session {session.state}"
    return "stream"


@SECTION.should(
    12,
    f"{MANY} SYN at once",
    "each gets ACK or RST, session lives",
    limit_s=5,
    source="yamux: ACK backlog",
    harmful=True,
    hurts=True,
)
async def many(attempt: Attempt) -> str:
    session = await attempt.session()
    streams = [session.watch(session.next_id()) for _ in range(MANY)]
    header = proposal(services.IDENTIFY)
    session.send_frame(*(data(each.id, header, SYN) for each in streams))

    def all_answered() -> bool | None:
        return all(each.acknowledged or each.ending for each in streams) or None

    await session.until(all_answered, f"ACK or RST for each of {MANY} streams")
    await session.alive()
    reset = sum(each.ending is not None and each.ending.startswith("reset") for each in streams)
    return f"{reset} of {MANY} reset"


@SECTION.should(
    13,
    "Harness accepts nothing (no ACK)",
    "target stops opening at 256",
    limit_s=10,
    source="yamux: ACK backlog",
)
async def backlog(attempt: Attempt) -> str:
    attempt.accepts = False
    session = await attempt.session()
    await its_stream(session)
    await asyncio.sleep(REST_S)
    opened = sum(bool(each.flags & SYN) and each.type <= 1 for each in session.frames)
    if opened > 256:
        raise Deviation(f"{opened} streams without one ACK")
    raise Skipped(f"the target opens {opened} by itself, too few to tell")


@SECTION.must(14, "RST in answer to target's stream", "target drops it, session lives", limit_s=3, hurts=True)
async def reset_its(attempt: Attempt) -> None:
    attempt.accepts = False
    session = await attempt.session()
    theirs = await its_stream(session)
    session.send_frame(window(theirs.stream_id, 0, RST))
    await session.alive()


@SECTION.must(15, "Target's own ids", "even when we dialed", limit_s=3, source=STREAM_ID)
async def its_ids(attempt: Attempt) -> str:
    session = await attempt.session()
    theirs = await its_stream(session)
    if theirs.stream_id % 2 or not theirs.stream_id:
        raise Deviation(f"its first id is {theirs.stream_id}")
    return f"its first id is {theirs.stream_id}"
