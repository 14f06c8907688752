"""Unsigned varints as multiformats defines them: little-endian groups of seven bits, at most nine bytes.

Stricter than protobuf: a non-minimal form and anything of 2^63 or more are refused (libp2p digest, section
1).
"""

from __future__ import annotations

from mesh.errors import Malformed, Truncated, UsageError

MAX_VALUE = 2**63 - 1
MAX_BYTES = 9

_ONE_BYTE = tuple(bytes([n]) for n in range(128))


def encode(n: int) -> bytes:
    """The one to nine bytes of `n`. Raises UsageError outside 0 .. 2^63 - 1."""
    if 0 <= n < 128:
        return _ONE_BYTE[n]
    if not 0 <= n <= MAX_VALUE:
        raise UsageError(f"a uvarint holds 0 to 2^63 - 1, not {n}")
    out = bytearray()
    while n > 127:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def decode_if_whole(data: bytes | bytearray | memoryview) -> tuple[int, int]:
    """Value and length of a canonical varint of one or two bytes at the start; length 0 for anything else."""
    first = data[0]
    if first < 0x80:
        return first, 1
    if len(data) > 1 and 0 < data[1] < 0x80:
        return first & 0x7F | data[1] << 7, 2
    return 0, 0


def decode(
    data: bytes | bytearray | memoryview, offset: int = 0, max_value: int = MAX_VALUE
) -> tuple[int, int]:
    """The value that starts at `offset` and the offset after it.

    Raises Truncated when the input ends inside it; Malformed for a non-minimal form, for more than nine bytes
    and for a value above `max_value`.
    """
    end = len(data)
    if offset >= end:
        raise Truncated("uvarint", offset)
    byte = data[offset]
    if byte < 128:
        value, position = byte, offset + 1
    else:
        value, shift, position = byte & 0x7F, 7, offset + 1
        while True:
            if shift == 7 * MAX_BYTES:
                raise Malformed("uvarint", offset, f"longer than {MAX_BYTES} bytes")
            if position >= end:
                raise Truncated("uvarint", offset)
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 128:
                break
            shift += 7
        if byte == 0:
            raise Malformed("uvarint", offset, "not the shortest form")
    if value > max_value:
        raise Malformed("uvarint", offset, f"{value} is above the maximum of {max_value}")
    return value, position
