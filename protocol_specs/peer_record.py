"""Peer records, the payload of an envelope (libp2p specs, RFC/0003-routing-records.md)."""

from __future__ import annotations

from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_PEER_ID_BYTES = 128
MAX_MULTIADDR_BYTES = 4096

ADDRESS_INFO = Message(
    "AddressInfo",
    field(1, "multiaddr", "bytes", presence="implicit", max_bytes=MAX_MULTIADDR_BYTES),
    max_bytes=MAX_MULTIADDR_BYTES + 64,
    doc="One address of a peer record.",
)

PEER_RECORD = Message(
    "PeerRecord",
    field(1, "peer_id", "bytes", presence="implicit", max_bytes=MAX_PEER_ID_BYTES),
    field(
        2, "seq", "uint64", presence="implicit", doc="grows with every record; nanoseconds of Unix time in go"
    ),
    field(3, "addresses", ADDRESS_INFO, presence="repeated", max_count=500),
    max_bytes=61440,
    doc="The addresses a peer claims for itself.",
)

MODULE = Module(
    "peer_record",
    "Peer records, the payload of a signed envelope.",
    "libp2p/specs RFC/0003-routing-records.md",
    items={"address_info": ADDRESS_INFO, "peer_record": PEER_RECORD},
)
