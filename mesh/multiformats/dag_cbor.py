"""DAG-CBOR: IPLD's data model in the one CBOR form each value has (IPLD specs, codecs/dag-cbor/spec).

What is read is exactly what would be written: shortest integers and lengths, no indefinite lengths, maps with text keys
in order of length and then bytes, floats of 64 bits that are finite, tag 42 alone and only for links. Anything else is
refused, so equal values have equal bytes, and a block has one hash.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from mesh.errors import DecodeError, Malformed, Truncated, UsageError
from mesh.multiformats.cid import Cid

Value = None | bool | int | float | str | bytes | Cid | list["Value"] | dict[str, "Value"]
"""The data model. Integers are -2^64 to 2^64 - 1; a float stays one, even when it is whole."""

MAX_BYTES: Final = 2 * 1024 * 1024
MAX_DEPTH: Final = 128
MAX_ITEMS: Final = 256 * 1024
"""Values in one document, containers, keys and leaves counted: a byte of input can cost sixty of memory."""

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = range(8)
_LINK_TAG: Final = 42
_CONSTANTS: Final[dict[int, bool | None]] = {0xF4: False, 0xF5: True, 0xF6: None}
_FLOAT: Final = 0xFB
_LENGTHS: Final = {24: ("B", 1, 24), 25: ("H", 2, 1 << 8), 26: ("I", 4, 1 << 16), 27: ("Q", 8, 1 << 32)}
_STRUCTS: Final = {info: struct.Struct(">" + letter) for info, (letter, _, _) in _LENGTHS.items()}
_DOUBLE: Final = struct.Struct(">d")


def encode(value: Value, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a value; maps are written in their order whatever the order of the dict.

    Raises UsageError for what the data model does not hold (NaN, infinities, other types, keys that are not text, lone
    surrogates, integers of more than 64 bits), for nesting beyond MAX_DEPTH, and for more than `max_bytes` bytes.
    """
    out = bytearray()
    _write(out, value, 0)
    if len(out) > max_bytes:
        raise UsageError(f"dag-cbor: {len(out)} bytes, at most {max_bytes}")
    return bytes(out)


def decode(
    data: bytes | bytearray | memoryview,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
) -> Value:
    """The value of exactly one document.

    Raises Truncated when the input ends inside it; Malformed for every form but the canonical one, for bytes that follow
    it, and for a document above one of the maxima.
    """
    if len(data) > max_bytes:
        raise Malformed("dag-cbor", None, f"{len(data)} bytes, at most {max_bytes}")
    reader = _Reader(bytes(data), max_depth, max_items)
    value = reader.value(0)
    if reader.offset != len(data):
        raise Malformed("dag-cbor", reader.offset, f"{len(data) - reader.offset} bytes follow the value")
    return value


# --- writing --------------------------------------------------------------------------------------------------------


def _head(out: bytearray, major: int, number: int) -> None:
    if number < 24:
        out.append(major << 5 | number)
        return
    for info, (_, size, _) in _LENGTHS.items():
        if number < 1 << 8 * size:
            out.append(major << 5 | info)
            out += number.to_bytes(size, "big")
            return
    raise UsageError("dag-cbor: integers are -2^64 to 2^64 - 1")


