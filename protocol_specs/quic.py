"""What of QUIC's packets is in the clear: all that a socket's owner may read (RFC 8999, RFC 9000 section 17)."""

from __future__ import annotations

from protocol_specs.grammar import (
    U8,
    U32,
    U64,
    Bytes,
    Constant,
    Delimited,
    FixedBytes,
    Layout,
    Repeat,
    Uint,
    Varint62,
)
from protocol_specs.module import Module

VERSION_1 = 1
MAX_ID_BYTES = 20
MAX_FOREIGN_ID_BYTES = 255
OWN_ID_BYTES = 8
MAX_TOKEN_BYTES = 1024
TAG_BYTES = 16
MAX_VERSIONS = 64

ID = Delimited(MAX_ID_BYTES, length=U8)
FOREIGN_ID = Delimited(MAX_FOREIGN_ID_BYTES, length=U8)

LONG_HEADER = Layout(
    "LongHeader",
    "first" / Uint(8, minimum=0x80),
    "version" / U32,
    "destination_id" / FOREIGN_ID,
    "source_id" / FOREIGN_ID,
    doc="How a packet with a long header begins in every version (RFC 8999 section 5.1).",
)

VERSION_NEGOTIATION = Layout(
    "VersionNegotiation",
    "first" / Uint(8, minimum=0x80),
    Constant(bytes(4)),
    "destination_id" / FOREIGN_ID,
    "source_id" / FOREIGN_ID,
    "versions" / Repeat(U32, max_count=MAX_VERSIONS, min_count=1),
    doc="A whole packet: the versions a server speaks (RFC 8999 section 6); the ids are the client's, exchanged.",
)

INITIAL = Layout(
    "Initial",
    "first" / Uint(8, minimum=0xC0, maximum=0xCF),
    Constant(VERSION_1.to_bytes(4, "big")),
    "destination_id" / ID,
    "source_id" / ID,
    "token" / Delimited(MAX_TOKEN_BYTES, length=Varint62()),
    "length" / Varint62(65535),
    doc="What stands before the packet number of an Initial of version 1; `length` counts from there (section 17.2.2).",
)

RETRY = Layout(
    "Retry",
    "first" / Uint(8, minimum=0xF0),
    Constant(VERSION_1.to_bytes(4, "big")),
    "destination_id" / ID,
    "source_id" / ID,
    "token_and_tag" / Bytes(MAX_TOKEN_BYTES + TAG_BYTES),
    doc="A whole Retry packet of version 1; the last 16 bytes are its integrity tag (section 17.2.5).",
)

SHORT_HEADER = Layout(
    "ShortHeader",
    "first" / Uint(8, minimum=0x40, maximum=0x7F),
    "destination_id" / FixedBytes(OWN_ID_BYTES),
    doc="How a packet with a short header begins if its receiver issues ids of 8 bytes (section 17.3).",
)

RETRY_TOKEN = Layout(
    "RetryToken",
    "expires_ms" / U64,
    "original_id" / ID,
    "retry_id" / FixedBytes(OWN_ID_BYTES),
    doc=(
        "Our own: what a Retry token holds under its seal. `expires_ms` is on the clock of who made it, `original_id` "
        "the destination of the Initial that it answers, `retry_id` the source of the Retry."
    ),
)

MODULE = Module(
    "quic",
    "What of QUIC's packets is in the clear, and our Retry tokens.",
    "RFC 8999; RFC 9000 section 17; RFC 9001 section 5.8",
    items={
        "long_header": LONG_HEADER,
        "version_negotiation": VERSION_NEGOTIATION,
        "initial": INITIAL,
        "retry": RETRY,
        "short_header": SHORT_HEADER,
        "retry_token": RETRY_TOKEN,
    },
    constants={
        "VERSION_1": VERSION_1,
        "MIN_INITIAL_DATAGRAM_BYTES": 1200,
        "MAX_ID_BYTES": MAX_ID_BYTES,
        "OWN_ID_BYTES": OWN_ID_BYTES,
        "MIN_ORIGINAL_ID_BYTES": 8,
        "MAX_TOKEN_BYTES": MAX_TOKEN_BYTES,
        "TAG_BYTES": TAG_BYTES,
        "MIN_RESET_BYTES": 21,
        "RESET_TOKEN_BYTES": 16,
    },
)
