# GENERATED from tools/spec_compiler/wire.template by tools.spec_compiler; do not edit.
# Schema 204b1e2da34dcc04
"""What the generated codecs share: varints, skipping of unknown fields, errors in words.

Two varints live here. `encode_uvarint` and `decode_uvarint` are the multiformats kind: minimal, at most 9
bytes, below 2^63. `encode_varint` and `read_varint` are protobuf's: up to 64 bits in at most 10 bytes, sloppy
forms allowed on input. Functions that read take the input, the offset to start at and the end of the region, and
return the value with the offset after it.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import ClassVar, Self

from mesh.errors import Malformed, Truncated, UsageError

Buffer = bytes | bytearray | memoryview

UVARINT_LIMIT = 2**63 - 1
MAX_GROUP_DEPTH = 16
MAX_TAG = 2**32 - 1
RUN = 256
"""So many elements of a run are cut out in one call."""

ONE_BYTE = tuple(bytes((number,)) for number in range(128))

_VARINT, _I64, _LEN, _SGROUP, _EGROUP, _I32 = range(6)


# --- multiformats varints ------------------------------------------------------------------------------


def encode_uvarint(number: int) -> bytes:
    """The shortest multiformats varint of a number from 0 to 2^63 - 1."""
    if 0 <= number < 128:
        return ONE_BYTE[number]
    if not 0 <= number <= UVARINT_LIMIT:
        raise UsageError(f"uvarint: {number} is outside 0 to {UVARINT_LIMIT}")
    return encode_varint(number)


def decode_uvarint(data: Buffer, offset: int = 0, max: int = UVARINT_LIMIT) -> tuple[int, int]:
    """A minimal varint of at most `max` from any buffer: (value, offset after it).

    Raises Malformed as soon as the bytes seen exclude every permitted value, Truncated when more could help.
    """
    return read_uvarint(data, offset, len(data), 0, max, "uvarint")


def read_uvarint(
    data: Buffer, offset: int, end: int, minimum: int, maximum: int, field: str
) -> tuple[int, int]:
    """A minimal varint from `minimum` to `maximum`: (value, offset after it)."""
    start = offset
    value = shift = 0
    while offset < end:
        octet = data[offset]
        offset += 1
        value |= (octet & 127) << shift
        shift += 7
        if octet < 128:
            if octet == 0 and shift > 7:
                raise Malformed(field, start, "a varint that is not in its shortest form")
            if not minimum <= value <= maximum:
                raise outside(field, start, value, minimum, maximum)
            return value, offset
        if value + (1 << shift) > maximum:
            raise Malformed(field, start, f"a varint of more than {maximum}")
    raise Truncated(field, start)


# --- DER -----------------------------------------------------------------------------------------------


def encode_der_length(number: int) -> bytes:
    """The definite length of DER in its shortest form; the caller checks the range."""
    if number < 128:
        return ONE_BYTE[number]
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes((128 + len(octets),)) + octets


def read_der_length(
    data: Buffer, offset: int, end: int, minimum: int, maximum: int, field: str
) -> tuple[int, int]:
    """A definite length of DER in its shortest form, from `minimum` to `maximum`: (value, offset after it)."""
    start = offset
    if offset >= end:
        raise Truncated(field, start)
    value = data[offset]
    offset += 1
    if value >= 128:
        size = value - 128
        if not 1 <= size <= (maximum.bit_length() + 7) // 8:
            raise Malformed(field, start, "a length that is indefinite or too large")
        if end - offset < size:
            raise Truncated(field, start)
        value = int.from_bytes(data[offset : offset + size], "big")
        if data[offset] == 0 or value < 128:
            raise Malformed(field, start, "a length that is not in its shortest form")
        offset += size
    if not minimum <= value <= maximum:
        raise outside(field, start, value, minimum, maximum)
    return value, offset


# --- QUIC varints --------------------------------------------------------------------------------------


def encode_varint62(number: int) -> bytes:
    """The shortest QUIC varint (RFC 9000 section 16) of a number from 0 to 2^62 - 1; the caller checks the range."""
    if number < 0x40:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number >> 8 | 0x40, number & 255))
    if number < 0x40000000:
        return (number | 0x80000000).to_bytes(4, "big")
    return (number | 0xC000000000000000).to_bytes(8, "big")


def read_varint62(
    data: Buffer, offset: int, end: int, minimum: int, maximum: int, field: str
) -> tuple[int, int]:
    """A QUIC varint of any form from `minimum` to `maximum`: (value, offset after it)."""
    if offset >= end:
        raise Truncated(field, offset)
    value = data[offset]
    stop = offset + (1 << (value >> 6))
    if stop > end:
        raise Truncated(field, offset)
    value &= 63
    for octet in data[offset + 1 : stop]:
        value = value << 8 | octet
    if not minimum <= value <= maximum:
        raise outside(field, offset, value, minimum, maximum)
    return value, stop


# --- protobuf ------------------------------------------------------------------------------------------


def encode_varint(number: int) -> bytes:
    """A protobuf varint of a number from 0 to 2^64 - 1; the caller checks the range."""
    if number < 128:
        return ONE_BYTE[number]
    if number < 16384:
        return bytes((number & 127 | 128, number >> 7))
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, offset: int, end: int, field: str) -> tuple[int, int]:
    """A protobuf varint: at most 10 bytes, the tenth at most 1, not necessarily minimal."""
    start = offset
    value = shift = 0
    while offset < end:
        octet = data[offset]
        offset += 1
        if shift == 63 and octet > 1:
            raise Malformed(field, start, "a varint of more than 64 bits")
        value |= (octet & 127) << shift
        if octet < 128:
            return value, offset
        shift += 7
    raise Truncated(field, start)


def read_tag(data: bytes, offset: int, end: int, field: str) -> tuple[int, int]:
    """A field's tag, with a field number from 1 to 2^29 - 1."""
    tag, after = read_varint(data, offset, end, field)
    if not 8 <= tag <= MAX_TAG:
        raise Malformed(field, offset, f"field number {tag >> 3}")
    return tag, after