def _write(out: bytearray, value: Value, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UsageError(f"dag-cbor: nested deeper than {MAX_DEPTH}")
    if value is None or value is True or value is False:
        out.append(0xF6 if value is None else 0xF5 if value else 0xF4)
    elif isinstance(value, int):
        _head(out, *((_UNSIGNED, value) if value >= 0 else (_NEGATIVE, -1 - value)))
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise UsageError("dag-cbor: floats are finite")
        out.append(_FLOAT)
        out += _DOUBLE.pack(value)
    elif isinstance(value, str):
        _string(out, _TEXT, _utf8(value))
    elif isinstance(value, bytes):
        _string(out, _BYTES, value)
    elif isinstance(value, Cid):
        _head(out, _TAG, _LINK_TAG)
        _string(out, _BYTES, b"\x00" + value.to_bytes())
    elif isinstance(value, list | tuple):
        _head(out, _LIST, len(value))
        for each in value:
            _write(out, each, depth + 1)
    elif isinstance(value, dict):
        _head(out, _MAP, len(value))
        entries = [(_utf8(key), each) for key, each in value.items()]
        for name, each in sorted(entries, key=lambda entry: (len(entry[0]), entry[0])):
            _string(out, _TEXT, name)
            _write(out, each, depth + 1)
    else:
        raise UsageError(f"dag-cbor: {type(value).__name__} is not in the data model")


def _string(out: bytearray, major: int, content: bytes) -> None:
    _head(out, major, len(content))
    out += content


def _utf8(text: object) -> bytes:
    if not isinstance(text, str):
        raise UsageError(f"dag-cbor: map keys are text, not {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError("dag-cbor: text that is not UTF-8") from None


# --- reading --------------------------------------------------------------------------------------------------------


class _Reader:
    """The input with the offset of what comes next."""

    __slots__ = ("_data", "_items", "_max_depth", "offset")

    def __init__(self, data: bytes, max_depth: int, max_items: int) -> None:
        self._data = data
        self._max_depth = max_depth
        self._items = max_items
        self.offset = 0

    def value(self, depth: int) -> Value:
        start = self.offset
        if depth > self._max_depth:
            raise Malformed("dag-cbor", start, f"nested deeper than {self._max_depth}")
        self._items -= 1
        if self._items < 0:
            raise Malformed("dag-cbor", start, "more items than permitted")
        if start >= len(self._data):
            raise Truncated("dag-cbor", start)
        first = self._data[start]
        major = first >> 5
        if major == _SIMPLE:
            return self._simple(first)
        number = self._number(first)
        if major == _UNSIGNED:
            return number
        if major == _NEGATIVE:
            return -1 - number
        if major == _BYTES:
            return self._take(number)
        if major == _TEXT:
            return self._text(number)
        if major == _LIST:
            self._fits(number)
            return [self.value(depth + 1) for _ in range(number)]
        if major == _MAP:
            return self._map(number, depth)
        return self._link(number, start)

    def _number(self, first: int) -> int:
        """The argument of a head: a number, a length, a count or a tag, in its shortest form."""
        at = self.offset
        info = first & 31
        self.offset += 1
        if info < 24:
            return info
        if info not in _LENGTHS:
            raise Malformed("dag-cbor", at, "an indefinite length" if info == 31 else "a reserved head")
        _, size, least = _LENGTHS[info]
        if self.offset + size > len(self._data):
            raise Truncated("dag-cbor", at)
        number: int = _STRUCTS[info].unpack_from(self._data, self.offset)[0]
        if number < least:
            raise Malformed("dag-cbor", at, "a number that is not in its shortest form")
        self.offset += size
        return number

    def _simple(self, first: int) -> bool | float | None:
        at = self.offset
        if first in _CONSTANTS:
            self.offset += 1
            return _CONSTANTS[first]
        if first != _FLOAT:
            raise Malformed("dag-cbor", at, "neither true, false, null nor a float of 64 bits")
        if at + 9 > len(self._data):
            raise Truncated("dag-cbor", at)
        number: float = _DOUBLE.unpack_from(self._data, at + 1)[0]
        if not math.isfinite(number):
            raise Malformed("dag-cbor", at, "a float that is not finite")
        self.offset += 9
        return number

    def _take(self, size: int) -> bytes:
        at = self.offset
        self._fits(size)
        self.offset += size
        return self._data[at : self.offset]

    def _fits(self, size: int) -> None:
        """Whether so many bytes, or items of at least a byte, can follow."""
        if size > len(self._data) - self.offset:
            raise Truncated("dag-cbor", self.offset)

    def _text(self, size: int) -> str:
        at = self.offset
        try:
            return self._take(size).decode()
        except UnicodeDecodeError:
            raise Malformed("dag-cbor", at, "text that is not UTF-8") from None

    def _map(self, count: int, depth: int) -> dict[str, Value]:
        self._fits(2 * count)
        found: dict[str, Value] = {}
        before: tuple[int, bytes] = (-1, b"")
        for _ in range(count):
            at = self.offset
            if at >= len(self._data):
                raise Truncated("dag-cbor", at)
            first = self._data[at]
            if first >> 5 != _TEXT:
                raise Malformed("dag-cbor", at, "a map key that is not text")
            self._items -= 1
            size = self._number(first)
            start = self.offset
            key = self._text(size)
            order = (size, self._data[start : self.offset])
            if order <= before:
                raise Malformed("dag-cbor", at, "map keys that are repeated or out of order")
            before = order
            found[key] = self.value(depth + 1)
        return found

    def _link(self, tag: int, start: int) -> Cid:
        if tag != _LINK_TAG:
            raise Malformed("dag-cbor", start, f"tag {tag}; only links have one, {_LINK_TAG}")
        at = self.offset
        if at >= len(self._data):
            raise Truncated("dag-cbor", at)
        first = self._data[at]
        if first >> 5 != _BYTES:
            raise Malformed("dag-cbor", at, "a link that is not bytes")
        content = self._take(self._number(first))
        if content[:1] != b"\x00":
            raise Malformed("dag-cbor", at, "a link without its leading zero byte")
        try:
            return Cid.from_bytes(content[1:])
        except DecodeError as error:
            raise Malformed("dag-cbor", at, f"not a link: {error}") from None
