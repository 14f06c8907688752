"""Mirrored cases of QUIC: how the peer dials, which listeners it takes, and what a listener may do to it."""

from __future__ import annotations

import asyncio
from typing import cast

from mesh.codecs.quic import (
    MIN_INITIAL_DATAGRAM_BYTES,
    MIN_ORIGINAL_ID_BYTES,
    OWN_ID_BYTES,
    Initial,
    Retry,
    VersionNegotiation,
)
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.cases import quic_streams
from mesh.conformance.cases.quic_handshake import GREASED, NO_APPLICATION_PROTOCOL, bad_plans, refused
from mesh.conformance.certificates import good
from mesh.conformance.quic_client import ALPN
from mesh.conformance.quic_mirror import Caller, QuicMirror, destination
from mesh.conformance.quic_packets import VERSION_1
from mesh.conformance.tls_client import TlsOptions
from mesh.conformance.verdict import Deviation, Level
from mesh.errors import DecodeError
from mesh.network.quic.retry import integrity_tag
from mesh.protocols.multistream import opening as proposal

RFC_9000 = "RFC 9000"
HANDSHAKE = Section("quic/1", "Handshake", "quic", transport="quic", mirrored=True)
STREAMS = Section("quic/2", "Streams", RFC_9000, transport="quic", mirrored=True)
SECTIONS = (HANDSHAKE, STREAMS)
REFUSES = "the dialer refuses"
REPEATS_S = 1.0
ABANDONED_S = 3.0
GIVES_UP_S = 60.0
IDLE_S = 60.0
TOKEN_BYTES = 32
RESET_BYTES = 42
LONG = 0x80
RETRY = 0xF0


def mirrored(attempt: Attempt) -> QuicMirror:
    return cast(QuicMirror, attempt)


async def begins_anew(attempt: Attempt) -> None:
    """The dialer has given the connection up: it begins another."""
    try:
        async with asyncio.timeout(attempt.limit_s):
            await mirrored(attempt).caller()
    except TimeoutError:
        raise Deviation(f"no other connection within {attempt.limit_s:g} s") from None


@HANDSHAKE.must(
    1, "v1, ALPN libp2p, good certificate", "the dialer completes, and proves who it is", limit_s=10
)
async def proper(attempt: Attempt) -> None:
    session = await attempt.quic_session()
    if session.chosen != ALPN:
        raise Deviation(f"ALPN chose {session.chosen}")
    await session.alive()


@HANDSHAKE.must(
    2,
    "A listener that chooses no ALPN",
    "the dialer refuses; with crypto error 0x178 (SHOULD)",
    limit_s=5,
    source="quic, RFC 9001 8.1",
)
async def no_alpn(attempt: Attempt) -> str:
    code = await refused(attempt, TlsOptions.of(attempt.identity), ())
    if code != NO_APPLICATION_PROTOCOL:
        raise Deviation(f"refused with {code:#x}", Level.SHOULD)
    return f"{code:#x}"


@HANDSHAKE.must(5, "Certificate cases of tls/2, from a listener", "as there", limit_s=5, source="tls")
async def certificates(attempt: Attempt) -> str:
    plan = good(attempt.identity)
    plan.critical = True
    session = await attempt.quic_session(plan.options(attempt.rng))
    await session.alive()
    session.close()
    taken, codes = [], []
    for name, make in bad_plans(attempt).items():
        try:
            code = await refused(attempt, make().options(attempt.rng))
        except Deviation:
            taken.append(name)
            attempt.close_wires()
        else:
            codes.append(f"{name} {code:#x}")
    if taken:
        raise Deviation(f"accepted: {', '.join(taken)}")
    return ", ".join(codes)


def negotiation(caller: Caller, versions: list[int]) -> bytes:
    """A Version Negotiation packet in answer to a caller."""
    first = caller.initial
    return VersionNegotiation(LONG, first.source_id, first.destination_id, versions).encode()


async def completes(attempt: Attempt, caller: Caller) -> None:
    """The handshake that now begins comes to its end."""
    session = mirrored(attempt).answering(caller)
    await session.handshake()
    session.remote_peer()


@HANDSHAKE.must(
    6,
    "Version Negotiation that lists version 1",
    "discarded; the handshake goes on",
    limit_s=10,
    source="RFC 9000 6.2",
)
async def false_negotiation(attempt: Attempt) -> None:
    caller = await mirrored(attempt).caller()
    caller.send(negotiation(caller, [VERSION_1, GREASED]))
    await completes(attempt, caller)


@HANDSHAKE.must(
    7,
    "Version Negotiation without version 1",
    "the attempt is abandoned",
    limit_s=5,
    source="RFC 9000 6.2",
)
async def no_version(attempt: Attempt) -> None:
    caller = await mirrored(attempt).caller()
    caller.send(negotiation(caller, [GREASED]))
    await asyncio.sleep(REPEATS_S)
    before = len(caller.received)
    await asyncio.sleep(ABANDONED_S)
    if len(caller.received) > before:
        raise Deviation(f"{len(caller.received) - before} datagrams more than {REPEATS_S:g} s later")


@HANDSHAKE.must(
    8,
    "The dialer's Initials",
    "in datagrams of 1200 bytes and more, to an id of 8 bytes and more",
    limit_s=10,
    source="RFC 9000 7.2, 14.1",
)
async def initials(attempt: Attempt) -> str:
    caller = await mirrored(attempt).caller()
    await asyncio.sleep(REPEATS_S)
    sizes = [len(each) for each in caller.received if read_initial(each) is not None]
    if min(sizes) < MIN_INITIAL_DATAGRAM_BYTES:
        raise Deviation(f"an Initial in {min(sizes)} bytes")
    if len(caller.initial.destination_id) < MIN_ORIGINAL_ID_BYTES:
        raise Deviation(f"its destination id has {len(caller.initial.destination_id)} bytes")
    await completes(attempt, caller)
    return f"{len(sizes)} of {min(sizes)} bytes and more"


