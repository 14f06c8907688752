"""noise/3: the muxer agreed inside the handshake."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.conformance.attempt import Attempt, negotiate
from mesh.conformance.case import Section
from mesh.conformance.cases.noise_handshake import half_way
from mesh.conformance.noise_client import NoiseChannel, NoiseClient, framed
from mesh.conformance.verdict import Deviation
from mesh.conformance.waiting import ByteFlow
from mesh.protocols.multistream import opening as proposal
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

SECTION = Section("noise/3", "Early muxer negotiation", "inlined-muxer-negotiation", security="noise")
UNKNOWN = "/mesh-conform/muxer/1.0.0"


async def shaken(attempt: Attempt, muxers: Sequence[str]) -> tuple[ByteFlow, NoiseClient]:
    """The channel of a handshake that offered these muxers."""
    wire, client = await half_way(attempt, muxers)
    wire.send(framed(client.third()))
    return NoiseChannel(wire, client.session()), client


@SECTION.should(1, "Extension listing yamux", "yamux at once, no multistream", limit_s=5)
async def listed(attempt: Attempt) -> None:
    channel, client = await shaken(attempt, (YAMUX,))
    if client.early_muxer() is None:
        await negotiate(channel, YAMUX)
        raise Deviation("the target lists no yamux; multistream is answered")
    await attempt.on_channel(channel).alive()


@SECTION.must(2, "No extension", "muxer by multistream-select", limit_s=5)
async def not_listed(attempt: Attempt) -> None:
    channel, _ = await shaken(attempt, ())
    await negotiate(channel, YAMUX)
    await attempt.on_channel(channel).alive()


async def falls_back(attempt: Attempt, muxers: Sequence[str]) -> str:
    """Whether a target goes on by multistream behind a list that leads to no muxer."""
    channel, _ = await shaken(attempt, muxers)
    channel.send(proposal(YAMUX))
    try:
        await channel.token("multistream header")
    except Deviation:
        return f"no fallback: {channel.state}"
    await channel.token("echo of yamux")
    await attempt.on_channel(channel).alive()
    return "falls back to multistream"


@SECTION.may(3, "Only an unknown muxer", "handshake fails, or falls back", limit_s=5)
async def only_unknown(attempt: Attempt) -> str:
    return await falls_back(attempt, (UNKNOWN,))


@SECTION.must(4, "Unknown muxer first, yamux second", "yamux", limit_s=5)
async def unknown_first(attempt: Attempt) -> None:
    channel, client = await shaken(attempt, (UNKNOWN, YAMUX))
    if client.early_muxer() is None:
        await negotiate(channel, YAMUX)
    await attempt.on_channel(channel).alive()


@SECTION.may(5, "101 entries", "used, or fallback; no crash", limit_s=5, hurts=True, source="implementation")
async def many(attempt: Attempt) -> str:
    names = (*(f"{UNKNOWN}/{number}" for number in range(100)), YAMUX)
    channel, client = await shaken(attempt, names)
    if client.early_muxer() is not None:
        session = attempt.on_channel(channel)
        try:
            await session.alive()
        except Deviation:
            return f"not used at once, {session.state}; {await falls_back(attempt, names)}"
        return "used"
    return await falls_back(attempt, names)


@SECTION.should(6, "Target's list in message 2", "holds only names it then accepts", limit_s=5)
async def its_list(attempt: Attempt) -> str:
    _, client = await half_way(attempt)
    extensions = client.remote_payload.extensions
    names = extensions.stream_muxers if extensions else []
    for name in names:
        channel, _ = await shaken(attempt, ())
        await negotiate(channel, name)
    return f"lists {', '.join(names) or 'nothing'}"
