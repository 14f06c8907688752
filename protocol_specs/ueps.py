"""UEPS packets: type, length, value, the payload last (RFC-021 of the Lethean project)."""

from __future__ import annotations

from protocol_specs.grammar import U8, U16, Enum, Layout, Tlv
from protocol_specs.module import Module

MAX_VALUE_BYTES = 65535
MAX_ENTRIES = 256
"""Go has no limit; a packet of ours has seven entries."""

TAG = Enum(
    "Tag",
    {
        "VERSION": 0x01,
        "CURRENT_LAYER": 0x02,
        "TARGET_LAYER": 0x03,
        "INTENT": 0x04,
        "THREAT_SCORE": 0x05,
        "HMAC": 0x06,
        "PAYLOAD": 0xFF,
    },
    closed=False,
    doc="What an entry is; others are signed like the header's and mean nothing.",
)
INTENT = Enum(
    "Intent",
    {"HANDSHAKE": 0x01, "COMPUTE": 0x20, "REHAB": 0x30, "CUSTOM": 0xFF},
    closed=False,
    doc="What a packet is for; REHAB pauses execution.",
)
PACKET = Layout(
    "Packet",
    "entries" / Tlv(kind=U8, length=U16, max_bytes=MAX_VALUE_BYTES, max_count=MAX_ENTRIES),
    doc="The entries of packets. One of the tag PAYLOAD ends a packet; what follows it is the next.",
)

MODULE = Module(
    "ueps",
    "UEPS packets.",
    "the Lethean mesh, section 13 (go-p2p e6e7fe0, RFC-021)",
    items={"packet": PACKET},
    enums=(TAG, INTENT),
    constants={
        "MAX_VALUE_BYTES": MAX_VALUE_BYTES,
        "MAX_ENTRIES": MAX_ENTRIES,
        "MAX_HEADER_BYTES": 65536,
        "VERSION": 9,
        "LAYER": 5,
        "HMAC_BYTES": 32,
        "THREAT_LIMIT": 50_000,
    },
)
