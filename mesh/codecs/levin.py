# GENERATED from protocol_specs/levin.py by tools.spec_compiler; do not edit.
# Schema abbc32142e7a8dec
"""Levin packet headers.

Specification: the Lethean mesh, section 15 (go-p2p e6e7fe0).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Self

from mesh.codecs.wire import Buffer, Record, outside, refused_number
from mesh.errors import Malformed, Truncated

SIGNATURE = 72340172838084865
MAX_PAYLOAD_BYTES = 104857600
FLAG_REQUEST = 1
FLAG_RESPONSE = 2
PROTOCOL_VERSION = 1


class Command(IntEnum):
    """What a packet is about."""

    HANDSHAKE = 1001
    TIMED_SYNC = 1002
    PING = 1003
    NEW_BLOCK = 2001
    NEW_TRANSACTIONS = 2002
    REQUEST_OBJECTS = 2003
    RESPONSE_OBJECTS = 2004
    REQUEST_CHAIN = 2006
    RESPONSE_CHAIN = 2007


class ReturnCode(IntEnum):
    """What came of a request; a signed number of 32 bits."""

    OK = 0
    CONNECTION = -1
    FORMAT = -7
    SIGNATURE = -13


HEADER = struct.Struct("<8sQBIIII")
HEADER_BYTES = 33


class Header(Record):
    """The 33 bytes before every payload. `return_code` is signed; `expect_response` is true for exactly 1."""

    __slots__ = ("payload_size", "expect_response", "command", "return_code", "flags", "version")

    MAX_BYTES = 33

    def __init__(
        self,
        payload_size: int,
        expect_response: int,
        command: int,
        return_code: int,
        flags: int,
        version: int,
    ) -> None:
        self.payload_size = payload_size
        self.expect_response = expect_response
        self.command = command
        self.return_code = return_code
        self.flags = flags
        self.version = version

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
            raise Malformed("Header", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 33:
            raise Truncated("Header", offset)
        constant_0, payload_size, expect_response, command, return_code, flags, version = HEADER.unpack_from(data, offset)
        if constant_0 != b"\x01\x21\x01\x01\x01\x01\x01\x01":
            raise Malformed("Header", offset, "the constant 0121010101010101 is not there")
        if payload_size > 104857600:
            raise outside("Header.payload_size", offset + 8, payload_size, 0, 104857600)
        offset += 33
        return cls(payload_size, expect_response, command, return_code, flags, version), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        if not 0 <= self.payload_size <= 104857600:
            raise refused_number("Header.payload_size", self.payload_size, 0, 104857600)
        if not 0 <= self.expect_response <= 255:
            raise refused_number("Header.expect_response", self.expect_response, 0, 255)
        if not 0 <= self.command <= 0xFFFFFFFF:
            raise refused_number("Header.command", self.command, 0, 0xFFFFFFFF)
        if not 0 <= self.return_code <= 0xFFFFFFFF:
            raise refused_number("Header.return_code", self.return_code, 0, 0xFFFFFFFF)
        if not 0 <= self.flags <= 0xFFFFFFFF:
            raise refused_number("Header.flags", self.flags, 0, 0xFFFFFFFF)
        if not 0 <= self.version <= 0xFFFFFFFF:
            raise refused_number("Header.version", self.version, 0, 0xFFFFFFFF)
        return HEADER.pack(
            b"\x01\x21\x01\x01\x01\x01\x01\x01",
            self.payload_size,
            self.expect_response,
            self.command,
            self.return_code,
            self.flags,
            self.version,
        )
