# GENERATED from protocol_specs/yamux.py by tools.spec_compiler; do not edit.
# Schema e02c12958d98df88
"""yamux frame headers.

Specification: libp2p/specs yamux/README.md.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Self

from mesh.codecs.wire import Buffer, Record, outside, refused, refused_number
from mesh.errors import Malformed, Truncated

SYN = 1
ACK = 2
FIN = 4
RST = 8
MAX_DATA_BYTES = 16777216
INITIAL_WINDOW_BYTES = 262144


class FrameType(IntEnum):
    """What a frame is; other numbers end the session."""

    DATA = 0
    WINDOW_UPDATE = 1
    PING = 2
    GO_AWAY = 3


_FRAME_TYPE = {int(member): member for member in FrameType}


class GoAwayCode(IntEnum):
    """Why a session ends: the length of a GO_AWAY frame."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


HEADER = struct.Struct(">BBHII")
HEADER_BYTES = 12


class Header(Record):
    """The 12 bytes before every frame. `length` is the size of the body (DATA), credit (WINDOW_UPDATE), an
    opaque value (PING) or a GoAwayCode (GO_AWAY); unknown flags are kept.
    """

    __slots__ = ("version", "type", "flags", "stream_id", "length")

    MAX_BYTES = 12

    def __init__(self, version: int, type: FrameType, flags: int, stream_id: int, length: int) -> None:
        self.version = version
        self.type = type
        self.flags = flags
        self.stream_id = stream_id
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
            raise Malformed("Header", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 12:
            raise Truncated("Header", offset)
        version, type_number, flags, stream_id, length_ = HEADER.unpack_from(data, offset)
        if version > 0:
            raise outside("Header.version", offset, version, 0, 0)
        if type_number not in _FRAME_TYPE:
            raise Malformed("Header.type", offset + 1, f"{type_number} is no FrameType")
        type = _FRAME_TYPE[type_number]
        offset += 12
        return cls(version, type, flags, stream_id, length_), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        if self.version != 0:
            raise refused_number("Header.version", self.version, 0, 0)
        if self.type not in _FRAME_TYPE:
            raise refused("Header.type", f"{self.type} is no FrameType")
        if not 0 <= self.flags <= 65535:
            raise refused_number("Header.flags", self.flags, 0, 65535)
        if not 0 <= self.stream_id <= 0xFFFFFFFF:
            raise refused_number("Header.stream_id", self.stream_id, 0, 0xFFFFFFFF)
        if not 0 <= self.length <= 0xFFFFFFFF:
            raise refused_number("Header.length", self.length, 0, 0xFFFFFFFF)
        return HEADER.pack(self.version, self.type, self.flags, self.stream_id, self.length)
