# GENERATED from protocol_specs/quic.py by tools.spec_compiler; do not edit.
# Schema 5653c7ca63b16d50
"""What of QUIC's packets is in the clear, and our Retry tokens.

Specification: RFC 8999; RFC 9000 section 17; RFC 9001 section 5.8.
"""

from __future__ import annotations

import struct
from typing import Self

from mesh.codecs.wire import (
    Buffer,
    Record,
    encode_varint62,
    outside,
    read_varint62,
    refused,
    refused_count,
    refused_number,
    refused_size,
    too_long,
)
from mesh.errors import Malformed, Truncated

VERSION_1 = 1
MIN_INITIAL_DATAGRAM_BYTES = 1200
MAX_ID_BYTES = 20
OWN_ID_BYTES = 8
MIN_ORIGINAL_ID_BYTES = 8
MAX_TOKEN_BYTES = 1024
TAG_BYTES = 16
MIN_RESET_BYTES = 21
RESET_TOKEN_BYTES = 16
_U32 = struct.Struct(">I")

_LONG_HEADER_0 = struct.Struct(">BI")


class LongHeader(Record):
    """How a packet with a long header begins in every version (RFC 8999 section 5.1)."""

    __slots__ = ("first", "version", "destination_id", "source_id")

    MAX_BYTES = 533

    def __init__(self, first: int, version: int, destination_id: bytes, source_id: bytes) -> None:
        self.first = first
        self.version = version
        self.destination_id = destination_id
        self.source_id = source_id

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
            raise Malformed("LongHeader", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 5:
            raise Truncated("LongHeader", offset)
        first, version = _LONG_HEADER_0.unpack_from(data, offset)
        if first < 128:
            raise outside("LongHeader.first", offset, first, 128, 255)
        offset += 5
        destination_id: bytes
        if end - offset < 1:
            raise Truncated("LongHeader.destination_id", offset)
        size = data[offset]
        offset += 1
        stop = offset + size
        if stop > end:
            raise Truncated("LongHeader.destination_id", offset)
        destination_id = bytes(data[offset:stop])
        offset = stop
        source_id: bytes
        if end - offset < 1:
            raise Truncated("LongHeader.source_id", offset)
        size = data[offset]
        offset += 1
        stop = offset + size
        if stop > end:
            raise Truncated("LongHeader.source_id", offset)
        source_id = bytes(data[offset:stop])
        offset = stop
        return cls(first, version, destination_id, source_id), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if not 128 <= self.first <= 255:
            raise refused_number("LongHeader.first", self.first, 128, 255)
        if not 0 <= self.version <= 0xFFFFFFFF:
            raise refused_number("LongHeader.version", self.version, 0, 0xFFFFFFFF)
        out.append(_LONG_HEADER_0.pack(self.first, self.version))
        region = self.destination_id
        if len(region) > 255:
            raise refused_size("LongHeader.destination_id", len(region), 255)
        out += (bytes((len(region),)), region)
        region = self.source_id
        if len(region) > 255:
            raise refused_size("LongHeader.source_id", len(region), 255)
        out += (bytes((len(region),)), region)
        return b"".join(out)


_VERSION_NEGOTIATION_0 = struct.Struct(">B4s")


class VersionNegotiation(Record):
    """A whole packet: the versions a server speaks (RFC 8999 section 6); the ids are the client's,
    exchanged.
    """

    __slots__ = ("first", "destination_id", "source_id", "versions")

    MAX_BYTES = 789

    def __init__(self, first: int, destination_id: bytes, source_id: bytes, versions: list[int]) -> None:
        self.first = first
        self.destination_id = destination_id
        self.source_id = source_id
        self.versions = versions

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
            raise Malformed("VersionNegotiation", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 5:
            raise Truncated("VersionNegotiation", offset)
        first, constant_1 = _VERSION_NEGOTIATION_0.unpack_from(data, offset)
        if first < 128:
            raise outside("VersionNegotiation.first", offset, first, 128, 255)
        if constant_1 != b"\x00\x00\x00\x00":
            raise Malformed("VersionNegotiation", offset + 1, "the constant 00000000 is not there")
        offset += 5
        destination_id: bytes
        if end - offset < 1:
            raise Truncated("VersionNegotiation.destination_id", offset)
        size = data[offset]
        offset += 1
        stop = offset + size
        if stop > end:
            raise Truncated("VersionNegotiation.destination_id", offset)
        destination_id = bytes(data[offset:stop])
        offset = stop
        source_id: bytes
        if end - offset < 1:
            raise Truncated("VersionNegotiation.source_id", offset)
        size = data[offset]
        offset += 1
        stop = offset + size
        if stop > end:
            raise Truncated("VersionNegotiation.source_id", offset)
        source_id = bytes(data[offset:stop])
        offset = stop
        versions: list[int]
        versions = []
        while offset < end:
            if len(versions) == 64:
                raise Malformed("VersionNegotiation.versions", offset, "more than 64")
            if end - offset < 4:
                raise Truncated("VersionNegotiation.versions", offset)
            (item,) = _U32.unpack_from(data, offset)
            offset += 4
            versions.append(item)
        if len(versions) < 1:
            raise Malformed("VersionNegotiation.versions", offset, f"{len(versions)} elements, at least 1")
        return cls(first, destination_id, source_id, versions), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if not 128 <= self.first <= 255:
            raise refused_number("VersionNegotiation.first", self.first, 128, 255)
        out.append(_VERSION_NEGOTIATION_0.pack(self.first, b"\x00\x00\x00\x00"))
        region = self.destination_id
        if len(region) > 255:
            raise refused_size("VersionNegotiation.destination_id", len(region), 255)
        out += (bytes((len(region),)), region)
        region = self.source_id
        if len(region) > 255:
            raise refused_size("VersionNegotiation.source_id", len(region), 255)
        out += (bytes((len(region),)), region)
        if len(self.versions) < 1:
            raise refused("VersionNegotiation.versions", f"{len(self.versions)} elements, at least 1")
        if len(self.versions) > 64:
            raise refused_count("VersionNegotiation.versions", len(self.versions), 64)
        for element in self.versions:
            if not 0 <= element <= 0xFFFFFFFF:
                raise refused_number("VersionNegotiation.versions", element, 0, 0xFFFFFFFF)
            out.append(_U32.pack(element))
        return b"".join(out)


_INITIAL_0 = struct.Struct(">B4s")


class Initial(Record):
    """What stands before the packet number of an Initial of version 1; `length` counts from there (section
    17.2.2).
    """

    __slots__ = ("first", "destination_id", "source_id", "token", "length")

    MAX_BYTES = 1104

    def __init__(
        self,
        first: int,
        destination_id: bytes,
        source_id: bytes,
        token: bytes,
        length: int,
    ) -> None:
        self.first = first
        self.destination_id = destination_id
        self.source_id = source_id
        self.token = token
        self.length = length

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
            raise Malformed("Initial", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 5:
            raise Truncated("Initial", offset)
        first, constant_1 = _INITIAL_0.unpack_from(data, offset)
        if not 192 <= first <= 207:
            raise outside("Initial.first", offset, first, 192, 207)
        if constant_1 != b"\x00\x00\x00\x01":
            raise Malformed("Initial", offset + 1, "the constant 00000001 is not there")
        offset += 5
        destination_id: bytes
        if end - offset < 1:
            raise Truncated("Initial.destination_id", offset)
        size = data[offset]
        if size > 20:
            raise outside("Initial.destination_id", offset, size, 0, 20)
        offset += 1
        stop = offset + size
        if stop > end:
            raise Truncated("Initial.destination_id", offset)
        destination_id = bytes(data[offset:stop])
        offset = stop
        source_id: bytes
        if end - offset < 1:
            raise Truncated("Initial.source_id", offset)
        size = data[offset]
        if size > 20:
            raise outside("Initial.source_id", offset, size, 0, 20)
        offset += 1
        stop = offset + size
        if stop > end:
            raise Truncated("Initial.source_id", offset)
        source_id = bytes(data[offset:stop])
        offset = stop
        token: bytes
        size, offset = read_varint62(data, offset, end, 0, 1024, "Initial.token")
        stop = offset + size
        if stop > end:
            raise Truncated("Initial.token", offset)
        token = bytes(data[offset:stop])
        offset = stop
        length_: int
        length_, offset = read_varint62(data, offset, end, 0, 65535, "Initial.length")
        return cls(first, destination_id, source_id, token, length_), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if not 192 <= self.first <= 207:
            raise refused_number("Initial.first", self.first, 192, 207)
        out.append(_INITIAL_0.pack(self.first, b"\x00\x00\x00\x01"))
        region = self.destination_id
        if len(region) > 20:
            raise refused_size("Initial.destination_id", len(region), 20)
        out += (bytes((len(region),)), region)
        region = self.source_id
        if len(region) > 20:
            raise refused_size("Initial.source_id", len(region), 20)
        out += (bytes((len(region),)), region)
        region = self.token
        if len(region) > 1024:
            raise refused_size("Initial.token", len(region), 1024)
        out += (encode_varint62(len(region)), region)
        if not 0 <= self.length <= 65535:
            raise refused_number("Initial.length", self.length, 0, 65535)
        out.append(encode_varint62(self.length))
        return b"".join(out)


_RETRY_0 = struct.Struct(">B4s")


class Retry(Record):
    """A whole Retry packet of version 1; the last 16 bytes are its integrity tag (section 17.2.5)."""

    __slots__ = ("first", "destination_id", "source_id", "token_and_tag")

    MAX_BYTES = 1103

    def __init__(self, first: int, destination_id: bytes, source_id: bytes, token_and_tag: bytes) -> None:
        self.first = first
        self.destination_id = destination_id
        self.source_id = source_id
        self.token_and_tag = token_and_tag

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
            raise Malformed("Retry", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 5:
            raise Truncated("Retry", offset)
        first, constant_1 = _RETRY_0.unpack_from(data, offset)
        if first < 240:
            raise outside("Retry.first", offset, first, 240, 255)
        if constant_1 != b"\x00\x00\x00\x01":
            raise Malformed("Retry", offset + 1, "the constant 00000001 is not there")
        offset += 5
        destination_id: bytes
        if end - offset < 1:
            raise Truncated("Retry.destination_id", offset)
        size = data[offset]
        if size > 20:
            raise outside("Retry.destination_id", offset, size, 0, 20)
        offset += 1
        stop = offset + size
        if stop > end:
            raise Truncated("Retry.destination_id", offset)
        destination_id = bytes(data[offset:stop])
        offset = stop
        source_id: bytes
        if end - offset < 1:
            raise Truncated("Retry.source_id", offset)
        size = data[offset]
        if size > 20:
            raise outside("Retry.source_id", offset, size, 0, 20)
        offset += 1
        stop = offset + size
        if stop > end:
            raise Truncated("Retry.source_id", offset)
        source_id = bytes(data[offset:stop])
        offset = stop
        token_and_tag: bytes
        if end - offset > 1040:
            raise too_long("Retry.token_and_tag", offset, end - offset, 1040)
        token_and_tag = bytes(data[offset:end])
        offset = end
        return cls(first, destination_id, source_id, token_and_tag), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if not 240 <= self.first <= 255:
            raise refused_number("Retry.first", self.first, 240, 255)
        out.append(_RETRY_0.pack(self.first, b"\x00\x00\x00\x01"))
        region = self.destination_id
        if len(region) > 20:
            raise refused_size("Retry.destination_id", len(region), 20)
        out += (bytes((len(region),)), region)
        region = self.source_id
        if len(region) > 20:
            raise refused_size("Retry.source_id", len(region), 20)
        out += (bytes((len(region),)), region)
        if len(self.token_and_tag) > 1040:
            raise refused_size("Retry.token_and_tag", len(self.token_and_tag), 1040)
        out.append(self.token_and_tag)
        return b"".join(out)


SHORT_HEADER = struct.Struct(">B8s")
SHORT_HEADER_BYTES = 9


class ShortHeader(Record):
    """How a packet with a short header begins if its receiver issues ids of 8 bytes (section 17.3)."""

    __slots__ = ("first", "destination_id")

    MAX_BYTES = 9

    def __init__(self, first: int, destination_id: bytes) -> None:
        self.first = first
        self.destination_id = destination_id

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
            raise Malformed("ShortHeader", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 9:
            raise Truncated("ShortHeader", offset)
        first, destination_id = SHORT_HEADER.unpack_from(data, offset)
        if not 64 <= first <= 127:
            raise outside("ShortHeader.first", offset, first, 64, 127)
        offset += 9
        return cls(first, destination_id), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        if not 64 <= self.first <= 127:
            raise refused_number("ShortHeader.first", self.first, 64, 127)
        if len(self.destination_id) != 8:
            raise refused("ShortHeader.destination_id", f"{len(self.destination_id)} bytes, wants 8")
        return SHORT_HEADER.pack(self.first, self.destination_id)


_RETRY_TOKEN_0 = struct.Struct(">Q")
_RETRY_TOKEN_2 = struct.Struct(">8s")


class RetryToken(Record):
    """Our own: what a Retry token holds under its seal. `expires_ms` is on the clock of who made it,
    `original_id` the destination of the Initial that it answers, `retry_id` the source of the Retry.
    """

    __slots__ = ("expires_ms", "original_id", "retry_id")

    MAX_BYTES = 45

    def __init__(self, expires_ms: int, original_id: bytes, retry_id: bytes) -> None:
        self.expires_ms = expires_ms
        self.original_id = original_id
        self.retry_id = retry_id

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
            raise Malformed("RetryToken", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 8:
            raise Truncated("RetryToken", offset)
        (expires_ms,) = _RETRY_TOKEN_0.unpack_from(data, offset)
        offset += 8
        original_id: bytes
        if end - offset < 1:
            raise Truncated("RetryToken.original_id", offset)
        size = data[offset]
        if size > 20:
            raise outside("RetryToken.original_id", offset, size, 0, 20)
        offset += 1
        stop = offset + size
        if stop > end:
            raise Truncated("RetryToken.original_id", offset)
        original_id = bytes(data[offset:stop])
        offset = stop
        if end - offset < 8:
            raise Truncated("RetryToken", offset)
        (retry_id,) = _RETRY_TOKEN_2.unpack_from(data, offset)
        offset += 8
        return cls(expires_ms, original_id, retry_id), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if not 0 <= self.expires_ms <= 0xFFFFFFFFFFFFFFFF:
            raise refused_number("RetryToken.expires_ms", self.expires_ms, 0, 0xFFFFFFFFFFFFFFFF)
        out.append(_RETRY_TOKEN_0.pack(self.expires_ms))
        region = self.original_id
        if len(region) > 20:
            raise refused_size("RetryToken.original_id", len(region), 20)
        out += (bytes((len(region),)), region)
        if len(self.retry_id) != 8:
            raise refused("RetryToken.retry_id", f"{len(self.retry_id)} bytes, wants 8")
        out.append(_RETRY_TOKEN_2.pack(self.retry_id))
        return b"".join(out)