def read_initial(datagram: bytes) -> Initial | None:
    """The Initial that a datagram begins with."""
    try:
        return Initial.decode_prefix(datagram)[0]
    except DecodeError:
        return None


@HANDSHAKE.must(
    9, "The first two answers altered", "dropped; completes with the repeats", limit_s=10, source="RFC 9001"
)
async def altered(attempt: Attempt) -> None:
    caller = await mirrored(attempt).caller()
    caller.to_alter = 2
    await completes(attempt, caller)


@HANDSHAKE.should(
    11,
    "A listener that never answers",
    "the dialer gives up in time",
    limit_s=GIVES_UP_S,
    slow=True,
    source="implementation",
)
async def never_answers(attempt: Attempt) -> None:
    await mirrored(attempt).caller()
    await begins_anew(attempt)


@HANDSHAKE.must(13, "Good certificate of another peer than was dialed", REFUSES, limit_s=5, source="tls")
async def wrong_peer(attempt: Attempt) -> str:
    return f"{await refused(attempt, good(attempt.fresh_identity()).options(attempt.rng)):#x}"


async def retry(attempt: Attempt, damage: int) -> tuple[Caller, bytes, bytes]:
    """A caller that has been sent a Retry, with the token and the id that are in it."""
    caller = await mirrored(attempt).caller()
    retry_id, token = attempt.rng.randbytes(OWN_ID_BYTES), attempt.rng.randbytes(TOKEN_BYTES)
    packet = Retry(RETRY, caller.initial.source_id, retry_id, token).encode()
    tag = integrity_tag(caller.initial.destination_id, packet)
    caller.ids.add(retry_id)
    caller.send(packet + tag[:-1] + bytes((tag[-1] ^ damage,)))
    return caller, retry_id, token


@HANDSHAKE.must(14, "Retry", "the dialer comes back with its token", limit_s=10, source="RFC 9000 17.2.5")
async def retried(attempt: Attempt) -> None:
    caller, retry_id, token = await retry(attempt, 0)

    def back() -> list[bytes] | None:
        return [each for each in caller.received if destination(each) == retry_id] or None

    caller.received = await caller.until(back, "Initial to the id of the Retry")
    initial = read_initial(caller.received[0])
    if initial is None or initial.token != token:
        raise Deviation("the Initial behind the Retry does not have its token")
    session = mirrored(attempt).answering(caller, retry_id=retry_id)
    await session.handshake()
    session.remote_peer()


@HANDSHAKE.must(
    15, "Retry with a bad tag", "discarded; the handshake goes on", limit_s=10, source="RFC 9000 17.2.5.2"
)
async def bad_retry(attempt: Attempt) -> None:
    caller, _, _ = await retry(attempt, 1)
    await completes(attempt, caller)


@HANDSHAKE.must(16, "Another original destination id", REFUSES, limit_s=5, source="RFC 9000 7.3")
async def wrong_original(attempt: Attempt) -> str:
    caller = await mirrored(attempt).caller()
    session = mirrored(attempt).answering(caller, original_id=attempt.rng.randbytes(OWN_ID_BYTES))
    session.connect()
    await session.until(lambda: session.terminated, "refusal", beyond_end=True)
    return str(session.ending)


@STREAMS.must(
    1, "Bidirectional stream of the listener's, multistream, identify", "answered", limit_s=5, source="quic"
)
async def bidirectional(attempt: Attempt) -> None:
    session = await attempt.quic_session()
    for _ in range(3):
        await attempt.identify(session)


STREAMS.should(
    2, "Unidirectional stream of the listener's", "refused or ignored", limit_s=5, source="implementation"
)(quic_streams.unidirectional)


@STREAMS.must(3, "Half close, by the listener", "answer still comes", limit_s=5, source="connections")
async def half_close(attempt: Attempt) -> None:
    session = await attempt.quic_session()
    stream = session.start()
    stream.send(proposal(services.IDENTIFY))
    stream.finish()
    await stream.agreed(services.IDENTIFY)
    if not await stream.rest("identify message"):
        raise Deviation("the stream ended without an answer")


for _number, _title, _requirement, _run in (
    (4, "RESET_STREAM during negotiation", "connection lives", quic_streams.reset_early),
    (5, "STOP_SENDING at once after request", "connection lives", quic_streams.stop_early),
    (7, "Data over the stream window", "FLOW_CONTROL_ERROR", quic_streams.over_window),
):
    STREAMS.must(_number, f"{_title}, by the listener", _requirement, limit_s=5)(_run)

STREAMS.should(
    8,
    "PING frames and long idle, of the listener's",
    "kept while we answer",
    limit_s=IDLE_S,
    slow=True,
    source="implementation",
)(quic_streams.idle)


@STREAMS.must(
    9, "CONNECTION_CLOSE with application code, by the listener", "orderly, and dials again", limit_s=10
)
async def closed(attempt: Attempt) -> None:
    await quic_streams.closed(attempt)
    await attempt.quic_session()


@STREAMS.must(
    11,
    "Stateless reset",
    "the connection is over; the dialer begins anew",
    limit_s=10,
    source="RFC 9000 10.3",
)
async def stateless_reset(attempt: Attempt) -> None:
    session = await attempt.quic_session()
    await session.alive()
    caller = cast(Caller, session.datagrams)
    caller.on_datagram = None
    head = bytes((0x40 | attempt.rng.getrandbits(6),)) + attempt.rng.randbytes(RESET_BYTES - 17)
    caller.send(head + caller.reset_token())
    await begins_anew(attempt)
