"""The identify message (libp2p specs, identify/README.md)."""

from __future__ import annotations

from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_IDENTIFY_BYTES = 8192
"""go reads messages up to this size. One bad entry must not cost the rest, so fields have no smaller maximum.
"""

IDENTIFY = Message(
    "Identify",
    field(1, "public_key", "bytes", max_bytes=MAX_IDENTIFY_BYTES, doc="a PublicKey message"),
    field(2, "listen_addrs", "bytes", presence="repeated", max_bytes=MAX_IDENTIFY_BYTES, max_count=500),
    field(3, "protocols", "string", presence="repeated", max_bytes=MAX_IDENTIFY_BYTES, max_count=1024),
    field(
        4,
        "observed_addr",
        "bytes",
        max_bytes=MAX_IDENTIFY_BYTES,
        doc="the multiaddr the sender sees the receiver at",
    ),
    field(5, "protocol_version", "string", max_bytes=MAX_IDENTIFY_BYTES),
    field(6, "agent_version", "string", max_bytes=MAX_IDENTIFY_BYTES),
    field(
        8, "signed_peer_record", "bytes", max_bytes=MAX_IDENTIFY_BYTES, doc="an Envelope around a PeerRecord"
    ),
    max_bytes=MAX_IDENTIFY_BYTES,
    doc="What a peer says of itself. Messages on one stream are merged: lists append, the rest replaces.",
)

MODULE = Module(
    "identify",
    "The identify message.",
    "libp2p/specs identify/README.md",
    items={"identify": IDENTIFY},
)
