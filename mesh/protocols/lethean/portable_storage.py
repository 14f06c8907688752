"""Portable storage: named values of fixed types, what Levin packets carry (section 15.4).

A section is a dictionary of names to `Typed`. Nothing is converted: a value has the type it was written with. Input is
bounded: arrays and sections cannot announce more than the bytes that are left, 32 levels, 262,144 values.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, Final, NamedTuple

from mesh.codecs.levin import MAX_PAYLOAD_BYTES
from mesh.errors import Malformed, Truncated, UsageError
from mesh.framing.levin import read_varint, write_varint

SIGNATURE: Final = bytes.fromhex("0111010101010201")
VERSION: Final = 1
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 2**18
MAX_NAME_BYTES: Final = 255
ARRAY: Final = 0x80


class Kind(IntEnum):
    """The type of a value; with 0x80 added, of an array of them."""

    INT64 = 1
    INT32 = 2
    INT16 = 3
    INT8 = 4
    UINT64 = 5
    UINT32 = 6
    UINT16 = 7
    UINT8 = 8
    DOUBLE = 9
    STRING = 10
    BOOL = 11
    OBJECT = 12


class Typed(NamedTuple):
    """A value with its type. Strings are bytes, objects sections; `array` is a list of such values."""

    kind: Kind
    value: Any
    array: bool = False


Section = dict[str, Typed]

_FORMS: Final = {
    Kind.INT64: struct.Struct("<q"),
    Kind.INT32: struct.Struct("<i"),
    Kind.INT16: struct.Struct("<h"),
    Kind.INT8: struct.Struct("<b"),
    Kind.UINT64: struct.Struct("<Q"),
    Kind.UINT32: struct.Struct("<I"),
    Kind.UINT16: struct.Struct("<H"),
    Kind.UINT8: struct.Struct("<B"),
    Kind.DOUBLE: struct.Struct("<d"),
}
_IN_ARRAYS: Final = frozenset([Kind.UINT64, Kind.UINT32, Kind.STRING, Kind.OBJECT])
_LEAST_ENTRY: Final = 3


def encode_storage(section: Section) -> bytes:
    """The bytes of a root section, its names in ascending order. Raises UsageError for what has no form."""
    data = b"".join((SIGNATURE, bytes([VERSION]), _write_section(section, 0)))
    if len(data) > MAX_PAYLOAD_BYTES:
        raise UsageError(f"storage: {len(data)} bytes, at most {MAX_PAYLOAD_BYTES}")
    return data


def decode_storage(data: bytes) -> Section:
    """The root section; bytes behind it are ignored. Raises Truncated or Malformed."""
    if len(data) > MAX_PAYLOAD_BYTES:
        raise Malformed("storage", 0, f"{len(data)} bytes, at most {MAX_PAYLOAD_BYTES}")
    if len(data) < 9:
        raise Truncated("storage", 0, "truncated storage data")
    if data[:8] != SIGNATURE:
        raise Malformed("storage", 0, "bad storage signature")
    if data[8] != VERSION:
        raise Malformed("storage", 8, "unsupported storage version")
    return _Reader(data, 9).section(0)


def want(section: Section, name: str, kind: Kind, array: bool = False) -> Any:
    """A value of a section that has to have this type. Raises Malformed when it is missing or another."""
    found = section.get(name)
    if found is None:
        raise Malformed(f"storage.{name}", None, "missing")
    if found.kind != kind or found.array != array:
        raise Malformed(f"storage.{name}", None, "value type mismatch")
    return found.value


class _Reader:
    __slots__ = ("_data", "_end", "_left", "_offset")

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self._offset = offset
        self._end = len(data)
        self._left = MAX_VALUES

    def section(self, depth: int) -> Section:
        if depth > MAX_DEPTH:
            raise Malformed("storage", self._offset, f"nested deeper than {MAX_DEPTH}")
        count = self._count(_LEAST_ENTRY)
        found: Section = {}
        for _ in range(count):
            name = self._take(self._take(1)[0]).decode("utf-8", "surrogateescape")
            tag = self._take(1)[0]
            found.pop(name, None)
            found[name] = self._typed(tag, depth)
        return found

    def _typed(self, tag: int, depth: int) -> Typed:
        kind = tag & ~ARRAY
        if not 1 <= kind <= 12 or (tag & ARRAY and kind not in _IN_ARRAYS):
            raise Malformed("storage", self._offset - 1, f"unknown type tag: {tag:#04x}")
        kind = Kind(kind)
        if not tag & ARRAY:
            return Typed(kind, self._value(kind, depth))
        form = _FORMS.get(kind)
        count = self._count(1 if form is None else form.size)
        return Typed(kind, [self._value(kind, depth) for _ in range(count)], array=True)

    def _value(self, kind: Kind, depth: int) -> Any:
        form = _FORMS.get(kind)
        if form is not None:
            return form.unpack(self._take(form.size))[0]
        if kind is Kind.OBJECT:
            return self.section(depth + 1)
        if kind is Kind.BOOL:
            return self._take(1) != b"\0"
        size, self._offset = read_varint(self._data, self._offset, self._end)
        return self._take(size)

    def _count(self, least_bytes: int) -> int:
        start = self._offset
        count, self._offset = read_varint(self._data, start, self._end)
        if count * least_bytes > self._end - self._offset:
            raise Truncated("storage", start, "truncated storage data")
        self._left -= count
        if self._left < 0:
            raise Malformed("storage", start, f"more than {MAX_VALUES} values")
        return count

    def _take(self, size: int) -> bytes:
        stop = self._offset + size
        if stop > self._end:
            raise Truncated("storage", self._offset, "truncated storage data")
        found = self._data[self._offset : stop]
        self._offset = stop
        return found


def _write_section(section: Section, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise UsageError(f"storage: nested deeper than {MAX_DEPTH}")
    found = [write_varint(len(section))]
    named = {name.encode("utf-8", "surrogateescape"): typed for name, typed in section.items()}
    for name, typed in sorted(named.items(), key=lambda entry: entry[0]):
        if len(name) > MAX_NAME_BYTES:
            raise UsageError(f"entry name exceeds {MAX_NAME_BYTES} bytes")
        found += [bytes([len(name)]), name, *_write_typed(typed, depth)]
    return b"".join(found)


def _write_typed(typed: Typed, depth: int) -> list[bytes]:
    if not typed.array:
        return [bytes([typed.kind]), _write_value(typed.kind, typed.value, depth)]
    if typed.kind not in _IN_ARRAYS:
        raise UsageError(f"unknown type tag: array of {int(typed.kind):#04x}")
    values = [_write_value(typed.kind, each, depth) for each in typed.value]
    return [bytes([typed.kind | ARRAY]), write_varint(len(values)), *values]


def _write_value(kind: Kind, value: Any, depth: int) -> bytes:
    form = _FORMS.get(kind)
    if form is not None:
        try:
            return form.pack(value)
        except (struct.error, OverflowError) as error:
            raise UsageError(f"storage: {value!r} is no {kind.name}: {error}") from None
    if kind is Kind.OBJECT:
        return _write_section(value, depth + 1)
    if kind is Kind.BOOL:
        return b"\x01" if value else b"\0"
    return b"".join((write_varint(len(value)), value))
