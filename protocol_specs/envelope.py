"""Signed envelopes (libp2p specs, RFC/0002-signed-envelopes.md)."""

from __future__ import annotations

from protocol_specs.keys import PUBLIC_KEY
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_ENVELOPE_BYTES = 65536

ENVELOPE = Message(
    "Envelope",
    field(
        1,
        "public_key",
        "bytes",
        presence="implicit",
        max_bytes=PUBLIC_KEY.max_bytes,
        doc="a PublicKey message, as received",
    ),
    field(2, "payload_type", "bytes", presence="implicit", max_bytes=256),
    field(3, "payload", "bytes", presence="implicit", max_bytes=MAX_ENVELOPE_BYTES - 4096),
    field(5, "signature", "bytes", presence="implicit", max_bytes=1024),
    max_bytes=MAX_ENVELOPE_BYTES,
    doc="A payload signed by a key: over domain, payload type and payload, each after its length.",
)

MODULE = Module(
    "envelope",
    "Signed envelopes.",
    "libp2p/specs RFC/0002-signed-envelopes.md",
    items={"envelope": ENVELOPE},
)
