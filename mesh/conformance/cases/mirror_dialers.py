"""Mirrored cases: how the peer dials, and what it takes from a listener. Ids end in `m`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from mesh.codecs.multistream import encode_token
from mesh.codecs.noise import HandshakePayload
from mesh.conformance import services
from mesh.conformance.attempt import NOISE, Attempt, handshake_message
from mesh.conformance.case import Run, Section
from mesh.conformance.noise_client import framed, identity_payload
from mesh.conformance.noise_listener import NoiseListener
from mesh.conformance.streams import StreamFlow
from mesh.conformance.tcp_mirror import TcpMirror
from mesh.conformance.verdict import Deviation
from mesh.conformance.yamux_frames import GO_AWAY, Frame
from mesh.framing import delimited
from mesh.identity.keys import PrivateKey
from mesh.protocols.multistream import HEADER, NOT_AVAILABLE
from mesh.protocols.noise.handshake import SIGNATURE_PREFIX
from mesh.protocols.yamux import PROTOCOL_ID as YAMUX

MULTISTREAM = Section("multistream/1", "Header", "connections: multistream-select", mirrored=True)
PROPOSALS = Section("multistream/2", "Proposals", "connections", mirrored=True)
HANDSHAKE = Section("noise/1", "Handshake", "Noise framework", mirrored=True)
IDENTITY = Section("noise/2", "Identity payload", "noise: payload", mirrored=True)
MUXERS = Section("noise/3", "Early muxer negotiation", "inlined-muxer-negotiation", mirrored=True)
LIVENESS = Section("yamux/5", "Ping and go away", "yamux: termination", mirrored=True)
IDENTIFY = Section("identify/1", "identify", "identify", mirrored=True)
SECTIONS = (MULTISTREAM, PROPOSALS, HANDSHAKE, IDENTITY, MUXERS, LIVENESS, IDENTIFY)

REFUSES = "refuses: the connection ends, no message 3"
GIVES_UP_S = 60.0
LATE_S = 2.0


def mirrored(attempt: Attempt) -> TcpMirror:
    return cast(TcpMirror, attempt)


async def refuses(attempt: Attempt, payload: Callable[[NoiseListener], bytes]) -> None:
    """The dialer ends the connection when message 2 has this payload."""
    listener = NoiseListener(attempt.rng, attempt.identity, (YAMUX,))
    wire = await mirrored(attempt).greeted(listener, payload(listener))
    await wire.ended_silently()


def good(listener: NoiseListener) -> HandshakePayload:
    return identity_payload(listener.identity, listener.static_public, listener.muxers)


@MULTISTREAM.must(5, "Answers byte by byte", "the dialer completes", limit_s=10)
async def byte_by_byte(attempt: Attempt) -> None:
    listener = NoiseListener(attempt.rng, attempt.identity, ())
    wire = await mirrored(attempt).proposed(NOISE)
    first = await handshake_message(wire, "noise message 1")
    await wire.drip(framed(listener.second(first)), 0.002)
    await (await mirrored(attempt).finished(wire, listener)).alive()


@MULTISTREAM.must(6, "The dialer's first bytes", "header, then proposals, pipelined or not", limit_s=5)
async def first_bytes(attempt: Attempt) -> str:
    wire = await attempt.wire()
    header = await wire.token("multistream header")
    if header != HEADER:
        raise Deviation(f"the first token is {header[:64]!r}")
    waiting = len(wire.buffer)
    wire.send(encode_token(HEADER))
    name = await wire.token("proposal")
    return f"proposes {name} {'at once' if waiting else 'behind our header'}"


@MULTISTREAM.should(
    9, "A listener that never answers", "the dialer gives up in time", limit_s=GIVES_UP_S, slow=True
)
async def never_answers(attempt: Attempt) -> str:
    wire = await attempt.wire()
    return await wire.ended("end by the dialer")


@PROPOSALS.must(2, "na for the first choice", "the next one is proposed, here or anew", limit_s=20)
async def next_choice(attempt: Attempt) -> str:
    names: list[str] = []
    for _ in range(3):
        wire = await attempt.wire()
        wire.send(encode_token(HEADER))
        try:
            await wire.token("multistream header")
            while len(set(names)) < 2:
                names.append(await wire.token("proposal"))
                wire.send(encode_token(NOT_AVAILABLE))
        except Deviation:
            wire.close()
            continue
        break
    if len(set(names)) < 2:
        return f"only {', '.join(dict.fromkeys(names))} is spoken; it ends, and dials again"
    return f"proposes {', '.join(dict.fromkeys(names))}"


@HANDSHAKE.must(1, "Proper handshake", "the dialer completes it", limit_s=10, source="noise: payload")
async def proper(attempt: Attempt) -> None:
    await (await mirrored(attempt).upgraded()).alive()


@HANDSHAKE.must(
    2, "Another peer id than was dialed", REFUSES, limit_s=5, source="noise: static key authentication"
)
async def wrong_peer(attempt: Attempt) -> None:
    listener = NoiseListener(attempt.rng, attempt.fresh_identity(), (YAMUX,))
    wire = await mirrored(attempt).greeted(listener)
    await wire.ended_silently()


def _without(name: str) -> Callable[[NoiseListener], bytes]:
    def payload(listener: NoiseListener) -> bytes:
        made = good(listener)
        setattr(made, name, None)
        return made.encode()

    return payload


def _altered(listener: NoiseListener) -> bytes:
    made = good(listener)
    assert made.identity_sig is not None
    made.identity_sig = made.identity_sig[:-1] + bytes((made.identity_sig[-1] ^ 1,))
    return made.encode()


def _other_signer(listener: NoiseListener) -> bytes:
    made = good(listener)
    made.identity_sig = PrivateKey.generate().sign(SIGNATURE_PREFIX + listener.static_public)
    return made.encode()


def _no_prefix(listener: NoiseListener) -> bytes:
    return identity_payload(listener.identity, listener.static_public, (), b"").encode()


def _unknown_type(listener: NoiseListener) -> bytes:
    made = good(listener)
    made.identity_key = b"\x08\x09\x12\x20" + listener.identity.public.raw
    return made.encode()


def _refusing(payload: Callable[[NoiseListener], bytes]) -> Run:
    async def run(attempt: Attempt) -> None:
        await refuses(attempt, payload)

    return run


for _number, _title, _payload in (
    (1, "Signature altered", _altered),
    (2, "Signature over the static key without prefix", _no_prefix),
    (3, "Good signature by another key", _other_signer),
    (4, "No identity key", _without("identity_key")),
    (5, "No signature", _without("identity_sig")),
    (6, "Payload not a protobuf", lambda _listener: b"\x0a\xff\xff\xff\xff\x0fnot a protobuf"),
    (7, "Payload empty", lambda _listener: b""),
    (8, "Key type 9", _unknown_type),
):
    IDENTITY.must(_number, f"{_title}, from a listener", REFUSES, limit_s=5)(_refusing(_payload))


@IDENTITY.must(12, "Payload with unknown protobuf fields, from a listener", "accepted", limit_s=10)
async def unknown_fields(attempt: Attempt) -> None:
    listener = NoiseListener(attempt.rng, attempt.identity, (YAMUX,))
    wire = await mirrored(attempt).greeted(listener, listener.payload() + b"\x78\x01")
    await (await mirrored(attempt).finished(wire, listener)).alive()


@MUXERS.must(2, "A listener without a list", "muxer by multistream-select", limit_s=10)
async def no_list(attempt: Attempt) -> None:
    await (await mirrored(attempt).upgraded(())).alive()


@MUXERS.must(4, "A listener with an unknown muxer first", "yamux, or multistream", limit_s=10)
async def unknown_first(attempt: Attempt) -> None:
    listener = NoiseListener(attempt.rng, attempt.identity, ("/mesh-conform/muxer/1.0.0", YAMUX))
    wire = await mirrored(attempt).greeted(listener)
    await (await mirrored(attempt).finished(wire, listener)).alive()


@LIVENESS.must(8, "Go away right behind the upgrade", "the dialer ends, and can dial again", limit_s=10)
async def go_away(attempt: Attempt) -> None:
    session = await mirrored(attempt).upgraded()
    session.send_frame(Frame(GO_AWAY, 0, 0, 0))
    attempt.close_wires()
    await (await mirrored(attempt).upgraded()).alive()


async def identified(attempt: Attempt, data: bytes, late_s: float = 0.0) -> str:
    """Answer the dialer's identify with this; the connection must go on."""
    asked = asyncio.Event()

    async def serve(stream: StreamFlow) -> None:
        asked.set()
        await asyncio.sleep(late_s)
        await stream.write(data)
        stream.finish()

    attempt.serves[services.IDENTIFY] = serve
    session = await mirrored(attempt).upgraded()
    try:
        async with asyncio.timeout(attempt.limit_s):
            await asked.wait()
    except TimeoutError:
        return "the dialer does not ask"
    await asyncio.sleep(late_s + 0.5)
    await session.alive()
    return "goes on"


