"""any/9: the ends of every number that enters a clock, a counter or a size, on the messages of this harness's own floors.

Those of gossip and the DHT stand with them. A value that a parser lets through may still overflow what it is added to.
"""

from __future__ import annotations

import asyncio

from mesh.codecs.multistream import encode_token
from mesh.codecs.perf import REQUEST
from mesh.codecs.yamux import ACK, FIN, RST, SYN
from mesh.conformance import services
from mesh.conformance.attempt import NOISE, Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases.ping_streams import echoed, ping_stream
from mesh.conformance.verdict import Deviation
from mesh.conformance.yamux_frames import DATA, GO_AWAY, PING, WINDOW_UPDATE, Frame, window
from mesh.protocols.multistream import HEADER

SECTION = Section("any/9", "Ends of numbers", "robustness", hurts=True)
LIVES = "target lives, others are unaffected"
ENDS_32 = (0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
ENDS_64 = (0, 1, 2**32, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
REST_S = 0.3


def uvarint(number: int) -> bytes:
    """A varint of any number below 2^70."""
    out = bytearray()
    while number > 127:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


async def unaffected(attempt: Attempt) -> None:
    """Somebody else is served as before."""
    session = await attempt.session(identity=attempt.fresh_identity())
    await session.open(services.IDENTIFY)


@SECTION.should(1, "yamux: credit of each size, on a stream and on id 0", LIVES, limit_s=5)
async def credit(attempt: Attempt) -> None:
    for number in ENDS_32:
        session = await attempt.session()
        stream = session.start()
        session.send_frame(window(stream.id, number), window(0, number))
        await asyncio.sleep(0)
    await unaffected(attempt)


@SECTION.should(2, "yamux: each frame type with each stream id and length", LIVES, limit_s=5)
async def frames(attempt: Attempt) -> None:
    for kind in (WINDOW_UPDATE, PING, GO_AWAY):
        for flags in (0, SYN, ACK, FIN, RST):
            session = await attempt.session()
            session.send_frame(*(Frame(kind, flags, number, number) for number in ENDS_32))
    await asyncio.sleep(REST_S)
    await unaffected(attempt)


@SECTION.should(3, "yamux: DATA that announces each size, no body", LIVES, limit_s=5, harmful=True)
async def announced(attempt: Attempt) -> None:
    for number in ENDS_32:
        session = await attempt.session()
        stream = session.start()
        session.send_frame(Frame(DATA, 0, stream.id, number))
    await asyncio.sleep(REST_S)
    await unaffected(attempt)


@SECTION.should(4, "multistream: token lengths of each size", LIVES, limit_s=5)
async def tokens(attempt: Attempt) -> None:
    for number in ENDS_64:
        wire = await attempt.wire()
        wire.send(encode_token(HEADER) + uvarint(number))
    await asyncio.sleep(REST_S)
    await unaffected(attempt)


@SECTION.should(5, "noise: message lengths 0, 1, 65534, 65535 with no body", LIVES, limit_s=5)
async def messages(attempt: Attempt) -> None:
    attempt.need_security("noise")
    for number in (0, 1, 0xFFFE, 0xFFFF):
        wire = await attempt.wire()
        wire.send(encode_token(HEADER) + encode_token(NOISE) + number.to_bytes(2, "big"))
    await asyncio.sleep(REST_S)
    await unaffected(attempt)


@SECTION.should(6, "identify push: message lengths of each size", LIVES, limit_s=5, needs=(services.PUSH,))
async def pushes(attempt: Attempt) -> None:
    session = await attempt.session()
    for number in ENDS_64:
        stream = await attempt.prepared(session.open(services.PUSH), "push stream")
        stream.send(uvarint(number))
        stream.finish()
    await asyncio.sleep(REST_S)
    await session.alive()
    await unaffected(attempt)


@SECTION.should(7, "perf: each number of bytes wanted, then reset", LIVES, limit_s=5, needs=(services.PERF,))
async def wanted(attempt: Attempt) -> None:
    session = await attempt.session()
    for number in ENDS_64:
        stream = await attempt.prepared(session.open(services.PERF), "perf stream")
        stream.grants = False
        stream.send(REQUEST.pack(number))
        stream.finish()
        await asyncio.sleep(0.05)
        stream.reset()
    await session.alive()
    await unaffected(attempt)


@SECTION.should(
    8,
    "yamux: reset with each code while pings run on another stream",
    LIVES,
    limit_s=5,
    needs=(services.PING,),
)
async def codes(attempt: Attempt) -> None:
    session, stream = await ping_stream(attempt)
    for number in ENDS_32:
        other = session.start()
        other.send(encode_token(HEADER))
        other.reset(number)
        await echoed(attempt, stream, f"echo behind reset code {number:#x}")
    if session.ending is not None:
        raise Deviation(f"the session ended: {session.ending}")


@SECTION.should(9, "QUIC: stream and connection codes of each size", LIVES, limit_s=5, transport="quic")
async def quic_codes(attempt: Attempt) -> None:
    for number in (0, 1, 2**32, 2**62 - 2, 2**62 - 1):
        session = await attempt.quic_session()
        stream = session.start()
        stream.send(encode_token(HEADER))
        stream.reset(number)
        await session.open(services.IDENTIFY)
        session.quic.close(error_code=number)
        session.flush()
    session = await attempt.quic_session()
    await session.open(services.IDENTIFY)
