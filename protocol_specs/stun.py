"""STUN messages and the attributes a NAT test needs (RFC 8489 sections 5, 14; RFC 5780 section 7)."""

from __future__ import annotations

from protocol_specs.grammar import (
    U8,
    U16,
    U32,
    Bytes,
    Constant,
    Enum,
    FixedBytes,
    Layout,
    Repeat,
    Text,
    Tlv,
    Uint,
)
from protocol_specs.module import Module

MAGIC_COOKIE = 0x2112A442
MAX_VALUE_BYTES = 1024
"""The longest attributes of the RFC are texts of 763 bytes."""

MAX_ATTRIBUTES = 64
MAX_REASON_BYTES = 763
FAMILIES = Enum("Family", {"IPV4": 1, "IPV6": 2}, closed=False, doc="What kind of host an address has.")

MESSAGE_TYPE = Enum(
    "MessageType",
    {"BINDING_REQUEST": 0x0001, "BINDING_SUCCESS": 0x0101, "BINDING_ERROR": 0x0111},
    closed=False,
    doc="Method and class of a message. Others are kept, to be dropped by who reads them.",
)
ATTRIBUTE = Enum(
    "AttributeType",
    {
        "MAPPED_ADDRESS": 0x0001,
        "CHANGE_REQUEST": 0x0003,
        "USERNAME": 0x0006,
        "MESSAGE_INTEGRITY": 0x0008,
        "ERROR_CODE": 0x0009,
        "UNKNOWN_ATTRIBUTES": 0x000A,
        "REALM": 0x0014,
        "NONCE": 0x0015,
        "MESSAGE_INTEGRITY_SHA256": 0x001C,
        "XOR_MAPPED_ADDRESS": 0x0020,
        "PADDING": 0x0026,
        "RESPONSE_PORT": 0x0027,
        "SOFTWARE": 0x8022,
        "ALTERNATE_SERVER": 0x8023,
        "FINGERPRINT": 0x8028,
        "RESPONSE_ORIGIN": 0x802B,
        "OTHER_ADDRESS": 0x802C,
    },
    closed=False,
    doc="What an attribute is; one below 0x8000 must be understood by who gets it.",
)

MESSAGE = Layout(
    "Message",
    "type" / Uint(16, maximum=0x3FFF),
    "length" / U16,
    Constant(MAGIC_COOKIE.to_bytes(4, "big")),
    "transaction_id" / FixedBytes(12),
    "attributes" / Tlv(kind=U16, length=U16, max_bytes=MAX_VALUE_BYTES, max_count=MAX_ATTRIBUTES, align=4),
    doc="A whole datagram; `length` is that of the attributes, padding included.",
)
ADDRESS = Layout(
    "Address",
    "reserved" / U8,
    "family" / U8,
    "port" / U16,
    "host" / Bytes(16),
    doc="The value of MAPPED-ADDRESS and its like; in XOR-MAPPED-ADDRESS port and host are masked.",
)
ERROR_CODE = Layout(
    "ErrorCode",
    "reserved" / U16,
    "hundreds" / U8,
    "rest" / Uint(8, maximum=99),
    "reason" / Text(MAX_REASON_BYTES),
    doc="The value of ERROR-CODE; of `hundreds` the lowest three bits count.",
)
UNKNOWN_ATTRIBUTES = Layout(
    "UnknownAttributes",
    "types" / Repeat(U16, max_count=MAX_ATTRIBUTES),
    doc="The value of UNKNOWN-ATTRIBUTES: what the server had to understand and does not.",
)
CHANGE_REQUEST = Layout(
    "ChangeRequest",
    "flags" / U32,
    doc="The value of CHANGE-REQUEST: from where the answer is to come.",
)
FINGERPRINT = Layout(
    "Fingerprint",
    "checksum" / U32,
    doc="The value of FINGERPRINT: the CRC-32 of all before it, masked.",
)

MODULE = Module(
    "stun",
    "STUN messages and the attributes a NAT test needs.",
    "RFC 8489 sections 5 and 14; RFC 5780 section 7",
    items={
        "message": MESSAGE,
        "address": ADDRESS,
        "error_code": ERROR_CODE,
        "unknown_attributes": UNKNOWN_ATTRIBUTES,
        "change_request": CHANGE_REQUEST,
        "fingerprint": FINGERPRINT,
    },
    enums=(MESSAGE_TYPE, ATTRIBUTE, FAMILIES),
    constants={
        "MAGIC_COOKIE": MAGIC_COOKIE,
        "FINGERPRINT_MASK": 0x5354554E,
        "CHANGE_ADDRESS": 0x4,
        "CHANGE_PORT": 0x2,
        "FIRST_OPTIONAL": 0x8000,
        "HEADER_LENGTH": 20,
        "TRANSACTION_ID_BYTES": 12,
    },
)
