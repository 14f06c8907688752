"""quic/1: Initial packets, versions, ALPN and certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.codecs.ping import PING_BYTES
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.certificates import DAY, Plan, extension_value, good, new_key
from mesh.conformance.quic_client import ALPN, QuicSession, QuicStream
from mesh.conformance.quic_packets import MIN_INITIAL_BYTES, Initial, long_header, read_negotiation
from mesh.conformance.tls_client import TlsOptions
from mesh.conformance.udp import Datagrams
from mesh.conformance.verdict import Deviation, Level
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

RFC_9000 = "RFC 9000"
SECTION = Section("quic/1", "Handshake", "quic", transport="quic")
NO_APPLICATION_PROTOCOL = 0x178
GREASED = 0x1A2A3A4A
VERSION_2 = 0x6B3343CF
DROPPED_S = 1.5
SHORT_INITIAL_BYTES = 1150
REPLAYS = 100
AMPLIFICATION = 3


async def ping_works(attempt: Attempt, session: QuicSession) -> None:
    """A ping over a new stream comes back."""
    stream = await session.open(services.PING)
    payload = attempt.rng.randbytes(PING_BYTES)
    stream.send(payload)
    if await stream.exactly(PING_BYTES, "echo of the ping") != payload:
        raise Deviation("the ping came back altered")
    stream.finish()
    await ends(session, stream, "end of the ping stream")


async def ends(session: QuicSession, stream: QuicStream, what: str) -> None:
    """A stream that we have ended is ended by the target too, at the latest when another one is opened: some look at what
    has come only when something new does, and whether that is on its way is chance."""
    await session.open(services.IDENTIFY)
    await stream.ended(what)


async def accepted(attempt: Attempt, options: TlsOptions) -> None:
    """The handshake completes and the target goes on to serve identify."""
    session = await attempt.quic_session(options)
    await session.open(services.IDENTIFY)


async def refused(attempt: Attempt, options: TlsOptions, alpn: tuple[str, ...] = (ALPN,)) -> int:
    """The target ends the connection during the handshake or right behind it; returns its code."""
    session = await attempt.quic_dialer(options, alpn)
    session.connect()
    await session.until(lambda: session.terminated, "refusal", beyond_end=True)
    assert session.terminated is not None
    return session.terminated


async def initial_of(attempt: Attempt) -> tuple[Datagrams, Initial]:
    """A socket, and the Initial of a dialer that never speaks by itself."""
    session = await attempt.quic_dialer(TlsOptions.of(attempt.identity))
    session.quic.connect(session.datagrams.remote, 0.0)
    ((datagram, _),) = session.quic.datagrams_to_send(0.0)[:1]
    session.datagrams.on_datagram = None
    return session.datagrams, Initial(session.quic, datagram)


@SECTION.must(1, "v1, ALPN libp2p, good certificate, ping", "works", limit_s=5, needs=(services.PING,))
async def proper(attempt: Attempt) -> None:
    session = await attempt.quic_session()
    if session.chosen != ALPN:
        raise Deviation(f"ALPN chose {session.chosen}")
    await ping_works(attempt, session)


@SECTION.must(
    2,
    "ALPN h3",
    "refused; with crypto error 0x178 (SHOULD)",
    limit_s=5,
    source="quic, RFC 9001",
    hurts=True,
)
async def other_alpn(attempt: Attempt) -> str:
    code = await refused(attempt, TlsOptions.of(attempt.identity), ("h3",))
    if code != NO_APPLICATION_PROTOCOL:
        raise Deviation(f"refused with {code:#x}", Level.SHOULD)
    return f"{code:#x}"


@SECTION.should(3, "ALPN list with a muxer first", "libp2p", limit_s=5)
async def muxer_first(attempt: Attempt) -> None:
    session = await attempt.quic_session(alpn=(YAMUX, ALPN))
    if session.chosen != ALPN:
        raise Deviation(f"ALPN chose {session.chosen}")


@SECTION.must(4, "No client certificate", "refused", limit_s=5, source="tls", hurts=True)
async def no_certificate(attempt: Attempt) -> str:
    return f"{await refused(attempt, TlsOptions()):#x}"


def bad_plans(attempt: Attempt) -> dict[str, Callable[[], Plan]]:
    """The certificates of tls/2 that must be refused, by case."""

    def changed(**changes: object) -> Callable[[], Plan]:
        def make() -> Plan:
            plan = good(attempt.identity)
            for name, value in changes.items():
                setattr(plan, name, value)
            return plan

        return make

    def wrong_prefix() -> Plan:
        key = new_key()
        return Plan(key, extension_value(attempt.identity, key, b"libp2p-tls:"))

    return {
        "tls/2.4": changed(unknown=True),
        "tls/2.5": changed(value=None),
        "tls/2.6": changed(value=b"this is not ASN.1"),
        "tls/2.7": wrong_prefix,
        "tls/2.8": lambda: Plan(new_key(), extension_value(attempt.identity, new_key())),
        "tls/2.9": changed(start=-10 * DAY, end=-2 * DAY),
        "tls/2.10": changed(start=2 * DAY, end=10 * DAY),
        "tls/2.12": changed(signer=new_key()),
    }


@SECTION.must(5, "Certificate cases of tls/2", "as there", limit_s=5, source="tls", hurts=True)
async def certificates(attempt: Attempt) -> str:
    plan = good(attempt.identity)
    plan.critical = True
    await accepted(attempt, plan.options(attempt.rng))
    taken, codes = [], []
    for name, make in bad_plans(attempt).items():
        try:
            code = await refused(attempt, make().options(attempt.rng))
        except Deviation:
            taken.append(name)
        else:
            codes.append(f"{name} {code:#x}")
    if taken:
        raise Deviation(f"accepted: {', '.join(taken)}")
    return ", ".join(codes)


@SECTION.must(6, "Version 0x1a2a3a4a", "version negotiation", limit_s=3, source=RFC_9000)
async def unknown_version(attempt: Attempt) -> str:
    datagrams = await attempt.udp()
    packet, own_id = long_header(attempt.rng, GREASED)
    datagrams.send(packet)
    answer = read_negotiation(await datagrams.first("Version Negotiation packet"))
    if answer is None:
        raise Deviation("the answer is no Version Negotiation packet")
    if answer.destination_id != own_id:
        raise Deviation("the answer is for another connection id")
    if 1 not in answer.versions:
        raise Deviation(f"version 1 is not among {answer.versions}")
    return ", ".join(f"{each:#x}" for each in answer.versions)


@SECTION.may(7, "QUIC v2", "version negotiation, or accepted", limit_s=3)
async def version_2(attempt: Attempt) -> str:
    datagrams = await attempt.udp()
    packet, _ = long_header(attempt.rng, VERSION_2)
    datagrams.send(packet)
    try:
        answer = read_negotiation(await datagrams.first("answer"))
    except Deviation:
        return "no answer to an Initial that cannot be decrypted"
    return "version negotiation" if answer else "accepted"


async def dropped(attempt: Attempt, change: Callable[[Initial], bytes]) -> None:
    """Nothing answers this packet, while the proper one is answered."""
    datagrams, initial = await initial_of(attempt)
    datagrams.send(change(initial))
    answers = await datagrams.answers(DROPPED_S)
    if answers:
        raise Deviation(f"{len(answers)} datagrams in answer, the first of {len(answers[0])} bytes")
    datagrams.send(initial.sealed(MIN_INITIAL_BYTES, number=1))
    await datagrams.first("answer to the proper Initial that follows")


@SECTION.must(8, "Initial under 1200 bytes", "dropped", limit_s=3, source="RFC 9000 14.1", hurts=True)
async def short_initial(attempt: Attempt) -> None:
    await dropped(attempt, lambda initial: initial.sealed(SHORT_INITIAL_BYTES))


@SECTION.must(9, "Initial altered", "dropped", limit_s=3, source="RFC 9001", hurts=True)
async def altered_initial(attempt: Attempt) -> None:
    def change(initial: Initial) -> bytes:
        packet = bytearray(initial.sealed(MIN_INITIAL_BYTES))
        packet[100 + attempt.rng.randrange(len(packet) - 100)] ^= 1
        return bytes(packet)

    await dropped(attempt, change)


@SECTION.should(
    10,
    f"Initial replayed {REPLAYS} times",
    "at most one connection, bounded answer",
    limit_s=5,
    source="RFC 9000 8.1",
    harmful=True,
    hurts=True,
)
async def replayed(attempt: Attempt) -> str:
    datagrams, initial = await initial_of(attempt)
    packet = initial.sealed(MIN_INITIAL_BYTES)
    for _ in range(REPLAYS):
        datagrams.send(packet)
    await datagrams.answers(attempt.case.limit_s)
    if datagrams.received_bytes > AMPLIFICATION * datagrams.sent_bytes:
        raise Deviation(f"{datagrams.received_bytes} bytes in answer to {datagrams.sent_bytes}")
    return f"{datagrams.received_bytes} bytes in answer to {datagrams.sent_bytes}"


@SECTION.must(
    11,
    "Only Initial, then silence",
    "at most three times the bytes sent to us",
    limit_s=10,
    source="RFC 9000 8.1",
)
async def amplification(attempt: Attempt) -> str:
    datagrams, initial = await initial_of(attempt)
    datagrams.send(initial.sealed(MIN_INITIAL_BYTES))
    await datagrams.answers(attempt.case.limit_s)
    if not datagrams.received:
        raise Deviation("no answer at all")
    if datagrams.received_bytes > AMPLIFICATION * datagrams.sent_bytes:
        raise Deviation(f"{datagrams.received_bytes} bytes in answer to {datagrams.sent_bytes}")
    return f"{datagrams.received_bytes} bytes in answer to {datagrams.sent_bytes}"


@SECTION.should(
    12,
    "Random UDP packets",
    "ignored; at most stateless resets",
    limit_s=3,
    source="RFC 9000 10.3",
    hurts=True,
)
async def random_packets(attempt: Attempt) -> str:
    datagrams = await attempt.udp()
    largest = 0
    for _ in range(20):
        packet = attempt.rng.randbytes(attempt.rng.randrange(1, 1200))
        largest = max(largest, len(packet))
        datagrams.send(packet)
        await asyncio.sleep(0.01)
    answers = await datagrams.answers(DROPPED_S)
    if len(answers) > 20 or any(len(each) >= largest for each in answers):
        raise Deviation(f"{len(answers)} answers of up to {max(map(len, answers))} bytes")
    return f"{len(answers)} answers"
