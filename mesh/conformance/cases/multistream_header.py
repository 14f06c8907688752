"""multistream/1: the header that both ends send first."""

from __future__ import annotations

from mesh.codecs.multistream import encode_token as token
from mesh.conformance.attempt import NOISE, Attempt, agreed, handshake_message
from mesh.conformance.case import Section
from mesh.conformance.noise_client import NoiseChannel, NoiseClient, framed
from mesh.conformance.verdict import Deviation
from mesh.protocols.multistream import HEADER
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

SECTION = Section("multistream/1", "Header", "connections: multistream-select")
IMPLEMENTATION = "implementation"


@SECTION.may(1, "Nothing; watch the new connection", "header comes unasked, or only after ours", limit_s=2)
async def unasked(attempt: Attempt) -> str:
    wire = await attempt.wire()
    try:
        first = await wire.token()
    except Deviation:
        return "the header waits for ours"
    return f"{first} comes unasked"


@SECTION.must(2, "Header alone", "header in answer", limit_s=2)
async def header_alone(attempt: Attempt) -> None:
    wire = await attempt.wire()
    wire.send(token(HEADER))
    answer = await wire.token("multistream header")
    if answer != HEADER:
        raise Deviation(f"the answer is {answer[:64]!r}")


@SECTION.must(3, "Header of version 2.0.0", "connection ends, nothing negotiated", limit_s=3, hurts=True)
async def other_version(attempt: Attempt) -> None:
    wire = await attempt.wire()
    wire.send(token("/multistream/2.0.0") + token(NOISE))
    await wire.ended()
    if token(NOISE) in wire.buffer:
        raise Deviation("the proposal behind another version was accepted")


@SECTION.must(4, "A protocol name first, no header", "connection ends", limit_s=3, hurts=True)
async def no_header(attempt: Attempt) -> None:
    wire = await attempt.wire()
    wire.send(token(NOISE))
    await wire.ended()


@SECTION.must(5, "Header, byte by byte with pauses", "works as in one piece", limit_s=5)
async def in_pieces(attempt: Attempt) -> None:
    wire = await attempt.wire()
    await wire.drip(token(HEADER), 0.01)
    wire.send(token(attempt.security_id))
    await agreed(wire, attempt.security_id)


@SECTION.must(
    6, "Header, proposal and first security message in one write", "all three used, nothing lost", limit_s=5
)
async def in_one_write(attempt: Attempt) -> None:
    attempt.need_security("noise")
    wire = await attempt.wire()
    client = NoiseClient(attempt.rng, attempt.identity, (YAMUX,))
    wire.send(token(HEADER) + token(NOISE) + framed(client.first()))
    await agreed(wire, NOISE)
    client.take_second(await handshake_message(wire, "noise message 2"))
    client.remote_peer()
    wire.send(framed(client.third()))
    session = await attempt.muxed(NoiseChannel(wire, client.session()), client.early_muxer())
    await session.alive()


@SECTION.should(
    7,
    "HTTP request line",
    "no acceptance; end by the upgrade limit",
    limit_s=20,
    hurts=True,
)
async def http(attempt: Attempt) -> None:
    wire = await attempt.wire()
    wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await wire.ended()
    if bytes(wire.buffer) not in (b"", token(HEADER)):
        raise Deviation(f"the answer is {bytes(wire.buffer[:64])!r}")


@SECTION.should(
    8, "Nothing at all, ever", "ends in reasonable time", limit_s=30, slow=True, source=IMPLEMENTATION
)
async def nothing(attempt: Attempt) -> None:
    wire = await attempt.wire()
    await wire.ended()


@SECTION.should(
    9, "Header, then silence", "ends in reasonable time", limit_s=30, slow=True, source=IMPLEMENTATION
)
async def header_then_silence(attempt: Attempt) -> None:
    wire = await attempt.wire()
    wire.send(token(HEADER))
    await wire.ended()
