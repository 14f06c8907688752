"""Circuit relay v2: messages to a relay, from a relay, and its vouchers (libp2p specs, relay/circuit-v2.md)."""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_MESSAGE_BYTES = 4096
"""What go and rust read. One bad address must not cost the rest, so fields have no smaller maximum."""

MAX_ADDRESSES = 500
MAX_EXPIRY_S = 2**63 - 1
"""What a signed 64-bit time holds."""

HOP_TYPE = Enum(
    "HopType",
    {"RESERVE": 0, "CONNECT": 1, "STATUS": 2},
    doc="What is asked of a relay, or its answer.",
)
STOP_TYPE = Enum("StopType", {"CONNECT": 0, "STATUS": 1}, doc="What a relay asks, or the answer to it.")
STATUS = Enum(
    "Status",
    {
        "UNUSED": 0,
        "OK": 100,
        "RESERVATION_REFUSED": 200,
        "RESOURCE_LIMIT_EXCEEDED": 201,
        "PERMISSION_DENIED": 202,
        "CONNECTION_FAILED": 203,
        "NO_RESERVATION": 204,
        "MALFORMED_MESSAGE": 400,
        "UNEXPECTED_MESSAGE": 401,
    },
    closed=False,
    doc="How a request went. Numbers of later versions are kept: anything but OK is a refusal.",
)

PEER = Message(
    "Peer",
    field(1, "id", "bytes", max_bytes=MAX_MESSAGE_BYTES, doc="the multihash of a peer id"),
    field(2, "addrs", "bytes", presence="repeated", max_bytes=MAX_MESSAGE_BYTES, max_count=MAX_ADDRESSES),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="Who is to be reached, or who asks.",
)
RESERVATION = Message(
    "Reservation",
    field(1, "expire", "uint64", maximum=MAX_EXPIRY_S, doc="seconds of Unix time"),
    field(
        2,
        "addrs",
        "bytes",
        presence="repeated",
        max_bytes=MAX_MESSAGE_BYTES,
        max_count=MAX_ADDRESSES,
        doc="the relay's addresses that end in its id, without the circuit part",
    ),
    field(3, "voucher", "bytes", max_bytes=MAX_MESSAGE_BYTES, doc="an Envelope around a Voucher"),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="What a relay grants.",
)
LIMIT = Message(
    "Limit",
    field(1, "duration", "uint32", doc="seconds; 0 or absent: no limit"),
    field(2, "data", "uint64", doc="bytes each way; 0 or absent: no limit"),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="When a relayed connection ends.",
)
HOP = Message(
    "HopMessage",
    field(1, "type", HOP_TYPE, doc="always written, RESERVE too; go takes a message without it as RESERVE"),
    field(2, "peer", PEER),
    field(3, "reservation", RESERVATION),
    field(4, "limit", LIMIT),
    field(5, "status", STATUS),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="Between a relay and who uses it.",
)
STOP = Message(
    "StopMessage",
    field(1, "type", STOP_TYPE, doc="always written, CONNECT too"),
    field(2, "peer", PEER),
    field(3, "limit", LIMIT),
    field(4, "status", STATUS),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="Between a relay and the peer it holds a reservation of.",
)
VOUCHER = Message(
    "Voucher",
    field(1, "relay", "bytes", max_bytes=1024),
    field(2, "peer", "bytes", max_bytes=1024),
    field(3, "expiration", "uint64", maximum=MAX_EXPIRY_S, doc="seconds of Unix time"),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="A relay's word that it granted a reservation; the payload of an envelope of type 03 02.",
)

MODULE = Module(
    "relay",
    "Circuit relay v2: hop and stop messages, vouchers.",
    "libp2p/specs relay/circuit-v2.md",
    items={
        "peer": PEER,
        "reservation": RESERVATION,
        "limit": LIMIT,
        "hop": HOP,
        "stop": STOP,
        "voucher": VOUCHER,
    },
    enums=(HOP_TYPE, STOP_TYPE, STATUS),
    constants={"MAX_MESSAGE_BYTES": MAX_MESSAGE_BYTES},
)
