# GENERATED from protocol_specs/perf.py by tools.spec_compiler; do not edit.
# Schema 5923cceea50ff814
"""The request of the perf protocol.

Specification: libp2p/specs perf/perf.md.
"""

from __future__ import annotations

import struct
from typing import Self

from mesh.codecs.wire import Buffer, Record, refused_number
from mesh.errors import Malformed, Truncated

REQUEST = struct.Struct(">Q")
REQUEST_BYTES = 8


class Request(Record):
    """What the opener sends first: the bytes it wants back. Its upload follows until it closes its side."""

    __slots__ = ("download_bytes",)

    MAX_BYTES = 8

    def __init__(self, download_bytes: int) -> None:
        self.download_bytes = download_bytes

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
            raise Malformed("Request", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 8:
            raise Truncated("Request", offset)
        (download_bytes,) = REQUEST.unpack_from(data, offset)
        offset += 8
        return cls(download_bytes), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        if not 0 <= self.download_bytes <= 0xFFFFFFFFFFFFFFFF:
            raise refused_number("Request.download_bytes", self.download_bytes, 0, 0xFFFFFFFFFFFFFFFF)
        return REQUEST.pack(self.download_bytes)
