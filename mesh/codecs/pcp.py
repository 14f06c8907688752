# GENERATED from protocol_specs/pcp.py by tools.spec_compiler; do not edit.
# Schema 08e59584e59dc7d2
"""PCP, version 2: mappings, and the announcement of a router that lost them.

Specification: RFC 6887 sections 7, 11 and 14.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    Buffer,
    Record,
    outside,
    refused,
    refused_count,
    refused_number,
    refused_size,
    too_long,
)
from mesh.errors import Malformed, Truncated

VERSION = 2
ANSWER_BIT = 128
NONCE_BYTES = 12
MAPPING_BYTES = 36
MAX_MESSAGE_BYTES = 1100
_U16 = struct.Struct(">H")


class Opcode(IntEnum):
    """What a request asks for; its answer has 128 added."""

    ANNOUNCE = 0
    MAP = 1
    PEER = 2


class ResultCode(IntEnum):
    """What came of a request."""

    SUCCESS = 0
    UNSUPP_VERSION = 1
    NOT_AUTHORIZED = 2
    MALFORMED_REQUEST = 3
    UNSUPP_OPCODE = 4
    UNSUPP_OPTION = 5
    MALFORMED_OPTION = 6
    NETWORK_FAILURE = 7
    NO_RESOURCES = 8
    UNSUPP_PROTOCOL = 9
    USER_EX_QUOTA = 10
    CANNOT_PROVIDE_EXTERNAL = 11
    ADDRESS_MISMATCH = 12
    EXCESSIVE_REMOTE_PEERS = 13


class Protocol(IntEnum):
    """Transports by their number at IANA."""

    TCP = 6
    UDP = 17


MAP_REQUEST = struct.Struct(">4sI16s12sB3sHH16s")
MAP_REQUEST_BYTES = 60


class MapRequest(Record):
    """A whole request for an outside port; a lifetime of 0 seconds gives it back. IPv4 addresses are mapped
    ones.
    """

    __slots__ = (
        "lifetime",
        "client",
        "nonce",
        "protocol",
        "internal_port",
        "external_port",
        "external_address",
    )

    MAX_BYTES = 60

    def __init__(
        self,
        lifetime: int,
        client: bytes,
        nonce: bytes,
        protocol: int,
        internal_port: int,
        external_port: int,
        external_address: bytes,
    ) -> None:
        self.lifetime = lifetime
        self.client = client
        self.nonce = nonce
        self.protocol = protocol
        self.internal_port = internal_port
        self.external_port = external_port
        self.external_address = external_address

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
        if end - offset < 60:
            raise Truncated("MapRequest", offset)
        constant_0, lifetime, client, nonce, protocol, constant_5, internal_port, external_port, external_address = MAP_REQUEST.unpack_from(data, offset)
        if constant_0 != b"\x02\x01\x00\x00":
            raise Malformed("MapRequest", offset, "the constant 02010000 is not there")
        if constant_5 != b"\x00\x00\x00":
            raise Malformed("MapRequest", offset + 37, "the constant 000000 is not there")
        offset += 60
        return cls(lifetime, client, nonce, protocol, internal_port, external_port, external_address), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        if not 0 <= self.lifetime <= 0xFFFFFFFF:
            raise refused_number("MapRequest.lifetime", self.lifetime, 0, 0xFFFFFFFF)
        if len(self.client) != 16:
            raise refused("MapRequest.client", f"{len(self.client)} bytes, wants 16")
        if len(self.nonce) != 12:
            raise refused("MapRequest.nonce", f"{len(self.nonce)} bytes, wants 12")
        if not 0 <= self.protocol <= 255:
            raise refused_number("MapRequest.protocol", self.protocol, 0, 255)
        if not 0 <= self.internal_port <= 65535:
            raise refused_number("MapRequest.internal_port", self.internal_port, 0, 65535)
        if not 0 <= self.external_port <= 65535:
            raise refused_number("MapRequest.external_port", self.external_port, 0, 65535)
        if len(self.external_address) != 16:
            raise refused("MapRequest.external_address", f"{len(self.external_address)} bytes, wants 16")
        return MAP_REQUEST.pack(
            b"\x02\x01\x00\x00",
            self.lifetime,
            self.client,
            self.nonce,
            self.protocol,
            b"\x00\x00\x00",
            self.internal_port,
            self.external_port,
            self.external_address,
        )


_ANSWER_0 = struct.Struct(">1sBBBII12s")


class Answer(Record):
    """Any answer, and the announcement; `lifetime` is that of a mapping, or how long a refusal stands."""

    __slots__ = ("opcode", "reserved", "result", "lifetime", "epoch", "reserved_too", "data")

    MAX_BYTES = 1100

    def __init__(
        self,
        opcode: int,
        reserved: int,
        result: int,
        lifetime: int,
        epoch: int,
        reserved_too: bytes,
        data: bytes,
    ) -> None:
        self.opcode = opcode
        self.reserved = reserved
        self.result = result
        self.lifetime = lifetime
        self.epoch = epoch
        self.reserved_too = reserved_too
        self.data = data

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
            raise Malformed("Answer", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 24:
            raise Truncated("Answer", offset)
        constant_0, opcode, reserved, result, lifetime, epoch, reserved_too = _ANSWER_0.unpack_from(data, offset)
        if constant_0 != b"\x02":
            raise Malformed("Answer", offset, "the constant 02 is not there")
        if opcode < 128:
            raise outside("Answer.opcode", offset + 1, opcode, 128, 255)
        offset += 24
        data_: bytes
        if end - offset > 1076:
            raise too_long("Answer.data", offset, end - offset, 1076)
        data_ = bytes(data[offset:end])
        offset = end
        return cls(opcode, reserved, result, lifetime, epoch, reserved_too, data_), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if not 128 <= self.opcode <= 255:
            raise refused_number("Answer.opcode", self.opcode, 128, 255)
        if not 0 <= self.reserved <= 255:
            raise refused_number("Answer.reserved", self.reserved, 0, 255)
        if not 0 <= self.result <= 255:
            raise refused_number("Answer.result", self.result, 0, 255)
        if not 0 <= self.lifetime <= 0xFFFFFFFF:
            raise refused_number("Answer.lifetime", self.lifetime, 0, 0xFFFFFFFF)
        if not 0 <= self.epoch <= 0xFFFFFFFF:
            raise refused_number("Answer.epoch", self.epoch, 0, 0xFFFFFFFF)
        if len(self.reserved_too) != 12:
            raise refused("Answer.reserved_too", f"{len(self.reserved_too)} bytes, wants 12")
        out.append(_ANSWER_0.pack(
            b"\x02",
            self.opcode,
            self.reserved,
            self.result,
            self.lifetime,
            self.epoch,
            self.reserved_too,
        ))
        if len(self.data) > 1076:
            raise refused_size("Answer.data", len(self.data), 1076)
        out.append(self.data)
        return b"".join(out)


_MAPPING_0 = struct.Struct(">12sB3sHH16s")


class Mapping(Record):
    """The data of an answer to MAP."""

    __slots__ = (
        "nonce",
        "protocol",
        "reserved",
        "internal_port",
        "external_port",
        "external_address",
        "options",
    )

    MAX_BYTES = 32996

    def __init__(
        self,
        nonce: bytes,
        protocol: int,
        reserved: bytes,
        internal_port: int,
        external_port: int,
        external_address: bytes,
        options: list[tuple[int, bytes]],
    ) -> None:
        self.nonce = nonce
        self.protocol = protocol
        self.reserved = reserved
        self.internal_port = internal_port
        self.external_port = external_port
        self.external_address = external_address
        self.options = options

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
            raise Malformed("Mapping", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 36:
            raise Truncated("Mapping", offset)
        nonce, protocol, reserved, internal_port, external_port, external_address = _MAPPING_0.unpack_from(data, offset)
        offset += 36
        options: list[tuple[int, bytes]]
        options = []
        while offset < end:
            if len(options) == 32:
                raise Malformed("Mapping.options", offset, "more than 32")
            if end - offset < 2:
                raise Truncated("Mapping.options", offset)
            (kind,) = _U16.unpack_from(data, offset)
            offset += 2
            if end - offset < 2:
                raise Truncated("Mapping.options", offset)
            (size_in,) = _U16.unpack_from(data, offset)
            if size_in > 1016:
                raise outside("Mapping.options", offset, size_in, 0, 1016)
            offset += 2
            stop_in = offset + size_in
            if stop_in > end:
                raise Truncated("Mapping.options", offset)
            item = bytes(data[offset:stop_in])
            offset = stop_in
            offset += -len(item) % 4
            if offset > end:
                raise Truncated("Mapping.options", end)
            options.append((kind, item))
        return cls(nonce, protocol, reserved, internal_port, external_port, external_address, options), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if len(self.nonce) != 12:
            raise refused("Mapping.nonce", f"{len(self.nonce)} bytes, wants 12")
        if not 0 <= self.protocol <= 255:
            raise refused_number("Mapping.protocol", self.protocol, 0, 255)
        if len(self.reserved) != 3:
            raise refused("Mapping.reserved", f"{len(self.reserved)} bytes, wants 3")
        if not 0 <= self.internal_port <= 65535:
            raise refused_number("Mapping.internal_port", self.internal_port, 0, 65535)
        if not 0 <= self.external_port <= 65535:
            raise refused_number("Mapping.external_port", self.external_port, 0, 65535)
        if len(self.external_address) != 16:
            raise refused("Mapping.external_address", f"{len(self.external_address)} bytes, wants 16")
        out.append(_MAPPING_0.pack(
            self.nonce,
            self.protocol,
            self.reserved,
            self.internal_port,
            self.external_port,
            self.external_address,
        ))
        if len(self.options) > 32:
            raise refused_count("Mapping.options", len(self.options), 32)
        for kind, content in self.options:
            if not 0 <= kind <= 65535:
                raise refused_number("Mapping.options", kind, 0, 65535)
            out.append(_U16.pack(kind))
            region = content
            if len(region) > 1016:
                raise refused_size("Mapping.options", len(region), 1016)
            out += (_U16.pack(len(region)), region)
            out.append(bytes(-len(content) % 4))
        return b"".join(out)
