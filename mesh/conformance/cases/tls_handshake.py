"""tls/1: hello, version, ALPN and client authentication."""

from __future__ import annotations

from OpenSSL import SSL

from mesh.conformance.attempt import TLS, Attempt, negotiate
from mesh.conformance.case import Section
from mesh.conformance.tls_client import LIBP2P, TlsChannel, TlsOptions
from mesh.conformance.verdict import Deviation
from mesh.conformance.wire import Wire
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

SECTION = Section("tls/1", "Handshake", "tls", security="tls")
INLINED = "inlined-muxer-negotiation"
UNKNOWN = "/mesh-conform/muxer/1.0.0"
HELLO_PIECE_BYTES = 2


async def chosen(attempt: Attempt) -> Wire:
    """A connection on which TLS has been agreed and no hello sent."""
    wire = await attempt.wire()
    await attempt.prepared(negotiate(wire, TLS), "agreement on TLS")
    return wire


async def shaken(attempt: Attempt, options: TlsOptions) -> TlsChannel:
    """The channel after our side of the handshake; the target may still refuse our certificate."""
    channel = TlsChannel(await chosen(attempt), options)
    await channel.handshake()
    return channel


async def works(attempt: Attempt, channel: TlsChannel) -> None:
    """The target goes on: the muxer comes about and a session answers."""
    if channel.chosen != YAMUX:
        await negotiate(channel, YAMUX)
    await attempt.on_channel(channel).alive()


async def accepted(attempt: Attempt, options: TlsOptions) -> TlsChannel:
    """The handshake completes and the session answers."""
    channel = await shaken(attempt, options)
    await works(attempt, channel)
    return channel


async def refused(attempt: Attempt, options: TlsOptions) -> str:
    """The target ends the connection during the handshake or right behind it; returns how. Whoever uses the channel first
    has accepted it, though it may end for its idleness later."""
    channel = TlsChannel(await chosen(attempt), options)
    try:
        await channel.handshake()
    except Deviation:
        if channel.ending is None:
            raise
        return channel.ending
    return await channel.ended_silently("refusal")


@SECTION.should(
    1,
    "TLS 1.3, good certificate, ALPN yamux and libp2p",
    "completes, yamux chosen",
    limit_s=5,
    source=INLINED,
)
async def proper(attempt: Attempt) -> None:
    channel = await accepted(attempt, TlsOptions.of(attempt.identity))
    if channel.chosen != YAMUX:
        raise Deviation(f"completes, but ALPN chose {channel.chosen!r}")


@SECTION.must(2, "ALPN libp2p only", "libp2p, muxer by multistream", limit_s=5, source="tls: ALPN")
async def libp2p_only(attempt: Attempt) -> None:
    options = TlsOptions.of(attempt.identity)
    options.alpn = (LIBP2P,)
    channel = await accepted(attempt, options)
    if channel.chosen != LIBP2P:
        raise Deviation(f"ALPN chose {channel.chosen!r}")


@SECTION.must(3, "ALPN h2 only", "handshake aborted", limit_s=5, source="tls: ALPN", hurts=True)
async def other_alpn(attempt: Attempt) -> str:
    options = TlsOptions.of(attempt.identity)
    options.alpn = ("h2",)
    return await refused(attempt, options)


@SECTION.may(4, "No ALPN", "abort, or go on as libp2p", limit_s=5)
async def no_alpn(attempt: Attempt) -> str:
    options = TlsOptions.of(attempt.identity)
    options.alpn = ()
    try:
        await accepted(attempt, options)
    except Deviation as deviation:
        return deviation.actual
    return "goes on as libp2p"


@SECTION.must(5, "Unknown muxer and libp2p", "libp2p", limit_s=5, source=INLINED)
async def unknown_muxer(attempt: Attempt) -> None:
    options = TlsOptions.of(attempt.identity)
    options.alpn = (UNKNOWN, LIBP2P)
    channel = await accepted(attempt, options)
    if channel.chosen != LIBP2P:
        raise Deviation(f"ALPN chose {channel.chosen!r}")


@SECTION.may(6, "libp2p before yamux", "either", limit_s=5, source=INLINED)
async def libp2p_first(attempt: Attempt) -> str:
    options = TlsOptions.of(attempt.identity)
    options.alpn = (LIBP2P, YAMUX)
    return (await accepted(attempt, options)).chosen


@SECTION.must(7, "TLS 1.2 only", "refused", limit_s=5, source="tls: version", hurts=True)
async def old_version(attempt: Attempt) -> str:
    options = TlsOptions.of(attempt.identity)
    options.min_version = options.max_version = SSL.TLS1_2_VERSION
    return await refused(attempt, options)


@SECTION.must(8, "SNI given", "ignored", limit_s=5, source="tls: future extensibility")
async def server_name(attempt: Attempt) -> None:
    options = TlsOptions.of(attempt.identity)
    options.server_name = "conform.example"
    await accepted(attempt, options)


@SECTION.must(
    9, "No client certificate", "refused", limit_s=5, source="tls: client authentication", hurts=True
)
async def no_certificate(attempt: Attempt) -> str:
    return await refused(attempt, TlsOptions())


@SECTION.must(
    10,
    "Session resumption tried",
    "full handshake or refusal",
    limit_s=5,
)
async def resumed(attempt: Attempt) -> str:
    options = TlsOptions.of(attempt.identity)
    options.ticket = (await accepted(attempt, options)).ticket
    again = TlsChannel(await chosen(attempt), options)
    try:
        await again.handshake()
    except Deviation:
        if again.ending is None:
            raise
        return f"refused: {again.ending}"
    if again.resumed:
        raise Deviation("the session was resumed: no certificate was asked for")
    await works(attempt, again)
    return "full handshake"


@SECTION.must(11, "Client hello in two-byte TCP segments", "works", limit_s=10, source="robustness")
async def in_pieces(attempt: Attempt) -> None:
    wire = await chosen(attempt)
    channel = TlsChannel(wire, TlsOptions.of(attempt.identity))
    await wire.drip(channel.hello(), 0.002, HELLO_PIECE_BYTES, attempt.case.limit_s / 2)
    await channel.handshake()
    await works(attempt, channel)


@SECTION.should(12, "Client hello then silence", "ends", limit_s=30, slow=True, source="implementation")
async def silence(attempt: Attempt) -> None:
    wire = await chosen(attempt)
    wire.send(TlsChannel(wire, TlsOptions.of(attempt.identity)).hello())
    await wire.ended()
