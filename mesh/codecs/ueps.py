# GENERATED from protocol_specs/ueps.py by tools.spec_compiler; do not edit.
# Schema fff395a255ccf9b5
"""UEPS packets.

Specification: the Lethean mesh, section 13 (go-p2p e6e7fe0, RFC-021).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Self

from mesh.codecs.wire import Buffer, Record, refused_count, refused_number, refused_size
from mesh.errors import Malformed, Truncated

MAX_VALUE_BYTES = 65535
MAX_ENTRIES = 256
MAX_HEADER_BYTES = 65536
VERSION = 9
LAYER = 5
HMAC_BYTES = 32
THREAT_LIMIT = 50000
_U16 = struct.Struct(">H")


class Tag(IntEnum):
    """What an entry is; others are signed like the header's and mean nothing."""

    VERSION = 1
    CURRENT_LAYER = 2
    TARGET_LAYER = 3
    INTENT = 4
    THREAT_SCORE = 5
    HMAC = 6
    PAYLOAD = 255


class Intent(IntEnum):
    """What a packet is for; REHAB pauses execution."""

    HANDSHAKE = 1
    COMPUTE = 32
    REHAB = 48
    CUSTOM = 255


class Packet(Record):
    """The entries of packets. One of the tag PAYLOAD ends a packet; what follows it is the next."""

    __slots__ = ("entries",)

    MAX_BYTES = 16779520

    def __init__(self, entries: list[tuple[int, bytes]]) -> None:
        self.entries = entries

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
            raise Malformed("Packet", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        entries: list[tuple[int, bytes]]
        entries = []
        while offset < end:
            if len(entries) == 256:
                raise Malformed("Packet.entries", offset, "more than 256")
            if end - offset < 1:
                raise Truncated("Packet.entries", offset)
            kind = data[offset]
            offset += 1
            if end - offset < 2:
                raise Truncated("Packet.entries", offset)
            (size_in,) = _U16.unpack_from(data, offset)
            offset += 2
            stop_in = offset + size_in
            if stop_in > end:
                raise Truncated("Packet.entries", offset)
            item = bytes(data[offset:stop_in])
            offset = stop_in
            entries.append((kind, item))
        return cls(entries), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if len(self.entries) > 256:
            raise refused_count("Packet.entries", len(self.entries), 256)
        for kind, content in self.entries:
            if not 0 <= kind <= 255:
                raise refused_number("Packet.entries", kind, 0, 255)
            out.append(bytes((kind,)))
            region = content
            if len(region) > 65535:
                raise refused_size("Packet.entries", len(region), 65535)
            out += (_U16.pack(len(region)), region)
        return b"".join(out)
