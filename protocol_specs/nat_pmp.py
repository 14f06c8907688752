"""NAT-PMP: what a host asks its router for outside ports with (RFC 6886 section 3)."""

from __future__ import annotations

from protocol_specs.grammar import U8, U16, U32, Bytes, Constant, Enum, FixedBytes, Layout, Uint
from protocol_specs.module import Module

MAX_REST_BYTES = 1092
"""An answer is as long as its operation makes it, 16 bytes at most; PCP shares the port and allows 1100."""

OPERATION = Enum(
    "Operation",
    {"ADDRESS": 0, "MAP_UDP": 1, "MAP_TCP": 2},
    doc="What a request asks for; its answer has 128 added.",
)
RESULT = Enum(
    "ResultCode",
    {
        "SUCCESS": 0,
        "UNSUPPORTED_VERSION": 1,
        "NOT_AUTHORIZED": 2,
        "NETWORK_FAILURE": 3,
        "OUT_OF_RESOURCES": 4,
        "UNSUPPORTED_OPCODE": 5,
    },
    closed=False,
    doc="What came of a request.",
)

ADDRESS_REQUEST = Layout(
    "AddressRequest",
    Constant(b"\x00\x00"),
    doc="Asks for the router's outside address.",
)
ADDRESS_ANSWER = Layout(
    "AddressAnswer",
    Constant(b"\x00\x80"),
    "result" / Uint(16, enum=RESULT),
    "epoch" / U32,
    "address" / FixedBytes(4),
    doc="The router's outside address; `epoch` is the seconds since it lost its mappings.",
)
MAP_REQUEST = Layout(
    "MapRequest",
    Constant(b"\x00"),
    "operation" / Uint(8, minimum=1, maximum=2),
    Constant(b"\x00\x00"),
    "internal_port" / U16,
    "external_port" / U16,
    "lifetime" / U32,
    doc="Asks for an outside port; a lifetime of 0 seconds gives it back.",
)
MAP_ANSWER = Layout(
    "MapAnswer",
    Constant(b"\x00"),
    "operation" / Uint(8, minimum=129, maximum=130),
    "result" / Uint(16, enum=RESULT),
    "epoch" / U32,
    "internal_port" / U16,
    "external_port" / U16,
    "lifetime" / U32,
    doc="The outside port that was given, and for how many seconds.",
)
HEAD = Layout(
    "Head",
    "version" / U8,
    "operation" / Uint(8, minimum=128),
    "result" / Uint(16, enum=RESULT),
    "epoch" / U32,
    "rest" / Bytes(MAX_REST_BYTES),
    doc="What every answer begins with, also one to a version that the router does not speak.",
)

MODULE = Module(
    "nat_pmp",
    "NAT-PMP: what a host asks its router for outside ports with.",
    "RFC 6886 section 3",
    items={
        "address_request": ADDRESS_REQUEST,
        "address_answer": ADDRESS_ANSWER,
        "map_request": MAP_REQUEST,
        "map_answer": MAP_ANSWER,
        "head": HEAD,
    },
    enums=(OPERATION, RESULT),
    constants={"SERVER_PORT": 5351, "ANNOUNCEMENT_PORT": 5350, "ANSWER": 128, "MAX_ANSWER_BYTES": 1100},
)