def skip_field(data: bytes, tag: int, offset: int, end: int, field: str) -> int:
    """The offset after the value of an unknown field; a group ends with its own end tag."""
    if not tag & 7 and offset < end and data[offset] < 128:
        return offset + 1
    start = offset
    groups: list[int] = []
    while True:
        wire_type = tag & 7
        if wire_type == _VARINT:
            _, offset = read_varint(data, offset, end, field)
        elif wire_type == _LEN:
            length, offset = read_varint(data, offset, end, field)
            offset += length
        elif wire_type == _I64:
            offset += 8
        elif wire_type == _I32:
            offset += 4
        elif wire_type == _SGROUP:
            if len(groups) == MAX_GROUP_DEPTH:
                raise Malformed(field, start, f"groups nest deeper than {MAX_GROUP_DEPTH}")
            groups.append(tag >> 3)
        elif wire_type != _EGROUP or not groups or groups.pop() != tag >> 3:
            raise Malformed(field, start, f"wire type {wire_type} has no place here")
        if offset > end:
            raise Truncated(field, start)
        if not groups:
            return offset
        tag, offset = read_tag(data, offset, end, field)


def joined(data: bytes, spans: list[tuple[int, int]], limit: int, field: str) -> tuple[bytes, int, int]:
    """The region to read a singular message from: its occurrences, each whole in itself, one after another.

    Protobuf merges the occurrences of a singular message; reading them joined comes to the same.
    """
    if len(spans) == 1:
        return data, *spans[0]
    if sum(stop - start for start, stop in spans) > limit:
        raise Malformed(field, spans[-1][0], f"more than {limit} bytes in all its occurrences")
    for start, stop in spans:
        offset = start
        while offset < stop:
            try:
                tag, offset = read_tag(data, offset, stop, field)
                offset = skip_field(data, tag, offset, stop, field)
            except Truncated as error:
                raise crossing(error) from None
    whole = b"".join(data[start:stop] for start, stop in spans)
    return whole, 0, len(whole)


def read_packed(data: bytes, offset: int, stop: int, room: int, field: str) -> list[int]:
    """The varints of a packed field, at most `room` of them."""
    found: list[int] = []
    while offset < stop:
        try:
            value, offset = read_varint(data, offset, stop, field)
        except Truncated as error:
            raise crossing(error) from None
        if len(found) == room:
            raise Malformed(field, offset, "too many elements")
        found.append(value)
    return found


