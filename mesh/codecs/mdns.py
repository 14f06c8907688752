# GENERATED from protocol_specs/mdns.py by tools.spec_compiler; do not edit.
# Schema 98688f019398bfa4
"""What mDNS carries of libp2p: the strings of a TXT record.

Specification: libp2p/specs discovery/mdns.md.
"""

from __future__ import annotations

import struct
from typing import Self

from mesh.codecs.wire import Buffer, Record, encode_text, refused_count, refused_size, too_long
from mesh.errors import Malformed, Truncated

MAX_STRING_BYTES = 255
MAX_STRINGS = 256


def encode_txt(value: list[bytes]) -> bytes:
    """The bytes of one txt; raises UsageError when a limit is broken."""
    out: list[bytes] = []
    if len(value) > 256:
        raise refused_count("txt", len(value), 256)
    for element in value:
        region = element
        if len(region) > 255:
            raise refused_size("txt", len(region), 255)
        out += (bytes((len(region),)), region)
    return b"".join(out)


def decode_txt(data: Buffer, offset: int = 0) -> tuple[list[bytes], int]:
    """One txt at `offset` and the offset after it; Truncated if more bytes could help."""
    end = len(data)
    value: list[bytes]
    value = []
    while offset < end:
        if len(value) == 256:
            raise Malformed("txt", offset, "more than 256")
        if end - offset < 1:
            raise Truncated("txt", offset)
        size_in = data[offset]
        offset += 1
        stop_in = offset + size_in
        if stop_in > end:
            raise Truncated("txt", offset)
        item = bytes(data[offset:stop_in])
        offset = stop_in
        value.append(item)
    return value, offset


_PEER_ADDRESS_0 = struct.Struct(">8s")


class PeerAddress(Record):
    """One string of the record: a multiaddr that ends in the peer's id. Strings of another form are others'
    business.
    """

    __slots__ = ("address",)

    MAX_BYTES = 255

    def __init__(self, address: str) -> None:
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
            raise Malformed("PeerAddress", stop, f"{end - stop} bytes left over")
        return value

    @classmethod
    def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:
        if end - offset < 8:
            raise Truncated("PeerAddress", offset)
        (constant_0,) = _PEER_ADDRESS_0.unpack_from(data, offset)
        if constant_0 != b"\x64\x6e\x73\x61\x64\x64\x72\x3d":
            raise Malformed("PeerAddress", offset, "the constant 646e73616464723d is not there")
        offset += 8
        address: str
        if end - offset > 247:
            raise too_long("PeerAddress.address", offset, end - offset, 247)
        try:
            address = str(data[offset:end], "utf-8")
        except UnicodeDecodeError:
            raise Malformed("PeerAddress.address", offset, "not UTF-8") from None
        offset = end
        return cls(address), offset

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the element that breaks a limit."""
        out: list[bytes] = []
        out.append(_PEER_ADDRESS_0.pack(b"\x64\x6e\x73\x61\x64\x64\x72\x3d"))
        encoded = encode_text(self.address, "PeerAddress.address")
        if len(encoded) > 247:
            raise refused_size("PeerAddress.address", len(encoded), 247)
        out.append(encoded)
        return b"".join(out)
