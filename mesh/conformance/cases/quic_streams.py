"""quic/2: streams, windows and the end of a connection."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from mesh.codecs.multistream import encode_token
from mesh.codecs.ping import PING_BYTES
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.quic_handshake import ends, ping_works
from mesh.conformance.verdict import Deviation
from mesh.protocols.multistream import HEADER
from mesh.protocols.multistream import opening as proposal

RFC_9000 = "RFC 9000"
SECTION = Section("quic/2", "Streams", RFC_9000, transport="quic")
FLOW_CONTROL_ERROR = 0x3
APPLICATION_CODE = 0x77
MANY = 300
IDLE_S = 45.0
REST_S = 0.5
BEYOND_BYTES = 1 << 40


@SECTION.must(
    1,
    "Bidirectional stream, multistream, ping",
    "works",
    limit_s=5,
    source="quic, connections",
    needs=(services.PING,),
)
async def bidirectional(attempt: Attempt) -> None:
    session = await attempt.quic_session()
    for _ in range(3):
        await ping_works(attempt, session)


@SECTION.should(2, "Unidirectional stream", "refused or ignored", limit_s=5, source="implementation")
async def unidirectional(attempt: Attempt) -> str:
    session = await attempt.quic_session()
    stream = session.start(unidirectional=True)
    stream.send(proposal(services.IDENTIFY))
    stream.finish()
    await asyncio.sleep(REST_S)
    if session.ending is not None:
        return session.ending
    await session.alive()
    return "ignored"


@SECTION.must(3, "Half close", "answer still comes", limit_s=5, source="connections", needs=(services.PING,))
async def half_close(attempt: Attempt) -> None:
    session = await attempt.quic_session()
    stream = session.start()
    payload = attempt.rng.randbytes(PING_BYTES)
    stream.send(proposal(services.PING) + payload)
    stream.finish()
    await stream.agreed(services.PING)
    if await stream.exactly(PING_BYTES, "echo of the ping") != payload:
        raise Deviation("the ping came back altered")
    await ends(session, stream, "end of stream")


@SECTION.must(4, "RESET_STREAM during negotiation", "connection lives", limit_s=5)
async def reset_early(attempt: Attempt) -> None:
    session = await attempt.quic_session()
    stream = session.start()
    stream.send(encode_token(HEADER))
    await stream.token("multistream header")
    stream.reset(1)
    await session.open(services.IDENTIFY)


@SECTION.must(5, "STOP_SENDING at once after request", "connection lives", limit_s=5)
async def stop_early(attempt: Attempt) -> None:
    session = await attempt.quic_session()
    stream = session.start()
    stream.send(proposal(services.IDENTIFY))
    stream.stop(1)
    await session.open(services.IDENTIFY)


@SECTION.must(6, f"{MANY} streams", "limited by MAX_STREAMS, no error", limit_s=10, harmful=True, hurts=True)
async def many(attempt: Attempt) -> str:
    session = await attempt.quic_session()
    allowed = cast(Any, session.quic)._remote_max_streams_bidi
    streams = [session.start() for _ in range(MANY)]
    for each in streams:
        each.send(encode_token(HEADER))
    await asyncio.sleep(2 * REST_S)
    await session.alive()
    answered = sum(each.total_bytes > 0 for each in streams)
    return f"{allowed} allowed at first, {answered} of {MANY} answered"


@SECTION.must(
    7, "Data over the stream window", "FLOW_CONTROL_ERROR", limit_s=5, source="RFC 9000 4.1", hurts=True
)
async def over_window(attempt: Attempt) -> str:
    session = await attempt.quic_session()
    stream = session.start()
    stream.send(encode_token(HEADER))
    await stream.token("multistream header")
    quic = cast(Any, session.quic)
    sending = quic._streams[stream.id]
    sending.max_stream_data_remote = quic._remote_max_data = 2 * BEYOND_BYTES
    sending.sender._buffer_start = sending.sender._buffer_stop = BEYOND_BYTES
    stream.send(b"far beyond")
    await session.until(lambda: session.terminated, "end of the connection", beyond_end=True)
    if session.terminated != FLOW_CONTROL_ERROR:
        raise Deviation(f"the connection ended with {session.ending}")
    return str(session.ending)


@SECTION.should(
    8,
    "PING frames and long idle",
    "kept while we answer",
    limit_s=60,
    slow=True,
    source="implementation",
)
async def idle(attempt: Attempt) -> None:
    session = await attempt.quic_session()
    await asyncio.sleep(IDLE_S)
    if session.ending is not None:
        raise Deviation(f"the connection ended: {session.ending}")
    await session.alive()


@SECTION.must(9, "CONNECTION_CLOSE with application code", "orderly", limit_s=3, hurts=True)
async def closed(attempt: Attempt) -> None:
    session = await attempt.quic_session()
    await session.alive()
    datagrams = session.datagrams
    datagrams.on_datagram = None
    session.quic.close(error_code=APPLICATION_CODE)
    session.flush()
    await asyncio.sleep(2 * REST_S)
    before = len(datagrams.received)
    await asyncio.sleep(REST_S)
    if len(datagrams.received) > before:
        raise Deviation("the target goes on sending a second after the connection was closed")


@SECTION.may(10, "Migration to another port", "continues or closes", limit_s=10, source="RFC 9000 9")
async def migrated(attempt: Attempt) -> str:
    session = await attempt.quic_session()
    await session.alive()
    old, new = session.datagrams, await attempt.udp()
    new.on_datagram, session.datagrams = old.on_datagram, new
    old.on_datagram = None
    try:
        await ping_works(attempt, session)
    except Deviation:
        return session.state
    return "continues"