@IDENTIFY.must(1, "Identify answered in eight parts", "goes on", limit_s=10)
async def in_parts(attempt: Attempt) -> str:
    parts = services.identify_message(attempt.identity, (services.IDENTIFY,)).encode()
    return await identified(attempt, delimited.encode(parts) + delimited.encode(b"\x32\x01x") * 7)


@IDENTIFY.must(11, "Identify answered late", "goes on", limit_s=10)
async def late(attempt: Attempt) -> str:
    message = services.identify_message(attempt.identity, (services.IDENTIFY,))
    return await identified(attempt, delimited.encode(message.encode()), LATE_S)


@IDENTIFY.must(12, "Identify answered with another peer's key", "goes on, or ends", limit_s=10)
async def other_key(attempt: Attempt) -> str:
    message = services.identify_message(attempt.fresh_identity(), (services.IDENTIFY,))
    try:
        return await identified(attempt, delimited.encode(message.encode()))
    except Deviation as deviation:
        if "ended" not in deviation.actual:
            raise
        return "ends"


@IDENTIFY.must(14, "Identify answered with 100 KiB", "goes on", limit_s=10)
async def oversized(attempt: Attempt) -> str:
    return await identified(attempt, delimited.encode(b"\x32\x80\xa0\x06" + b"x" * 100 * 1024))
