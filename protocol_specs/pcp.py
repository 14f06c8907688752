"""PCP, version 2: mappings, and the announcement of a router that lost them (RFC 6887 sections 7, 11, 14)."""

from __future__ import annotations

from protocol_specs.grammar import U8, U16, U32, Bytes, Constant, Enum, FixedBytes, Layout, Tlv, Uint
from protocol_specs.module import Module

MAX_DATA_BYTES = 1076
MAX_OPTION_BYTES = 1016
MAX_OPTIONS = 32
"""A message has 1100 bytes at most."""

OPCODE = Enum(
    "Opcode",
    {"ANNOUNCE": 0, "MAP": 1, "PEER": 2},
    closed=False,
    doc="What a request asks for; its answer has 128 added.",
)
RESULT = Enum(
    "ResultCode",
    {
        "SUCCESS": 0,
        "UNSUPP_VERSION": 1,
        "NOT_AUTHORIZED": 2,
        "MALFORMED_REQUEST": 3,
        "UNSUPP_OPCODE": 4,
        "UNSUPP_OPTION": 5,
        "MALFORMED_OPTION": 6,
        "NETWORK_FAILURE": 7,
        "NO_RESOURCES": 8,
        "UNSUPP_PROTOCOL": 9,
        "USER_EX_QUOTA": 10,
        "CANNOT_PROVIDE_EXTERNAL": 11,
        "ADDRESS_MISMATCH": 12,
        "EXCESSIVE_REMOTE_PEERS": 13,
    },
    closed=False,
    doc="What came of a request.",
)
PROTOCOL = Enum("Protocol", {"TCP": 6, "UDP": 17}, closed=False, doc="Transports by their number at IANA.")
OPTIONS = Tlv(kind=U16, length=U16, max_bytes=MAX_OPTION_BYTES, max_count=MAX_OPTIONS, align=4)
"""The code and a reserved byte, read as one number."""

MAP_REQUEST = Layout(
    "MapRequest",
    Constant(b"\x02\x01\x00\x00"),
    "lifetime" / U32,
    "client" / FixedBytes(16),
    "nonce" / FixedBytes(12),
    "protocol" / U8,
    Constant(b"\x00\x00\x00"),
    "internal_port" / U16,
    "external_port" / U16,
    "external_address" / FixedBytes(16),
    doc="A whole request for an outside port; a lifetime of 0 seconds gives it back. IPv4 addresses are mapped ones.",
)
ANSWER = Layout(
    "Answer",
    Constant(b"\x02"),
    "opcode" / Uint(8, minimum=128),
    "reserved" / U8,
    "result" / Uint(8, enum=RESULT),
    "lifetime" / U32,
    "epoch" / U32,
    "reserved_too" / FixedBytes(12),
    "data" / Bytes(MAX_DATA_BYTES),
    doc="Any answer, and the announcement; `lifetime` is that of a mapping, or how long a refusal stands.",
)
MAPPING = Layout(
    "Mapping",
    "nonce" / FixedBytes(12),
    "protocol" / U8,
    "reserved" / FixedBytes(3),
    "internal_port" / U16,
    "external_port" / U16,
    "external_address" / FixedBytes(16),
    "options" / OPTIONS,
    doc="The data of an answer to MAP.",
)

MODULE = Module(
    "pcp",
    "PCP, version 2: mappings, and the announcement of a router that lost them.",
    "RFC 6887 sections 7, 11 and 14",
    items={"map_request": MAP_REQUEST, "answer": ANSWER, "mapping": MAPPING},
    enums=(OPCODE, RESULT, PROTOCOL),
    constants={
        "VERSION": 2,
        "ANSWER_BIT": 128,
        "NONCE_BYTES": 12,
        "MAPPING_BYTES": 36,
        "MAX_MESSAGE_BYTES": 1100,
    },
)
