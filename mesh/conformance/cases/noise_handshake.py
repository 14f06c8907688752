"""noise/1: the three messages of the XX handshake."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mesh.conformance.attempt import NOISE, Attempt, handshake_message, negotiate
from mesh.conformance.case import Section
from mesh.conformance.noise_client import NoiseChannel, NoiseClient, framed
from mesh.conformance.verdict import Deviation
from mesh.conformance.wire import Wire
from mesh.protocols.multistream import HEADER
from mesh.protocols.multistream import opening as proposal
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

FRAMEWORK = "Noise framework"
SECTION = Section("noise/1", "Handshake", FRAMEWORK, security="noise")
UPGRADE_LIMIT = "implementation"


async def chosen(attempt: Attempt) -> Wire:
    """A connection on which Noise has been agreed and no message sent."""
    wire = await attempt.wire()
    await attempt.prepared(negotiate(wire, NOISE), "agreement on Noise")
    return wire


async def half_way(attempt: Attempt, muxers: Sequence[str] = (YAMUX,)) -> tuple[Wire, NoiseClient]:
    """A handshake behind message 2."""
    wire = await chosen(attempt)
    client = NoiseClient(attempt.rng, attempt.identity, muxers)
    await attempt.prepared(_exchange(wire, client), "noise message 2")
    return wire, client


async def _exchange(wire: Wire, client: NoiseClient) -> None:
    wire.send(framed(client.first()))
    client.take_second(await handshake_message(wire, "noise message 2"))


async def works(attempt: Attempt, wire: Wire, client: NoiseClient) -> None:
    """The handshake was accepted: a session over it answers."""
    session = await attempt.muxed(NoiseChannel(wire, client.session()), client.early_muxer())
    await session.alive()


@SECTION.must(
    1,
    "Proper XX handshake",
    "completes; message 2 has key and signature that verify for its static key",
    limit_s=5,
    source="noise: payload",
)
async def proper(attempt: Attempt) -> None:
    wire = await chosen(attempt)
    client = NoiseClient(attempt.rng, attempt.identity, (YAMUX,))
    await _exchange(wire, client)
    client.remote_peer()
    wire.send(framed(client.third()))
    await works(attempt, wire, client)


@SECTION.must(
    2,
    "As 1.1 while expecting another peer id",
    "the id shown is the one dialed",
    limit_s=5,
    source="noise: static key authentication",
)
async def dialed_id(attempt: Attempt) -> None:
    _, client = await half_way(attempt)
    shown = client.remote_peer()
    if shown != attempt.target.peer:
        raise Deviation(f"{attempt.target.peer} was dialed, {shown} answered")


@SECTION.may(
    3,
    "Message 1 with payload bytes",
    "continues or ends",
    limit_s=5,
    source="noise: extensions not in message 1",
)
async def early_payload(attempt: Attempt) -> str:
    wire = await chosen(attempt)
    client = NoiseClient(attempt.rng, attempt.identity, (YAMUX,))
    wire.send(framed(client.first(b"payload")))
    try:
        client.take_second(await handshake_message(wire, "noise message 2"))
    except Deviation as deviation:
        return deviation.actual
    wire.send(framed(client.third()))
    await works(attempt, wire, client)
    return "continues"


@SECTION.must(4, "Message 1 of 31 bytes", "connection ends", limit_s=3, hurts=True)
async def short_first(attempt: Attempt) -> None:
    wire = await chosen(attempt)
    wire.send(framed(attempt.rng.randbytes(31)))
    await wire.ended_silently()


@SECTION.must(5, "Message 1 of 0 bytes", "ends", limit_s=3, hurts=True)
async def empty_first(attempt: Attempt) -> None:
    wire = await chosen(attempt)
    wire.send(framed(b""))
    await wire.ended_silently()


@SECTION.should(
    6,
    "Message 1 all zeros (low order point)",
    "ends, no session",
    limit_s=3,
    hurts=True,
    source="Noise framework, RFC 7748",
)
async def low_order(attempt: Attempt) -> None:
    wire = await chosen(attempt)
    wire.send(framed(bytes(32)))
    await wire.ended_silently()


@SECTION.may(
    7,
    "Message 1 of 65535 bytes",
    "continues or ends, no crash",
    limit_s=3,
    hurts=True,
    source="noise: wire format",
)
async def longest_first(attempt: Attempt) -> str:
    wire = await chosen(attempt)
    client = NoiseClient(attempt.rng, attempt.identity)
    wire.send(framed(client.first(bytes(65535 - 32))))
    try:
        await handshake_message(wire, "noise message 2")
    except Deviation:
        return wire.state
    return "continues"


@SECTION.must(8, "Prologue not empty", "handshake fails", limit_s=3, hurts=True)
async def prologue(attempt: Attempt) -> str:
    wire = await chosen(attempt)
    client = NoiseClient(attempt.rng, attempt.identity, (YAMUX,), prologue=b"other")
    wire.send(framed(client.first()))
    try:
        message = await handshake_message(wire, "noise message 2")
    except Deviation:
        return f"message 2 does not come: {wire.state}"
    try:
        client.take_second(message)
    except Deviation:
        return "message 2 cannot be read under another prologue"
    raise Deviation("message 2 was made with our prologue")


@SECTION.must(9, "Message 3 altered by one bit", "ends", limit_s=3, hurts=True)
async def altered_third(attempt: Attempt) -> None:
    wire, client = await half_way(attempt)
    message = bytearray(client.third())
    message[attempt.rng.randrange(len(message))] ^= 1 << attempt.rng.randrange(8)
    wire.send(framed(bytes(message)))
    await wire.ended_silently()


@SECTION.must(
    10,
    "Message 3 of an earlier session",
    "ends",
    limit_s=3,
    hurts=True,
    source="Noise framework: replay",
)
async def replayed_third(attempt: Attempt) -> None:
    earlier, client = await half_way(attempt)
    message = client.third()
    earlier.send(framed(message))
    await attempt.prepared(works(attempt, earlier, client), "earlier session")
    wire, _ = await half_way(attempt)
    wire.send(framed(message))
    await wire.ended_silently()


@SECTION.must(11, "Message 2 sent back as message 3", "ends", limit_s=3, hurts=True)
async def reflected(attempt: Attempt) -> None:
    wire = await chosen(attempt)
    wire.send(framed(NoiseClient(attempt.rng, attempt.identity).first()))
    wire.send(framed(await attempt.prepared(handshake_message(wire, "noise message 2"), "noise message 2")))
    await wire.ended_silently()


@SECTION.must(
    12,
    "Message 3 and the first transport record in one TCP segment",
    "both used, nothing lost",
    limit_s=3,
    source="noise: wire format",
)
async def third_with_record(attempt: Attempt) -> None:
    wire, client = await half_way(attempt, ())
    third = framed(client.third())
    session = client.session()
    record = b"".join(session.seal([proposal(YAMUX)]))
    wire.send(third + record)
    channel = NoiseChannel(wire, session)
    for expected in (HEADER, YAMUX):
        token = await channel.token(expected)
        if token != expected:
            raise Deviation(f"{expected} is answered by {token[:64]!r}")
    await attempt.on_channel(channel).alive()


@SECTION.must(13, "Message 1 twice", "ends", limit_s=3, hurts=True)
async def first_twice(attempt: Attempt) -> None:
    wire = await chosen(attempt)
    message = framed(NoiseClient(attempt.rng, attempt.identity).first())
    wire.send(message + message)
    await wire.ended()


@SECTION.should(
    14,
    "Length 32 but 3 bytes, then silence",
    "ends by the upgrade limit",
    limit_s=30,
    slow=True,
    source=UPGRADE_LIMIT,
)
async def unfinished(attempt: Attempt) -> None:
    wire = await chosen(attempt)
    wire.send(b"\x00\x20abc")
    await wire.ended()


@SECTION.should(
    15, "Handshake one byte per 100 ms", "completes if within the limit", limit_s=20, source="robustness"
)
async def slowly(attempt: Attempt) -> str:
    wire = await attempt.wire()
    started = asyncio.get_running_loop().time()
    wire.send(proposal(NOISE))
    client = NoiseClient(attempt.rng, attempt.identity, ())
    await wire.drip(framed(client.first()), 0.1)
    await wire.token(HEADER)
    await wire.token(NOISE)
    client.take_second(await handshake_message(wire, "noise message 2"))
    wire.send(framed(client.third()))
    await works(attempt, wire, client)
    return f"completes after {asyncio.get_running_loop().time() - started:.1f} s"


@SECTION.should(
    16, "Handshake, one byte per second", "ended by the limit", limit_s=40, slow=True, source="slow-loris"
)
async def very_slowly(attempt: Attempt) -> None:
    wire = await attempt.wire()
    wire.send(proposal(NOISE))
    message = framed(NoiseClient(attempt.rng, attempt.identity).first())
    await wire.drip(message, 1.0)
    if wire.ending is None:
        await wire.ended(within_s=attempt.limit_s - len(message))
