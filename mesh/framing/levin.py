"""Levin: headers and varints at the speed of one struct (the Lethean mesh, sections 15.1 and 15.3).

`mesh.codecs.levin` is the same header as a record; a test holds the two together.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from mesh.codecs.levin import MAX_PAYLOAD_BYTES, PROTOCOL_VERSION, SIGNATURE
from mesh.errors import Malformed, Truncated, UsageError

Buffer = bytes | bytearray | memoryview

HEADER: Final = struct.Struct("<QQBIiII")
HEADER_BYTES: Final = HEADER.size
MAX_VARINT: Final = 2**62 - 1

_unpack_header: Final = HEADER.unpack_from
_MASKS: Final = (0, 1, 2, 3)


class Header(NamedTuple):
    """What stands before a payload of `payload_size` bytes; `return_code` is signed."""

    payload_size: int
    expect_response: bool
    command: int
    return_code: int = 0
    flags: int = 1
    version: int = PROTOCOL_VERSION


def read_header(data: Buffer, offset: int = 0, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> Header:
    """The header that starts at `offset`. Raises Truncated, or Malformed for another signature or too long a payload."""
    try:
        signature, size, expect, command, code, flags, version = _unpack_header(data, offset)
    except struct.error:
        raise Truncated("levin.header", offset) from None
    if signature != SIGNATURE:
        raise Malformed("levin.header", offset, "bad signature")
    if size > max_payload_bytes:
        raise Malformed("levin.header", offset + 8, "payload exceeds maximum size")
    return Header(size, expect == 1, command, code, flags, version)


def write_header(header: Header) -> bytes:
    """The 33 bytes of a header. Raises UsageError for numbers that do not fit."""
    size, expect, command, code, flags, version = header
    if not 0 <= size <= MAX_PAYLOAD_BYTES:
        raise UsageError(f"a payload of {size} bytes; Levin has {MAX_PAYLOAD_BYTES} at most")
    try:
        return HEADER.pack(SIGNATURE, size, 1 if expect else 0, command, code, flags, version)
    except struct.error as error:
        raise UsageError(f"levin.header: {error}") from None


def read_varint(data: Buffer, offset: int, end: int) -> tuple[int, int]:
    """The number at `offset`, in any of its forms: (value, offset after it). Raises Truncated."""
    if offset >= end:
        raise Truncated("levin.varint", offset, "truncated varint")
    first = data[offset]
    size = 1 << (first & 3)
    if size == 1:
        return first >> 2, offset + 1
    stop = offset + size
    if stop > end:
        raise Truncated("levin.varint", offset, "truncated varint")
    return int.from_bytes(data[offset:stop], "little") >> 2, stop


def write_varint(number: int) -> bytes:
    """The shortest form of a number below 2^62. Raises UsageError for others, which Go would cut."""
    if not 0 <= number <= MAX_VARINT:
        raise UsageError(f"levin.varint: {number} is outside 0 to {MAX_VARINT}")
    power = next(power for power in _MASKS if number < 1 << (8 << power) - 2)
    return (number << 2 | power).to_bytes(1 << power, "little")
