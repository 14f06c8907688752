# GENERATED from protocol_specs/smsg.py by tools.spec_compiler; do not edit.
# Schema ef55be2b380cf8a6
"""SMSG and the two layers below it: the Trix container and the sigil box.

Specification: the Lethean mesh, section 5 (Borg cf2af53, Enchantrix 86f4e33).
"""

from __future__ import annotations

import struct
from typing import Self

from mesh.codecs.wire import Buffer, Record, outside, refused, refused_size, too_long
from mesh.errors import Malformed, Truncated

NONCE_BYTES = 24
TAG_BYTES = 16
OVERHEAD_BYTES = 40
VERSION = 2
MAX_HEADER_BYTES = 16777216
MAX_PAYLOAD_BYTES = 268435456
_U32 = struct.Struct(">I")

_CONTAINER_0 = struct.Struct(">4s1s")


class Container(Record):
    """A Trix container: what it is, a header of one JSON object that nothing authenticates, and the rest."""

    __slots__ = ("magic", "header", "payload")

    MAX_BYTES = 285212686

    def __init__(self, magic: bytes, header: bytes, payload: bytes) -> None:
        self.magic = magic
        self.header = header
        self.payload = payload

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
            raise Malformed("Container", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 5:
            raise Truncated("Container", offset)
        magic, constant_1 = _CONTAINER_0.unpack_from(data, offset)
        if constant_1 != b"\x02":
            raise Malformed("Container", offset + 4, "the constant 02 is not there")
        offset += 5
        header: bytes
        if end - offset < 4:
            raise Truncated("Container.header", offset)
        (size,) = _U32.unpack_from(data, offset)
        if size > 16777216:
            raise outside("Container.header", offset, size, 0, 16777216)
        offset += 4
        stop = offset + size
        if stop > end:
            raise Truncated("Container.header", offset)
        header = bytes(data[offset:stop])
        offset = stop
        payload: bytes
        if end - offset > 268435456:
            raise too_long("Container.payload", offset, end - offset, 268435456)
        payload = bytes(data[offset:end])
        offset = end
        return cls(magic, header, payload), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if len(self.magic) != 4:
            raise refused("Container.magic", f"{len(self.magic)} bytes, wants 4")
        out.append(_CONTAINER_0.pack(self.magic, b"\x02"))
        region = self.header
        if len(region) > 16777216:
            raise refused_size("Container.header", len(region), 16777216)
        out += (_U32.pack(len(region)), region)
        if len(self.payload) > 268435456:
            raise refused_size("Container.payload", len(self.payload), 268435456)
        out.append(self.payload)
        return b"".join(out)


_BOX_0 = struct.Struct(">24s")


class Box(Record):
    """A sigil: XChaCha20-Poly1305 of text under a keystream of SHA-256; the last 16 bytes are the tag."""

    __slots__ = ("nonce", "tag_and_text")

    MAX_BYTES = 268435480

    def __init__(self, nonce: bytes, tag_and_text: bytes) -> None:
        self.nonce = nonce
        self.tag_and_text = tag_and_text

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
            raise Malformed("Box", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 24:
            raise Truncated("Box", offset)
        (nonce,) = _BOX_0.unpack_from(data, offset)
        offset += 24
        tag_and_text: bytes
        if end - offset > 268435456:
            raise too_long("Box.tag_and_text", offset, end - offset, 268435456)
        tag_and_text = bytes(data[offset:end])
        offset = end
        return cls(nonce, tag_and_text), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        if len(self.nonce) != 24:
            raise refused("Box.nonce", f"{len(self.nonce)} bytes, wants 24")
        out.append(_BOX_0.pack(self.nonce))
        if len(self.tag_and_text) > 268435456:
            raise refused_size("Box.tag_and_text", len(self.tag_and_text), 268435456)
        out.append(self.tag_and_text)
        return b"".join(out)


class Blob(Record):
    """Format v2 of what a container holds: JSON whose attachments have sizes, and their bytes in the same
    order.
    """

    __slots__ = ("message", "attachments")

    MAX_BYTES = 536870921

    def __init__(self, message: bytes, attachments: bytes) -> None:
        self.message = message
        self.attachments = attachments

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
            raise Malformed("Blob", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        message: bytes
        if end - offset < 4:
            raise Truncated("Blob.message", offset)
        (size,) = _U32.unpack_from(data, offset)
        if size > 268435456:
            raise outside("Blob.message", offset, size, 0, 268435456)
        offset += 4
        stop = offset + size
        if stop > end:
            raise Truncated("Blob.message", offset)
        message = bytes(data[offset:stop])
        offset = stop
        attachments: bytes
        if end - offset > 268435456:
            raise too_long("Blob.attachments", offset, end - offset, 268435456)
        attachments = bytes(data[offset:end])
        offset = end
        return cls(message, attachments), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        region = self.message
        if len(region) > 268435456:
            raise refused_size("Blob.message", len(region), 268435456)
        out += (_U32.pack(len(region)), region)
        if len(self.attachments) > 268435456:
            raise refused_size("Blob.attachments", len(self.attachments), 268435456)
        out.append(self.attachments)
        return b"".join(out)
