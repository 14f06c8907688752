# GENERATED from protocol_specs/stun.py by tools.spec_compiler; do not edit.
# Schema ce892ef0ef7abdbc
"""STUN messages and the attributes a NAT test needs.

Specification: RFC 8489 sections 5 and 14; RFC 5780 section 7.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    Buffer,
    Record,
    encode_text,
    outside,
    refused,
    refused_count,
    refused_number,
    refused_size,
    too_long,
)
from mesh.errors import Malformed, Truncated

MAGIC_COOKIE = 554869826
FINGERPRINT_MASK = 1398035790
CHANGE_ADDRESS = 4
CHANGE_PORT = 2
FIRST_OPTIONAL = 32768
HEADER_LENGTH = 20
TRANSACTION_ID_BYTES = 12
_U16 = struct.Struct(">H")


class MessageType(IntEnum):
    """Method and class of a message. Others are kept, to be dropped by who reads them."""

    BINDING_REQUEST = 1
    BINDING_SUCCESS = 257
    BINDING_ERROR = 273


class AttributeType(IntEnum):
    """What an attribute is; one below 0x8000 must be understood by who gets it."""

    MAPPED_ADDRESS = 1
    CHANGE_REQUEST = 3
    USERNAME = 6
    MESSAGE_INTEGRITY = 8
    ERROR_CODE = 9
    UNKNOWN_ATTRIBUTES = 10
    REALM = 20
    NONCE = 21
    MESSAGE_INTEGRITY_SHA256 = 28
    XOR_MAPPED_ADDRESS = 32
    PADDING = 38
    RESPONSE_PORT = 39
    SOFTWARE = 32802
    ALTERNATE_SERVER = 32803
    FINGERPRINT = 32808
    RESPONSE_ORIGIN = 32811
    OTHER_ADDRESS = 32812


class Family(IntEnum):
    """What kind of host an address has."""

    IPV4 = 1
    IPV6 = 2


_MESSAGE_0 = struct.Struct(">HH4s12s")


class Message(Record):
    """A whole datagram; `length` is that of the attributes, padding included."""

    __slots__ = ("type", "length", "transaction_id", "attributes")

    MAX_BYTES = 66452

    def __init__(
        self,
        type: int,
        length: int,
        transaction_id: bytes,
        attributes: list[tuple[int, bytes]],
    ) -> None:
        self.type = type
        self.length = length
        self.transaction_id = transaction_id
        self.attributes = attributes

    @classmethod
    def decode_prefix(cls, data: Buffer, offset: int = 0) -> tuple[Self, int]:
        """Read one record that starts at `offset`; return it with the offset after it."""
        if not isinstance(data, bytes):
            data = bytes(data)
        return cls._read_part(data, offset, len(data))

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        value, stop = cls._read_part(data, offset, end)
        if stop != end:
            raise Malformed("Message", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 20:
            raise Truncated("Message", offset)
        type, length_, constant_2, transaction_id = _MESSAGE_0.unpack_from(data, offset)
        if type > 16383:
            raise outside("Message.type", offset, type, 0, 16383)
        if constant_2 != b"\x21\x12\xa4\x42":
            raise Malformed("Message", offset + 4, "the constant 2112a442 is not there")
        offset += 20
        attributes: list[tuple[int, bytes]]
        attributes = []
        while offset < end:
            if len(attributes) == 64:
                raise Malformed("Message.attributes", offset, "more than 64")
            if end - offset < 2:
                raise Truncated("Message.attributes", offset)
            (kind,) = _U16.unpack_from(data, offset)
            offset += 2
            if end - offset < 2:
                raise Truncated("Message.attributes", offset)
            (size_in,) = _U16.unpack_from(data, offset)
            if size_in > 1024:
                raise outside("Message.attributes", offset, size_in, 0, 1024)
            offset += 2
            stop_in = offset + size_in
            if stop_in > end:
                raise Truncated("Message.attributes", offset)
            item = bytes(data[offset:stop_in])
            offset = stop_in
            offset += -len(item) % 4
            if offset > end:
                raise Truncated("Message.attributes", end)
            attributes.append((kind, item))
        return cls(type, length_, transaction_id, attributes), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if not 0 <= self.type <= 16383:
            raise refused_number("Message.type", self.type, 0, 16383)
        if not 0 <= self.length <= 65535:
            raise refused_number("Message.length", self.length, 0, 65535)
        if len(self.transaction_id) != 12:
            raise refused("Message.transaction_id", f"{len(self.transaction_id)} bytes, wants 12")
        out.append(_MESSAGE_0.pack(self.type, self.length, b"\x21\x12\xa4\x42", self.transaction_id))
        if len(self.attributes) > 64:
            raise refused_count("Message.attributes", len(self.attributes), 64)
        for kind, content in self.attributes:
            if not 0 <= kind <= 65535:
                raise refused_number("Message.attributes", kind, 0, 65535)
            out.append(_U16.pack(kind))
            region = content
            if len(region) > 1024:
                raise refused_size("Message.attributes", len(region), 1024)
            out += (_U16.pack(len(region)), region)
            out.append(bytes(-len(content) % 4))
        return b"".join(out)


_ADDRESS_0 = struct.Struct(">BBH")


class Address(Record):
    """The value of MAPPED-ADDRESS and its like; in XOR-MAPPED-ADDRESS port and host are masked."""

    __slots__ = ("reserved", "family", "port", "host")

    MAX_BYTES = 20

    def __init__(self, reserved: int, family: int, port: int, host: bytes) -> None:
        self.reserved = reserved
        self.family = family
        self.port = port
        self.host = host

    @classmethod
    def decode_prefix(cls, data: Buffer, offset: int = 0) -> tuple[Self, int]:
        """Read one record that starts at `offset`; return it with the offset after it."""
        if not isinstance(data, bytes):
            data = bytes(data)
        return cls._read_part(data, offset, len(data))

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        value, stop = cls._read_part(data, offset, end)
        if stop != end:
            raise Malformed("Address", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 4:
            raise Truncated("Address", offset)
        reserved, family, port = _ADDRESS_0.unpack_from(data, offset)
        offset += 4
        host: bytes
        if end - offset > 16:
            raise too_long("Address.host", offset, end - offset, 16)
        host = bytes(data[offset:end])
        offset = end
        return cls(reserved, family, port, host), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if not 0 <= self.reserved <= 255:
            raise refused_number("Address.reserved", self.reserved, 0, 255)
        if not 0 <= self.family <= 255:
            raise refused_number("Address.family", self.family, 0, 255)
        if not 0 <= self.port <= 65535:
            raise refused_number("Address.port", self.port, 0, 65535)
        out.append(_ADDRESS_0.pack(self.reserved, self.family, self.port))
        if len(self.host) > 16:
            raise refused_size("Address.host", len(self.host), 16)
        out.append(self.host)
        return b"".join(out)


_ERROR_CODE_0 = struct.Struct(">HBB")


class ErrorCode(Record):
    """The value of ERROR-CODE; of `hundreds` the lowest three bits count."""

    __slots__ = ("reserved", "hundreds", "rest", "reason")

    MAX_BYTES = 767

    def __init__(self, reserved: int, hundreds: int, rest: int, reason: str) -> None:
        self.reserved = reserved
        self.hundreds = hundreds
        self.rest = rest
        self.reason = reason

    @classmethod
    def decode_prefix(cls, data: Buffer, offset: int = 0) -> tuple[Self, int]:
        """Read one record that starts at `offset`; return it with the offset after it."""
        if not isinstance(data, bytes):
            data = bytes(data)
        return cls._read_part(data, offset, len(data))

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        value, stop = cls._read_part(data, offset, end)
        if stop != end:
            raise Malformed("ErrorCode", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 4:
            raise Truncated("ErrorCode", offset)
        reserved, hundreds, rest = _ERROR_CODE_0.unpack_from(data, offset)
        if rest > 99:
            raise outside("ErrorCode.rest", offset + 3, rest, 0, 99)
        offset += 4
        reason: str
        if end - offset > 763:
            raise too_long("ErrorCode.reason", offset, end - offset, 763)
        try:
            reason = str(data[offset:end], "utf-8")
        except UnicodeDecodeError:
            raise Malformed("ErrorCode.reason", offset, "not UTF-8") from None
        offset = end
        return cls(reserved, hundreds, rest, reason), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if not 0 <= self.reserved <= 65535:
            raise refused_number("ErrorCode.reserved", self.reserved, 0, 65535)
        if not 0 <= self.hundreds <= 255:
            raise refused_number("ErrorCode.hundreds", self.hundreds, 0, 255)
        if not 0 <= self.rest <= 99:
            raise refused_number("ErrorCode.rest", self.rest, 0, 99)
        out.append(_ERROR_CODE_0.pack(self.reserved, self.hundreds, self.rest))
        encoded = encode_text(self.reason, "ErrorCode.reason")
        if len(encoded) > 763:
            raise refused_size("ErrorCode.reason", len(encoded), 763)
        out.append(encoded)
        return b"".join(out)


class UnknownAttributes(Record):
    """The value of UNKNOWN-ATTRIBUTES: what the server had to understand and does not."""

    __slots__ = ("types",)

    MAX_BYTES = 128

    def __init__(self, types: list[int]) -> None:
        self.types = types

    @classmethod
    def decode_prefix(cls, data: Buffer, offset: int = 0) -> tuple[Self, int]:
        """Read one record that starts at `offset`; return it with the offset after it."""
        if not isinstance(data, bytes):
            data = bytes(data)
        return cls._read_part(data, offset, len(data))

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        value, stop = cls._read_part(data, offset, end)
        if stop != end:
            raise Malformed("UnknownAttributes", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        types: list[int]
        types = []
        while offset < end:
            if len(types) == 64:
                raise Malformed("UnknownAttributes.types", offset, "more than 64")
            if end - offset < 2:
                raise Truncated("UnknownAttributes.types", offset)
            (item,) = _U16.unpack_from(data, offset)
            offset += 2
            types.append(item)
        return cls(types), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if len(self.types) > 64:
            raise refused_count("UnknownAttributes.types", len(self.types), 64)
        for element in self.types:
            if not 0 <= element <= 65535:
                raise refused_number("UnknownAttributes.types", element, 0, 65535)
            out.append(_U16.pack(element))
        return b"".join(out)


CHANGE_REQUEST = struct.Struct(">I")
CHANGE_REQUEST_BYTES = 4


class ChangeRequest(Record):
    """The value of CHANGE-REQUEST: from where the answer is to come."""

    __slots__ = ("flags",)

    MAX_BYTES = 4

    def __init__(self, flags: int) -> None:
        self.flags = flags

    @classmethod
    def decode_prefix(cls, data: Buffer, offset: int = 0) -> tuple[Self, int]:
        """Read one record that starts at `offset`; return it with the offset after it."""
        if not isinstance(data, bytes):
            data = bytes(data)
        return cls._read_part(data, offset, len(data))

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        value, stop = cls._read_part(data, offset, end)
        if stop != end:
            raise Malformed("ChangeRequest", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 4:
            raise Truncated("ChangeRequest", offset)
        (flags,) = CHANGE_REQUEST.unpack_from(data, offset)
        offset += 4
        return cls(flags), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        if not 0 <= self.flags <= 0xFFFFFFFF:
            raise refused_number("ChangeRequest.flags", self.flags, 0, 0xFFFFFFFF)
        return CHANGE_REQUEST.pack(self.flags)


FINGERPRINT = struct.Struct(">I")
FINGERPRINT_BYTES = 4


class Fingerprint(Record):
    """The value of FINGERPRINT: the CRC-32 of all before it, masked."""

    __slots__ = ("checksum",)

    MAX_BYTES = 4

    def __init__(self, checksum: int) -> None:
        self.checksum = checksum

    @classmethod
    def decode_prefix(cls, data: Buffer, offset: int = 0) -> tuple[Self, int]:
        """Read one record that starts at `offset`; return it with the offset after it."""
        if not isinstance(data, bytes):
            data = bytes(data)
        return cls._read_part(data, offset, len(data))

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        value, stop = cls._read_part(data, offset, end)
        if stop != end:
            raise Malformed("Fingerprint", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 4:
            raise Truncated("Fingerprint", offset)
        (checksum,) = FINGERPRINT.unpack_from(data, offset)
        offset += 4
        return cls(checksum), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        if not 0 <= self.checksum <= 0xFFFFFFFF:
            raise refused_number("Fingerprint.checksum", self.checksum, 0, 0xFFFFFFFF)
        return FINGERPRINT.pack(self.checksum)
