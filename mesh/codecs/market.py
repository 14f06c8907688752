# GENERATED from protocol_specs/market.py by tools.spec_compiler; do not edit.
# Schema 9b7a54a9605e88e0
"""Frames of the marketplace's streams.

Specification: the Betar marketplace, sections 2 and 3.1 (asabya/betar 793ca02).
"""

from __future__ import annotations

import struct
from typing import Self

from mesh.codecs.wire import Buffer, Record, encode_text, outside, refused, refused_size
from mesh.errors import Malformed, Truncated

MAX_TYPE_BYTES = 128
MAX_DATA_BYTES = 8388608
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")


class Frame(Record):
    """A message with the type that says what its data are."""

    __slots__ = ("kind", "data")

    MAX_BYTES = 8388754

    def __init__(self, kind: str, data: bytes) -> None:
        self.kind = kind
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
            raise Malformed("Frame", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        kind_: str
        if end - offset < 2:
            raise Truncated("Frame.kind", offset)
        (size,) = _U16.unpack_from(data, offset)
        if not 1 <= size <= 128:
            raise outside("Frame.kind", offset, size, 1, 128)
        offset += 2
        stop = offset + size
        if stop > end:
            raise Truncated("Frame.kind", offset)
        try:
            kind_ = str(data[offset:stop], "utf-8")
        except UnicodeDecodeError:
            raise Malformed("Frame.kind", offset, "not UTF-8") from None
        offset = stop
        data_: bytes
        if end - offset < 4:
            raise Truncated("Frame.data", offset)
        (size,) = _U32.unpack_from(data, offset)
        if size > 8388608:
            raise outside("Frame.data", offset, size, 0, 8388608)
        offset += 4
        stop = offset + size
        if stop > end:
            raise Truncated("Frame.data", offset)
        data_ = bytes(data[offset:stop])
        offset = stop
        return cls(kind_, data_), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        region = encode_text(self.kind, "Frame.kind")
        if len(region) < 1:
            raise refused("Frame.kind", f"{len(region)} bytes, at least 1")
        if len(region) > 128:
            raise refused_size("Frame.kind", len(region), 128)
        out += (_U16.pack(len(region)), region)
        region = self.data
        if len(region) > 8388608:
            raise refused_size("Frame.data", len(region), 8388608)
        out += (_U32.pack(len(region)), region)
        return b"".join(out)


MAX_REPLY_BYTES = 8388608


def encode_reply(payload: bytes) -> bytes:
    """The bytes of one reply; raises UsageError when a limit is broken."""
    out: list[bytes] = []
    region = payload
    if len(region) > 8388608:
        raise refused_size("reply", len(region), 8388608)
    out += (_U32.pack(len(region)), region)
    return b"".join(out)


def decode_reply(data: Buffer, offset: int = 0) -> tuple[bytes, int]:
    """One reply at `offset` and the offset after it; Truncated if more bytes could help."""
    end = len(data)
    value: bytes
    if end - offset < 4:
        raise Truncated("reply", offset)
    (size,) = _U32.unpack_from(data, offset)
    if size > 8388608:
        raise outside("reply", offset, size, 0, 8388608)
    offset += 4
    stop = offset + size
    if stop > end:
        raise Truncated("reply", offset)
    value = bytes(data[offset:stop])
    offset = stop
    return value, offset
