"""noise/4: transport records behind the handshake."""

from __future__ import annotations

from mesh.codecs.noise import MAX_PLAINTEXT_BYTES
from mesh.codecs.ping import PING_BYTES
from mesh.codecs.yamux import ACK, HEADER_BYTES, SYN
from mesh.conformance import services
from mesh.conformance.attempt import Attempt
from mesh.conformance.case import Section
from mesh.conformance.noise_client import NoiseChannel, framed
from mesh.conformance.verdict import Deviation, Unprepared
from mesh.conformance.yamux_frames import PING, Frame, data
from mesh.conformance.yamux_session import Session

FRAMEWORK = "Noise framework"
SECTION = Section("noise/4", "Transport records", "noise: wire format", security="noise")
EMPTY_RECORDS = 10_000


async def over_noise(attempt: Attempt) -> tuple[NoiseChannel, Session]:
    """A session over Noise and the channel below it."""
    session = await attempt.session(security="noise")
    channel = session.below
    if not isinstance(channel, NoiseChannel):
        raise Unprepared("the session is not over Noise")
    return channel, session


def ping(value: int) -> bytes:
    return Frame(PING, SYN, 0, value).encode()


@SECTION.should(1, "Record with empty plaintext", "ignored, connection lives", limit_s=2)
async def empty(attempt: Attempt) -> None:
    channel, session = await over_noise(attempt)
    channel.below.send(channel.record(b""))
    await session.alive()


@SECTION.must(2, "Record of length 0", "ends", limit_s=2, hurts=True, source="noise: AEAD tag")
async def no_tag(attempt: Attempt) -> None:
    channel, _ = await over_noise(attempt)
    channel.below.send(b"\x00\x00")
    await channel.ended()


@SECTION.must(3, "Record of 15 bytes", "ends", limit_s=2, hurts=True, source="noise")
async def short_tag(attempt: Attempt) -> None:
    channel, _ = await over_noise(attempt)
    channel.below.send(framed(attempt.rng.randbytes(15)))
    await channel.ended()


@SECTION.must(4, "Record altered", "ends", limit_s=2, hurts=True, source=FRAMEWORK)
async def altered(attempt: Attempt) -> None:
    channel, _ = await over_noise(attempt)
    record = bytearray(channel.record(ping(1)))
    record[2 + attempt.rng.randrange(len(record) - 2)] ^= 1 << attempt.rng.randrange(8)
    channel.below.send(bytes(record))
    await channel.ended()


@SECTION.must(5, "Two records swapped", "ends", limit_s=2, hurts=True, source="Noise framework: nonces")
async def swapped(attempt: Attempt) -> None:
    channel, _ = await over_noise(attempt)
    first, second = channel.record(ping(1)), channel.record(ping(2))
    channel.below.send(second + first)
    await channel.ended()


@SECTION.must(
    6, "A record twice", "ends after at most the first took effect", limit_s=2, hurts=True, source=FRAMEWORK
)
async def twice(attempt: Attempt) -> None:
    channel, session = await over_noise(attempt)
    record = channel.record(ping(77))
    channel.below.send(record + record)
    await channel.ended()
    pongs = [each for each in session.frames if each.type == PING and each.has(ACK) and each.length == 77]
    if len(pongs) > 1:
        raise Deviation(f"the replayed record took effect: {len(pongs)} answers")


@SECTION.must(
    7,
    f"Plaintext of {MAX_PLAINTEXT_BYTES} bytes",
    "accepted",
    limit_s=3,
    source="noise: 65535 limit",
    needs=(services.PING,),
)
async def longest(attempt: Attempt) -> None:
    channel, session = await over_noise(attempt)
    stream = await attempt.prepared(session.open(services.PING), "ping stream")
    payload = attempt.rng.randbytes(MAX_PLAINTEXT_BYTES - HEADER_BYTES)
    channel.send(data(stream.id, payload).encode())
    if await stream.exactly(PING_BYTES, "echo of the first ping in it") != payload[:PING_BYTES]:
        raise Deviation("the ping came back altered")
    await session.alive()


@SECTION.must(
    8, "One frame header over twelve one-byte records", "works", limit_s=3, source="stream semantics"
)
async def byte_by_byte(attempt: Attempt) -> None:
    channel, session = await over_noise(attempt)
    frame = ping(0xABCDEF01)
    for position in range(len(frame)):
        channel.below.send(channel.record(frame[position : position + 1]))
    await session.frame(
        lambda each: each.type == PING and each.has(ACK) and each.length == 0xABCDEF01, "answer to the ping"
    )


@SECTION.must(9, "TCP close in mid record", "no crash", limit_s=3, hurts=True, source="robustness")
async def cut(attempt: Attempt) -> None:
    channel, _ = await over_noise(attempt)
    channel.below.send(channel.record(ping(1))[:9])
    attempt.close_wires()
    await attempt.session()


@SECTION.should(
    10,
    f"{EMPTY_RECORDS} empty records",
    "connection lives or ends orderly",
    limit_s=5,
    harmful=True,
    hurts=True,
    source="robustness",
)
async def many_empty(attempt: Attempt) -> str:
    channel, session = await over_noise(attempt)
    channel.below.send(b"".join([channel.record(b"") for _ in range(EMPTY_RECORDS)]))
    if session.ending is None:
        await session.alive()
    return session.state
