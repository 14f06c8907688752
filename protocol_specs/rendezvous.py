"""Rendezvous messages (libp2p specs, rendezvous/README.md)."""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_MESSAGE_BYTES = 2**20
"""What rust reads. An answer of a thousand registrations takes some hundred kilobytes."""

MAX_NAMESPACE_BYTES = 255
MAX_READ_BYTES = 4096
"""Of namespaces, cookies and texts: longer than what is valid, so that it can be refused with its code."""

MAX_RECORD_BYTES = 8192
"""Of a signed record, as in identify."""

MAX_REGISTRATIONS = 1000
MAX_TTL_S = 2**63 - 1

MESSAGE_TYPE = Enum(
    "MessageType",
    {"REGISTER": 0, "REGISTER_RESPONSE": 1, "UNREGISTER": 2, "DISCOVER": 3, "DISCOVER_RESPONSE": 4},
    doc="What a message is. UNREGISTER has no answer.",
)

STATUS = Enum(
    "Status",
    {
        "OK": 0,
        "INVALID_NAMESPACE": 100,
        "INVALID_SIGNED_PEER_RECORD": 101,
        "INVALID_TTL": 102,
        "INVALID_COOKIE": 103,
        "NOT_AUTHORIZED": 200,
        "INTERNAL_ERROR": 300,
        "UNAVAILABLE": 400,
    },
    closed=False,
    doc="How a request went. Other numbers are kept: anything but OK is a refusal.",
)

REGISTER = Message(
    "Register",
    field(1, "namespace", "string", max_bytes=MAX_READ_BYTES),
    field(
        2, "signed_peer_record", "bytes", max_bytes=MAX_RECORD_BYTES, doc="an Envelope around a PeerRecord"
    ),
    field(3, "ttl_s", "uint64", maximum=MAX_TTL_S, doc="seconds; what is left of them in an answer"),
    max_bytes=MAX_RECORD_BYTES + MAX_READ_BYTES + 64,
    doc="A peer's wish to be found under a namespace.",
)

REGISTER_RESPONSE = Message(
    "RegisterResponse",
    field(1, "status", STATUS),
    field(2, "status_text", "string", max_bytes=MAX_READ_BYTES),
    field(3, "ttl_s", "uint64", maximum=MAX_TTL_S, doc="seconds granted"),
    max_bytes=MAX_READ_BYTES + 64,
    doc="Whether the peer was registered.",
)

UNREGISTER = Message(
    "Unregister",
    field(1, "namespace", "string", max_bytes=MAX_READ_BYTES),
    field(2, "id", "bytes", max_bytes=MAX_READ_BYTES, doc="of former versions; the sender is meant anyway"),
    max_bytes=2 * MAX_READ_BYTES + 64,
    doc="A peer's wish not to be found any more.",
)

DISCOVER = Message(
    "Discover",
    field(1, "namespace", "string", max_bytes=MAX_READ_BYTES, doc="absent or empty for all"),
    field(2, "limit", "uint64", doc="most registrations wanted; absent or 0 for as many as fit"),
    field(3, "cookie", "bytes", max_bytes=MAX_READ_BYTES, doc="of the answer after which to go on"),
    max_bytes=2 * MAX_READ_BYTES + 64,
    doc="Who is registered.",
)

DISCOVER_RESPONSE = Message(
    "DiscoverResponse",
    field(1, "registrations", REGISTER, presence="repeated", max_count=MAX_REGISTRATIONS),
    field(2, "cookie", "bytes", max_bytes=MAX_READ_BYTES),
    field(3, "status", STATUS),
    field(4, "status_text", "string", max_bytes=MAX_READ_BYTES),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="Registrations, and the cookie to ask for later ones.",
)

MESSAGE = Message(
    "Message",
    field(1, "type", MESSAGE_TYPE),
    field(2, "register", REGISTER),
    field(3, "register_response", REGISTER_RESPONSE),
    field(4, "unregister", UNREGISTER),
    field(5, "discover", DISCOVER),
    field(6, "discover_response", DISCOVER_RESPONSE),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="One of them, as the type says.",
)

MODULE = Module(
    "rendezvous",
    "Rendezvous messages.",
    "libp2p/specs rendezvous/README.md",
    items={
        "register": REGISTER,
        "register_response": REGISTER_RESPONSE,
        "unregister": UNREGISTER,
        "discover": DISCOVER,
        "discover_response": DISCOVER_RESPONSE,
        "message": MESSAGE,
    },
    enums=(MESSAGE_TYPE, STATUS),
    constants={
        "MAX_MESSAGE_BYTES": MAX_MESSAGE_BYTES,
        "MAX_NAMESPACE_BYTES": MAX_NAMESPACE_BYTES,
        "MAX_RECORD_BYTES": MAX_RECORD_BYTES,
        "MAX_REGISTRATIONS": MAX_REGISTRATIONS,
    },
)
