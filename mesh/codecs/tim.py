# GENERATED from protocol_specs/tim.py by tools.spec_compiler; do not edit.
# Schema 0283559149c534f0
"""What an encrypted bundle holds inside its Trix container.

Specification: the Lethean mesh, section 11.1 (Borg cf2af53).
"""

from __future__ import annotations

import struct
from typing import Self

from mesh.codecs.wire import Buffer, Record, outside, refused_size, too_long
from mesh.errors import Malformed, Truncated

MAX_FILE_BYTES = 104857600
_U32 = struct.Struct(">I")


class Payload(Record):
    """Two sigil boxes: the configuration, with its length before it, and a tar."""

    __slots__ = ("config", "rootfs")

    MAX_BYTES = 536870921

    def __init__(self, config: bytes, rootfs: bytes) -> None:
        self.config = config
        self.rootfs = rootfs

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
            raise Malformed("Payload", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        config: bytes
        if end - offset < 4:
            raise Truncated("Payload.config", offset)
        (size,) = _U32.unpack_from(data, offset)
        if size > 268435456:
            raise outside("Payload.config", offset, size, 0, 268435456)
        offset += 4
        stop = offset + size
        if stop > end:
            raise Truncated("Payload.config", offset)
        config = bytes(data[offset:stop])
        offset = stop
        rootfs: bytes
        if end - offset > 268435456:
            raise too_long("Payload.rootfs", offset, end - offset, 268435456)
        rootfs = bytes(data[offset:end])
        offset = end
        return cls(config, rootfs), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        region = self.config
        if len(region) > 268435456:
            raise refused_size("Payload.config", len(region), 268435456)
        out += (_U32.pack(len(region)), region)
        if len(self.rootfs) > 268435456:
            raise refused_size("Payload.rootfs", len(self.rootfs), 268435456)
        out.append(self.rootfs)
        return b"".join(out)
