"""Levin packet headers (CryptoNote; go-p2p)."""

from __future__ import annotations

from protocol_specs.grammar import U8, Constant, Enum, Layout, Uint
from protocol_specs.module import Module

MAX_PAYLOAD_BYTES = 100 * 2**20
U32_LITTLE = Uint(32, little=True)

COMMAND = Enum(
    "Command",
    {
        "HANDSHAKE": 1001,
        "TIMED_SYNC": 1002,
        "PING": 1003,
        "NEW_BLOCK": 2001,
        "NEW_TRANSACTIONS": 2002,
        "REQUEST_OBJECTS": 2003,
        "RESPONSE_OBJECTS": 2004,
        "REQUEST_CHAIN": 2006,
        "RESPONSE_CHAIN": 2007,
    },
    closed=False,
    doc="What a packet is about.",
)
RETURN_CODE = Enum(
    "ReturnCode",
    {"OK": 0, "CONNECTION": -1, "FORMAT": -7, "SIGNATURE": -13},
    closed=False,
    doc="What came of a request; a signed number of 32 bits.",
)
HEADER = Layout(
    "Header",
    Constant(bytes.fromhex("0121010101010101")),
    "payload_size" / Uint(64, little=True, maximum=MAX_PAYLOAD_BYTES),
    "expect_response" / U8,
    "command" / U32_LITTLE,
    "return_code" / U32_LITTLE,
    "flags" / U32_LITTLE,
    "version" / U32_LITTLE,
    doc="The 33 bytes before every payload. `return_code` is signed; `expect_response` is true for exactly 1.",
)

MODULE = Module(
    "levin",
    "Levin packet headers.",
    "the Lethean mesh, section 15 (go-p2p e6e7fe0)",
    items={"header": HEADER},
    enums=(COMMAND, RETURN_CODE),
    constants={
        "SIGNATURE": 0x0101010101012101,
        "MAX_PAYLOAD_BYTES": MAX_PAYLOAD_BYTES,
        "FLAG_REQUEST": 1,
        "FLAG_RESPONSE": 2,
        "PROTOCOL_VERSION": 1,
    },
)
