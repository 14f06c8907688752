"""The Noise handshake payload and the frames of the channel (libp2p specs, noise/README.md)."""

from __future__ import annotations

from protocol_specs.grammar import U16, Delimited
from protocol_specs.keys import PUBLIC_KEY
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_MESSAGE_BYTES = 65535
TAG_BYTES = 16

NOISE_EXTENSIONS = Message(
    "NoiseExtensions",
    field(1, "webtransport_certhashes", "bytes", presence="repeated", max_bytes=256, max_count=1024),
    field(2, "stream_muxers", "string", presence="repeated", max_bytes=1024, max_count=1024),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="What both sides offer inside the handshake.",
)

HANDSHAKE_PAYLOAD = Message(
    "HandshakePayload",
    field(1, "identity_key", "bytes", max_bytes=PUBLIC_KEY.max_bytes, doc="a PublicKey message"),
    field(2, "identity_sig", "bytes", max_bytes=1024),
    field(4, "extensions", NOISE_EXTENSIONS),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="The payload of the second and the third handshake message.",
)

FRAME = Delimited(MAX_MESSAGE_BYTES, length=U16)

MODULE = Module(
    "noise",
    "The Noise handshake payload and the frames of the channel.",
    "libp2p/specs noise/README.md",
    items={"noise_extensions": NOISE_EXTENSIONS, "handshake_payload": HANDSHAKE_PAYLOAD, "frame": FRAME},
    constants={
        "MAX_MESSAGE_BYTES": MAX_MESSAGE_BYTES,
        "MAX_PLAINTEXT_BYTES": MAX_MESSAGE_BYTES - TAG_BYTES,
        "TAG_BYTES": TAG_BYTES,
    },
    structs={"LENGTH": U16},
)