def take_run(
    found: list[bytes], data: bytes, offset: int, end: int, tag: int, length: int, limit: int
) -> int:
    """Append elements that follow one another with the same tag, a byte, and length; the offset after them.

    Looks no more than `RUN` elements ahead, so that elements made to differ cost little more than otherwise. `limit` is
    how many the list may have. Lengths of more than two bytes, or not in their shortest form, end a run.
    """
    head = ONE_BYTE[tag] + encode_varint(length)
    size = len(head) + length
    alike = min((end - offset) // size, RUN, limit - len(found))
    for at, octet in enumerate(head, offset):
        column = data[at : offset + alike * size : size]
        if column.count(octet) < alike:
            alike -= len(column.lstrip(bytes((octet,))))
    found += _elements(len(head), length, alike).unpack_from(data, offset)
    return offset + alike * size


@lru_cache(maxsize=512)
def _elements(head: int, length: int, count: int) -> Struct:
    """So many elements of one length, each behind a head."""
    return Struct(f"{head}x{length}s" * count)


def put_run(out: list[bytes], head: bytes, chunks: list[bytes], limit: int, field: str) -> None:
    """Append elements of bytes, each behind its tag and length; at once when all have one length."""
    sizes = set(map(len, chunks))
    if sizes and max(sizes) > limit:
        raise refused_size(field, next(size for size in map(len, chunks) if size > limit), limit)
    if len(sizes) == 1:
        head += encode_varint(sizes.pop())
        out += (head, head.join(chunks))
        return
    for chunk in chunks:
        out += (head, encode_varint(len(chunk)), chunk)


def past_end(
    fields: dict[int, tuple[str, int]], tag: int, length: int, offset: int, message: str
) -> Exception:
    """The error for a length that leads beyond the end: Malformed if it is also above the field's maximum."""
    field, limit = fields.get(tag, (message, length))
    if length > limit:
        return too_long(field, offset, length, limit)
    return Truncated(field, offset)


def encode_text(text: str, field: str) -> bytes:
    """Text as UTF-8; lone surrogates are refused."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise refused(field, "not UTF-8") from None


# --- errors --------------------------------------------------------------------------------------------


def crossing(error: Truncated) -> Malformed:
    """What a truncation means inside a region whose end is known."""
    return Malformed(error.field, error.offset, "crosses the end of the element around it")


def too_long(field: str, offset: int, size: int, limit: int) -> Malformed:
    """The error for an element above its maximum."""
    return Malformed(field, offset, f"{size} bytes, at most {limit}")


def outside(field: str, offset: int, value: int, minimum: int, maximum: int) -> Malformed:
    """The error for a number out of its range."""
    return Malformed(field, offset, f"{value} is outside {minimum} to {maximum}")


def refused(field: str, reason: str) -> UsageError:
    """The error for a value that must not be written."""
    return UsageError(f"{field}: {reason}")


def refused_size(field: str, size: int, limit: int) -> UsageError:
    """The error for writing more bytes than the maximum."""
    return UsageError(f"{field}: {size} bytes, at most {limit}")


def refused_count(field: str, count: int, limit: int) -> UsageError:
    """The error for writing more elements than the maximum."""
    return UsageError(f"{field}: {count} elements, at most {limit}")


def refused_number(field: str, value: int, minimum: int, maximum: int) -> UsageError:
    """The error for writing a number out of its range."""
    return UsageError(f"{field}: {value} is outside {minimum} to {maximum}")


# --- records -------------------------------------------------------------------------------------------


class Record:
    """What generated classes share: comparison by value, a readable repr, and reading from any buffer."""

    __slots__: tuple[str, ...] = ()
    MAX_BYTES: ClassVar[int]

    @classmethod
    def decode(cls, data: Buffer, offset: int = 0, end: int | None = None) -> Self:
        """Read exactly `data[offset:end]`; raises Truncated or Malformed with the field and its offset.

        Fields of bytes are always `bytes`; input of another type is copied first.
        """
        if end is None:
            end = len(data)
            if type(data) is bytes and not offset:
                return cls._read(data, 0, end)
        if not 0 <= offset <= end <= len(data):
            raise UsageError(f"{cls.__name__}: no region {offset} to {end} in {len(data)} bytes")
        if not isinstance(data, bytes):
            data = bytes(data[:end])
        return cls._read(data, offset, end)

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        raise NotImplementedError

    def encode(self) -> bytes:
        """The bytes of this record; raises UsageError naming the field that breaks a limit."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({inside})"
