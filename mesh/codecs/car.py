# GENERATED from protocol_specs/car.py by tools.spec_compiler; do not edit.
# Schema b366dd514e6f721d
"""Sections of content-addressable archives.

Specification: ipld/specs transport/car/carv1.
"""

from __future__ import annotations

from mesh.codecs.wire import Buffer, encode_varint, read_uvarint, refused, refused_size
from mesh.errors import Truncated

MAX_ROOTS = 1024

MAX_SECTION_BYTES = 2097320


def encode_section(payload: bytes) -> bytes:
    """The bytes of one section; raises UsageError when a limit is broken."""
    out: list[bytes] = []
    region = payload
    if len(region) < 1:
        raise refused("section", f"{len(region)} bytes, at least 1")
    if len(region) > 2097320:
        raise refused_size("section", len(region), 2097320)
    out += (encode_varint(len(region)), region)
    return b"".join(out)


def decode_section(data: Buffer, offset: int = 0) -> tuple[bytes, int]:
    """One section at `offset` and the offset after it; Truncated if more bytes could help."""
    end = len(data)
    value: bytes
    if offset < end and 1 <= (octet := data[offset]) <= 127:
        size = octet
        offset += 1
    else:
        size, offset = read_uvarint(data, offset, end, 1, 2097320, "section")
    stop = offset + size
    if stop > end:
        raise Truncated("section", offset)
    value = bytes(data[offset:stop])
    offset = stop
    return value, offset
