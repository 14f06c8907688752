# GENERATED from protocol_specs/nat_pmp.py by tools.spec_compiler; do not edit.
# Schema 7d4d273b3c6a31c0
"""NAT-PMP: what a host asks its router for outside ports with.

Specification: RFC 6886 section 3.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Self

from mesh.codecs.wire import Buffer, Record, outside, refused, refused_number, refused_size, too_long
from mesh.errors import Malformed, Truncated

SERVER_PORT = 5351
ANNOUNCEMENT_PORT = 5350
ANSWER = 128
MAX_ANSWER_BYTES = 1100


class Operation(IntEnum):
    """What a request asks for; its answer has 128 added."""

    ADDRESS = 0
    MAP_UDP = 1
    MAP_TCP = 2


class ResultCode(IntEnum):
    """What came of a request."""

    SUCCESS = 0
    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    NETWORK_FAILURE = 3
    OUT_OF_RESOURCES = 4
    UNSUPPORTED_OPCODE = 5


ADDRESS_REQUEST = struct.Struct(">2s")
ADDRESS_REQUEST_BYTES = 2


class AddressRequest(Record):
    """Asks for the router's outside address."""

    __slots__ = ()

    MAX_BYTES = 2

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
            raise Malformed("AddressRequest", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 2:
            raise Truncated("AddressRequest", offset)
        (constant_0,) = ADDRESS_REQUEST.unpack_from(data, offset)
        if constant_0 != b"\x00\x00":
            raise Malformed("AddressRequest", offset, "the constant 0000 is not there")
        offset += 2
        return cls(), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        return ADDRESS_REQUEST.pack(b"\x00\x00")


ADDRESS_ANSWER = struct.Struct(">2sHI4s")
ADDRESS_ANSWER_BYTES = 12


class AddressAnswer(Record):
    """The router's outside address; `epoch` is the seconds since it lost its mappings."""

    __slots__ = ("result", "epoch", "address")

    MAX_BYTES = 12

    def __init__(self, result: int, epoch: int, address: bytes) -> None:
        self.result = result
        self.epoch = epoch
        self.address = address

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
            raise Malformed("AddressAnswer", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 12:
            raise Truncated("AddressAnswer", offset)
        constant_0, result, epoch, address = ADDRESS_ANSWER.unpack_from(data, offset)
        if constant_0 != b"\x00\x80":
            raise Malformed("AddressAnswer", offset, "the constant 0080 is not there")
        offset += 12
        return cls(result, epoch, address), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        if not 0 <= self.result <= 65535:
            raise refused_number("AddressAnswer.result", self.result, 0, 65535)
        if not 0 <= self.epoch <= 0xFFFFFFFF:
            raise refused_number("AddressAnswer.epoch", self.epoch, 0, 0xFFFFFFFF)
        if len(self.address) != 4:
            raise refused("AddressAnswer.address", f"{len(self.address)} bytes, wants 4")
        return ADDRESS_ANSWER.pack(b"\x00\x80", self.result, self.epoch, self.address)


MAP_REQUEST = struct.Struct(">1sB2sHHI")
MAP_REQUEST_BYTES = 12


class MapRequest(Record):
    """Asks for an outside port; a lifetime of 0 seconds gives it back."""

    __slots__ = ("operation", "internal_port", "external_port", "lifetime")

    MAX_BYTES = 12

    def __init__(self, operation: int, internal_port: int, external_port: int, lifetime: int) -> None:
        self.operation = operation
        self.internal_port = internal_port
        self.external_port = external_port
        self.lifetime = lifetime

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
            raise Malformed("MapRequest", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 12:
            raise Truncated("MapRequest", offset)
        constant_0, operation, constant_2, internal_port, external_port, lifetime = MAP_REQUEST.unpack_from(data, offset)
        if constant_0 != b"\x00":
            raise Malformed("MapRequest", offset, "the constant 00 is not there")
        if not 1 <= operation <= 2:
            raise outside("MapRequest.operation", offset + 1, operation, 1, 2)
        if constant_2 != b"\x00\x00":
            raise Malformed("MapRequest", offset + 2, "the constant 0000 is not there")
        offset += 12
        return cls(operation, internal_port, external_port, lifetime), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        if not 1 <= self.operation <= 2:
            raise refused_number("MapRequest.operation", self.operation, 1, 2)
        if not 0 <= self.internal_port <= 65535:
            raise refused_number("MapRequest.internal_port", self.internal_port, 0, 65535)
        if not 0 <= self.external_port <= 65535:
            raise refused_number("MapRequest.external_port", self.external_port, 0, 65535)
        if not 0 <= self.lifetime <= 0xFFFFFFFF:
            raise refused_number("MapRequest.lifetime", self.lifetime, 0, 0xFFFFFFFF)
        return MAP_REQUEST.pack(
            b"\x00",
            self.operation,
            b"\x00\x00",
            self.internal_port,
            self.external_port,
            self.lifetime,
        )


MAP_ANSWER = struct.Struct(">1sBHIHHI")
MAP_ANSWER_BYTES = 16


class MapAnswer(Record):
    """The outside port that was given, and for how many seconds."""

    __slots__ = ("operation", "result", "epoch", "internal_port", "external_port", "lifetime")

    MAX_BYTES = 16

    def __init__(
        self,
        operation: int,
        result: int,
        epoch: int,
        internal_port: int,
        external_port: int,
        lifetime: int,
    ) -> None:
        self.operation = operation
        self.result = result
        self.epoch = epoch
        self.internal_port = internal_port
        self.external_port = external_port
        self.lifetime = lifetime

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
            raise Malformed("MapAnswer", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 16:
            raise Truncated("MapAnswer", offset)
        constant_0, operation, result, epoch, internal_port, external_port, lifetime = MAP_ANSWER.unpack_from(data, offset)
        if constant_0 != b"\x00":
            raise Malformed("MapAnswer", offset, "the constant 00 is not there")
        if not 129 <= operation <= 130:
            raise outside("MapAnswer.operation", offset + 1, operation, 129, 130)
        offset += 16
        return cls(operation, result, epoch, internal_port, external_port, lifetime), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        if not 129 <= self.operation <= 130:
            raise refused_number("MapAnswer.operation", self.operation, 129, 130)
        if not 0 <= self.result <= 65535:
            raise refused_number("MapAnswer.result", self.result, 0, 65535)
        if not 0 <= self.epoch <= 0xFFFFFFFF:
            raise refused_number("MapAnswer.epoch", self.epoch, 0, 0xFFFFFFFF)
        if not 0 <= self.internal_port <= 65535:
            raise refused_number("MapAnswer.internal_port", self.internal_port, 0, 65535)
        if not 0 <= self.external_port <= 65535:
            raise refused_number("MapAnswer.external_port", self.external_port, 0, 65535)
        if not 0 <= self.lifetime <= 0xFFFFFFFF:
            raise refused_number("MapAnswer.lifetime", self.lifetime, 0, 0xFFFFFFFF)
        return MAP_ANSWER.pack(
            b"\x00",
            self.operation,
            self.result,
            self.epoch,
            self.internal_port,
            self.external_port,
            self.lifetime,
        )


_HEAD_0 = struct.Struct(">BBHI")


class Head(Record):
    """What every answer begins with, also one to a version that the router does not speak."""

    __slots__ = ("version", "operation", "result", "epoch", "rest")

    MAX_BYTES = 1100

    def __init__(self, version: int, operation: int, result: int, epoch: int, rest: bytes) -> None:
        self.version = version
        self.operation = operation
        self.result = result
        self.epoch = epoch
        self.rest = rest

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
            raise Malformed("Head", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 8:
            raise Truncated("Head", offset)
        version, operation, result, epoch = _HEAD_0.unpack_from(data, offset)
        if operation < 128:
            raise outside("Head.operation", offset + 1, operation, 128, 255)
        offset += 8
        rest: bytes
        if end - offset > 1092:
            raise too_long("Head.rest", offset, end - offset, 1092)
        rest = bytes(data[offset:end])
        offset = end
        return cls(version, operation, result, epoch, rest), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if not 0 <= self.version <= 255:
            raise refused_number("Head.version", self.version, 0, 255)
        if not 128 <= self.operation <= 255:
            raise refused_number("Head.operation", self.operation, 128, 255)
        if not 0 <= self.result <= 65535:
            raise refused_number("Head.result", self.result, 0, 65535)
        if not 0 <= self.epoch <= 0xFFFFFFFF:
            raise refused_number("Head.epoch", self.epoch, 0, 0xFFFFFFFF)
        out.append(_HEAD_0.pack(self.version, self.operation, self.result, self.epoch))
        if len(self.rest) > 1092:
            raise refused_size("Head.rest", len(self.rest), 1092)
        out.append(self.rest)
        return b"".join(out)
