"""AutoNAT, both versions: asking others whether they can dial back (libp2p specs, autonat/)."""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_V1_BYTES = 4096
MAX_V2_BYTES = 8192
MAX_DIAL_BACK_BYTES = 1024
"""What go reads. One bad address must not cost the rest, so fields have no smaller maximum."""

MAX_ADDRESSES = 1024
"""go looks at the first 16 (version 1) or 50 of what its limit in bytes lets through."""

TYPE_V1 = Enum("TypeV1", {"DIAL": 0, "DIAL_RESPONSE": 1}, doc="What a message of version 1 is.")
STATUS_V1 = Enum(
    "StatusV1",
    {"OK": 0, "E_DIAL_ERROR": 100, "E_DIAL_REFUSED": 101, "E_BAD_REQUEST": 200, "E_INTERNAL_ERROR": 300},
    closed=False,
    doc="How a request of version 1 went. Other numbers are kept: they say as little as an internal error.",
)
RESPONSE_STATUS = Enum(
    "ResponseStatus",
    {"E_INTERNAL_ERROR": 0, "E_REQUEST_REJECTED": 100, "E_DIAL_REFUSED": 101, "OK": 200},
    closed=False,
    doc="Whether the server took the request: rejected for its load, refused for the addresses.",
)
DIAL_STATUS = Enum(
    "DialStatus",
    {"UNUSED": 0, "E_DIAL_ERROR": 100, "E_DIAL_BACK_ERROR": 101, "OK": 200},
    closed=False,
    doc="How the dial went; a dial-back error is a connection on which the nonce could not be told.",
)
DIAL_BACK_STATUS = Enum("DialBackStatus", {"OK": 0}, closed=False, doc="The client's answer to a nonce.")

PEER_V1 = Message(
    "PeerV1",
    field(1, "id", "bytes", max_bytes=MAX_V1_BYTES, doc="the multihash of a peer id"),
    field(2, "addrs", "bytes", presence="repeated", max_bytes=MAX_V1_BYTES, max_count=MAX_ADDRESSES),
    max_bytes=MAX_V1_BYTES,
    doc="Who asks, and the multiaddrs it wants to be dialled at.",
)
DIAL_V1 = Message("DialV1", field(1, "peer", PEER_V1), max_bytes=MAX_V1_BYTES, doc="The request.")
DIAL_RESPONSE_V1 = Message(
    "DialResponseV1",
    field(1, "status", STATUS_V1),
    field(2, "status_text", "string", max_bytes=MAX_V1_BYTES),
    field(3, "addr", "bytes", max_bytes=MAX_V1_BYTES, doc="the multiaddr at which the peer was reached"),
    max_bytes=MAX_V1_BYTES,
    doc="The answer.",
)
MESSAGE_V1 = Message(
    "MessageV1",
    field(1, "type", TYPE_V1, doc="0 is written too"),
    field(2, "dial", DIAL_V1),
    field(3, "dial_response", DIAL_RESPONSE_V1),
    max_bytes=MAX_V1_BYTES,
    doc="Either way on a stream of version 1.",
)

DIAL_REQUEST = Message(
    "DialRequest",
    field(1, "addrs", "bytes", presence="repeated", max_bytes=MAX_V2_BYTES, max_count=MAX_ADDRESSES),
    field(2, "nonce", "fixed64", presence="implicit"),
    max_bytes=MAX_V2_BYTES,
    doc="Multiaddrs in order of liking, of which the server dials one, and what it has to tell there.",
)
DIAL_RESPONSE = Message(
    "DialResponse",
    field(1, "status", RESPONSE_STATUS, presence="implicit"),
    field(2, "addr_idx", "uint32", presence="implicit"),
    field(3, "dial_status", DIAL_STATUS, presence="implicit"),
    max_bytes=MAX_V2_BYTES,
    doc="How it went with the address at that place of the request.",
)
DIAL_DATA_REQUEST = Message(
    "DialDataRequest",
    field(1, "addr_idx", "uint32", presence="implicit"),
    field(2, "num_bytes", "uint64", presence="implicit"),
    max_bytes=MAX_V2_BYTES,
    doc="The price of a dial to a host other than the asker's: so many bytes first.",
)
DIAL_DATA_RESPONSE = Message(
    "DialDataResponse",
    field(1, "data", "bytes", presence="implicit", max_bytes=MAX_V2_BYTES),
    max_bytes=MAX_V2_BYTES,
    doc="A part of the price, of at most 4096 bytes.",
)
MESSAGE_V2 = Message(
    "MessageV2",
    field(1, "dial_request", DIAL_REQUEST),
    field(2, "dial_response", DIAL_RESPONSE),
    field(3, "dial_data_request", DIAL_DATA_REQUEST),
    field(4, "dial_data_response", DIAL_DATA_RESPONSE),
    max_bytes=MAX_V2_BYTES,
    doc="Either way on a stream of version 2; one of the four.",
)
DIAL_BACK = Message(
    "DialBack",
    field(1, "nonce", "fixed64", presence="implicit"),
    max_bytes=MAX_DIAL_BACK_BYTES,
    doc="What the server tells on the connection that it dialled.",
)
DIAL_BACK_RESPONSE = Message(
    "DialBackResponse",
    field(1, "status", DIAL_BACK_STATUS, presence="implicit"),
    max_bytes=MAX_DIAL_BACK_BYTES,
    doc="That the nonce has come.",
)

MODULE = Module(
    "autonat",
    "AutoNAT messages of both versions.",
    "libp2p/specs autonat/autonat-v1.md, autonat/autonat-v2.md",
    items={
        "peer_v1": PEER_V1,
        "dial_v1": DIAL_V1,
        "dial_response_v1": DIAL_RESPONSE_V1,
        "message_v1": MESSAGE_V1,
        "dial_request": DIAL_REQUEST,
        "dial_response": DIAL_RESPONSE,
        "dial_data_request": DIAL_DATA_REQUEST,
        "dial_data_response": DIAL_DATA_RESPONSE,
        "message_v2": MESSAGE_V2,
        "dial_back": DIAL_BACK,
        "dial_back_response": DIAL_BACK_RESPONSE,
    },
    enums=(TYPE_V1, STATUS_V1, RESPONSE_STATUS, DIAL_STATUS, DIAL_BACK_STATUS),
    constants={
        "MAX_V1_BYTES": MAX_V1_BYTES,
        "MAX_V2_BYTES": MAX_V2_BYTES,
        "MAX_DIAL_BACK_BYTES": MAX_DIAL_BACK_BYTES,
    },
)
