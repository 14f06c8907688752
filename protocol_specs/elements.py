"""The smallest parts of a schema, numbers, bytes and text, and what every part of the vocabulary shares."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import construct

UVARINT_LIMIT = 2**63 - 1
VARINT62_LIMIT = 2**62 - 1


def refuse(reason: str, path: str) -> construct.ValidationError:
    """The error for bytes or values that no further input could make valid."""
    return construct.ValidationError(reason, path=path)


def parse_region(element: Any, data: bytes, context: Any, path: str) -> Any:
    """Read `element` from exactly `data`, whose end is known: to end early there is not truncation."""
    stream = io.BytesIO(data)
    try:
        value = element._parsereport(stream, context, path)
    except construct.StreamError as error:
        raise refuse("an element crosses the end of its region", path) from error
    if stream.tell() != len(data):
        raise refuse(f"{len(data) - stream.tell()} bytes left over", path)
    return value


@dataclass(frozen=True, slots=True)
class Enum:
    """Names for numbers. A closed one refuses all other numbers, an open one lets them through."""

    name: str
    members: Mapping[str, int]
    closed: bool = True
    doc: str = ""

    def check(self, value: int, path: str) -> int:
        """Return `value` if it may appear on the wire."""
        if self.closed and value not in self.members.values():
            raise refuse(f"{value} is no {self.name}", path)
        return value


class Vocabulary:
    """What all elements share: parsing of whole inputs; `described` names what defines a format."""

    described: ClassVar[tuple[str, ...]] = ()

    def parse(self, data: bytes) -> Any:
        """Read all of `data`; bytes left over are refused."""
        value, used = self.parse_prefix(data)
        if used != len(data):
            raise refuse(f"{len(data) - used} bytes left over", "(parsing)")
        return value

    def parse_prefix(self, data: bytes) -> tuple[Any, int]:
        """Read from the start of `data`; return the value and the number of bytes it took."""
        stream = io.BytesIO(data)
        value = self.parse_stream(stream)  # type: ignore[attr-defined]
        return value, stream.tell()


class Uint(Vocabulary, construct.FormatField):  # type: ignore[misc]
    """An unsigned integer of 8, 16, 32 or 64 bits, big-endian unless `little`, with an optional range or
    enum.
    """

    described = ("bits", "little", "minimum", "maximum", "enum")

    def __init__(
        self,
        bits: int,
        *,
        little: bool = False,
        minimum: int = 0,
        maximum: int | None = None,
        enum: Enum | None = None,
    ) -> None:
        self.bits = bits
        self.little = little
        self.minimum = minimum
        self.maximum = 2**bits - 1 if maximum is None else maximum
        self.enum = enum
        self.code = {8: "B", 16: "H", 32: "I", 64: "Q"}[bits]
        super().__init__("<" if little else ">", "L" if bits == 32 else self.code)

    def _parse(self, stream: Any, context: Any, path: str) -> int:
        return self._checked(super()._parse(stream, context, path), path)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        return super()._build(self._checked(obj, path), stream, context, path)

    def _checked(self, value: int, path: str) -> int:
        if not self.minimum <= value <= self.maximum:
            raise refuse(f"{value} is outside {self.minimum} to {self.maximum}", path)
        return value if self.enum is None else self.enum.check(value, path)


U8, U16, U32, U64 = Uint(8), Uint(16), Uint(32), Uint(64)


class UVarint(Vocabulary, construct.Construct):  # type: ignore[misc]
    """A multiformats unsigned varint: minimal, at most 9 bytes, from `minimum` to `maximum`.

    It is refused as soon as the bytes seen exclude every permitted value, even if more are due.
    """

    described = ("minimum", "maximum")

    def __init__(self, maximum: int | None = None, *, minimum: int = 0) -> None:
        super().__init__()
        self.maximum = maximum
        self.minimum = minimum

    def _parse(self, stream: Any, context: Any, path: str) -> int:
        limit = UVARINT_LIMIT if self.maximum is None else self.maximum
        groups: list[int] = []
        while True:
            octet: int = construct.stream_read(stream, 1, path)[0]
            groups.append(octet & 0x7F)
            value = sum(group << 7 * position for position, group in enumerate(groups))
            if octet < 0x80:
                break
            if value + (1 << 7 * len(groups)) > limit:
                raise refuse(f"more than {limit}", path)
        if len(groups) > 1 and groups[-1] == 0:
            raise refuse("not the shortest form", path)
        if not self.minimum <= value <= limit:
            raise refuse(f"{value} is outside {self.minimum} to {limit}", path)
        return value

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        limit = UVARINT_LIMIT if self.maximum is None else self.maximum
        if not isinstance(obj, int) or not self.minimum <= obj <= limit:
            raise refuse(f"{obj} is outside {self.minimum} to {limit}", path)
        rest = obj
        while rest > 0x7F:
            construct.stream_write(stream, bytes([rest & 0x7F | 0x80]), 1, path)
            rest >>= 7
        construct.stream_write(stream, bytes([rest]), 1, path)
        return obj


class DerLength(Vocabulary, construct.Construct):  # type: ignore[misc]
    """A definite length of DER (X.690, 10.1): one byte below 128, else as few big-endian bytes as it takes, counted
    by the byte before them. From `minimum` to `maximum`.
    """

    described = ("minimum", "maximum")

    def __init__(self, maximum: int | None = None, *, minimum: int = 0) -> None:
        super().__init__()
        self.maximum = maximum
        self.minimum = minimum

    def _parse(self, stream: Any, context: Any, path: str) -> int:
        first: int = construct.stream_read(stream, 1, path)[0]
        if first < 0x80:
            return self._checked(first, path)
        size = first - 0x80
        if not 1 <= size <= self._most_octets:
            raise refuse("a length that is indefinite or too large", path)
        octets: bytes = construct.stream_read(stream, size, path)
        value = int.from_bytes(octets, "big")
        if octets[0] == 0 or value < 0x80:
            raise refuse("not the shortest form", path)
        return self._checked(value, path)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        value = self._checked(obj, path)
        if value < 0x80:
            construct.stream_write(stream, bytes([value]), 1, path)
            return obj
        octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
        construct.stream_write(stream, bytes([0x80 + len(octets)]) + octets, 1 + len(octets), path)
        return obj

    @property
    def _most_octets(self) -> int:
        return ((self.maximum or 0).bit_length() + 7) // 8

    def _checked(self, value: int, path: str) -> int:
        if not self.minimum <= value <= (self.maximum or 0):
            raise refuse(f"{value} is outside {self.minimum} to {self.maximum}", path)
        return value


class Varint62(Vocabulary, construct.Construct):  # type: ignore[misc]
    """QUIC's variable-length integer (RFC 9000 section 16) from `minimum` to `maximum`.

    The two highest bits of the first byte say whether it has 1, 2, 4 or 8 bytes; any form that holds the number is
    read, the shortest is written.
    """

    described = ("minimum", "maximum")

    def __init__(self, maximum: int | None = None, *, minimum: int = 0) -> None:
        super().__init__()
        self.maximum = maximum
        self.minimum = minimum

    def _parse(self, stream: Any, context: Any, path: str) -> int:
        first: int = construct.stream_read(stream, 1, path)[0]
        rest = construct.stream_read(stream, (1 << (first >> 6)) - 1, path)
        value = int.from_bytes(bytes((first & 0x3F,)) + rest, "big")
        self._checked(value, path)
        return value

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        self._checked(obj, path)
        power = next(power for power in range(4) if obj < 1 << (8 << power) - 2)
        encoded = (power << (8 << power) - 2 | obj).to_bytes(1 << power, "big")
        construct.stream_write(stream, encoded, len(encoded), path)
        return obj

    def _checked(self, value: int, path: str) -> None:
        limit = VARINT62_LIMIT if self.maximum is None else min(self.maximum, VARINT62_LIMIT)
        if not self.minimum <= value <= limit:
            raise refuse(f"{value} is outside {self.minimum} to {limit}", path)


class Constant(Vocabulary, construct.Const):  # type: ignore[misc]
    """Bytes that are always the same: a magic number, a reserved field. They are not part of the value."""

    described = ("value",)

    def __init__(self, value: bytes) -> None:
        super().__init__(value)

    def _parse(self, stream: Any, context: Any, path: str) -> bytes:
        try:
            constant: bytes = super()._parse(stream, context, path)
        except construct.ConstError as error:
            raise refuse(str(error), path) from error
        return constant


class FixedBytes(Vocabulary, construct.Bytes):  # type: ignore[misc]
    """Exactly `length` bytes."""

    described = ("length",)

    def __init__(self, length: int) -> None:
        super().__init__(length)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        if len(obj) != self.length:
            raise refuse(f"{len(obj)} bytes, wants {self.length}", path)
        return super()._build(bytes(obj), stream, context, path)


class Bytes(Vocabulary, construct.Construct):  # type: ignore[misc]
    """The rest of the region, at most `max_bytes` (inside `Delimited` its maximum holds), of no
    `refused_sizes`.

    Schemas with refused sizes are interpreted only.
    """

    described: ClassVar[tuple[str, ...]] = ("max_bytes", "refused_sizes")

    def __init__(self, max_bytes: int | None = None, *, refused_sizes: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.max_bytes = max_bytes
        self.refused_sizes = refused_sizes

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        data: bytes = stream.read()
        self._bounded(len(data), path)
        return data

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        self._bounded(len(obj), path)
        construct.stream_write(stream, bytes(obj), len(obj), path)
        return obj

    def _bounded(self, size: int, path: str) -> None:
        if self.max_bytes is not None and size > self.max_bytes:
            raise refuse(f"{size} bytes, at most {self.max_bytes}", path)
        if size in self.refused_sizes:
            raise refuse(f"{size} bytes is no permitted size", path)


class Text(Bytes):
    """The rest of the region as UTF-8, followed by `ending`, which is not part of the value.

    `pattern` is a regular expression for the whole value; schemas with one are interpreted only.
    """

    described = ("max_bytes", "ending", "pattern")

    def __init__(self, max_bytes: int | None = None, *, ending: str = "", pattern: str = "") -> None:
        super().__init__(max_bytes)
        self.ending = ending
        self.pattern = pattern

    def _parse(self, stream: Any, context: Any, path: str) -> str:
        data: bytes = super()._parse(stream, context, path)
        ending = self.ending.encode()
        if not data.endswith(ending):
            raise refuse(f"does not end in {self.ending!r}", path)
        try:
            text = data[: len(data) - len(ending)].decode()
        except UnicodeDecodeError as error:
            raise refuse("not UTF-8", path) from error
        return self._matching(text, path)

    def _matching(self, text: str, path: str) -> str:
        if self.pattern and not re.fullmatch(self.pattern, text, re.DOTALL):
            raise refuse(f"does not match {self.pattern}", path)
        return text

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        try:
            encoded = (self._matching(obj, path) + self.ending).encode()
        except UnicodeEncodeError as error:
            raise refuse("not UTF-8", path) from error
        return super()._build(encoded, stream, context, path)


def bare(element: Any) -> Any:
    """An element without the name that `"name" / element` put on it."""
    while isinstance(element, construct.Renamed):
        element = element.subcon
    return element


def at_end(stream: Any) -> bool:
    """Whether nothing is left of a stream."""
    here = stream.tell()
    more = stream.read(1)
    stream.seek(here)
    return not more


def describe(element: Any) -> Any:
    """What defines a format, as nested lists: equal descriptions mean equal bytes on the wire."""
    if isinstance(element, Enum):
        return [element.name, element.closed, sorted(element.members.items())]
    if isinstance(element, Vocabulary):
        return [type(element).__name__, *(describe(getattr(element, name)) for name in element.described)]
    if isinstance(element, list | tuple):
        return [describe(part) for part in element]
    if isinstance(element, Mapping):
        return [[key, describe(element[key])] for key in element]
    if isinstance(element, bytes):
        return element.hex()
    return element if isinstance(element, int | str | None) else type(element).__name__
