"""DCUtR: the message of hole punching (libp2p specs, relay/DCUtR.md)."""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_MESSAGE_BYTES = 4096
"""What go and rust read. One bad address must not cost the rest, so an address has no smaller maximum."""

MAX_ADDRESSES = 500

TYPE = Enum("PunchType", {"CONNECT": 100, "SYNC": 300}, doc="Addresses are exchanged, or: dial now.")

MESSAGE = Message(
    "HolePunch",
    field(1, "type", TYPE, presence="required"),
    field(
        2,
        "obs_addrs",
        "bytes",
        presence="repeated",
        max_bytes=MAX_MESSAGE_BYTES,
        max_count=MAX_ADDRESSES,
        doc="binary multiaddrs, with no relay in them",
    ),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="Between the two ends of a relayed connection.",
)

MODULE = Module(
    "dcutr",
    "DCUtR: the message of hole punching.",
    "libp2p/specs relay/DCUtR.md",
    items={"hole_punch": MESSAGE},
    enums=(TYPE,),
    constants={"MAX_MESSAGE_BYTES": MAX_MESSAGE_BYTES},
)
