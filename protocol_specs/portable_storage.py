"""Portable storage, what Levin packets carry: sections of named, typed values. The implementation is written by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import construct

from protocol_specs.elements import Bytes, Constant, Vocabulary, refuse
from protocol_specs.levin import MAX_PAYLOAD_BYTES
from protocol_specs.module import Module

MAX_DEPTH = 32
MAX_VALUES = 2**18
MAX_NAME_BYTES = 255
VARINT_LIMIT = 2**62 - 1
HEADER = Constant(bytes.fromhex("011101010101020101"))

SCALARS = {
    1: construct.Int64sl,
    2: construct.Int32sl,
    3: construct.Int16sl,
    4: construct.Int8sl,
    5: construct.Int64ul,
    6: construct.Int32ul,
    7: construct.Int16ul,
    8: construct.Int8ul,
    9: construct.Float64l,
}
STRING, BOOL, OBJECT = 10, 11, 12
IN_ARRAYS = (5, 6, STRING, OBJECT)
ARRAY = 0x80


class StorageVarint(Vocabulary, construct.Construct):  # type: ignore[misc]
    """A little-endian number whose two lowest bits say whether it has 1, 2, 4 or 8 bytes; any form is read."""

    def _parse(self, stream: Any, context: Any, path: str) -> int:
        first = construct.stream_read(stream, 1, path)
        rest = construct.stream_read(stream, (1 << (first[0] & 3)) - 1, path)
        return int.from_bytes(first + rest, "little") >> 2

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        for power, bits in enumerate((6, 14, 30, 62)):
            if 0 <= obj < 1 << bits:
                size = 1 << power
                construct.stream_write(stream, (obj * 4 + power).to_bytes(size, "little"), size, path)
                return obj
        raise refuse(f"{obj} is outside 0 to {VARINT_LIMIT}", path)


class Section(Vocabulary, construct.Construct):  # type: ignore[misc]
    """Entries of name, type and value: a dictionary of names, as bytes, to (type, value); arrays are lists.

    The last of entries with one name counts. Names are written in ascending order.
    """

    described: ClassVar[tuple[str, ...]] = ("depth",)

    def __init__(self, depth: int = 0) -> None:
        super().__init__()
        self.depth = depth
        self._varint = StorageVarint()

    def _parse(self, stream: Any, context: Any, path: str) -> dict[bytes, tuple[int, Any]]:
        if self.depth > MAX_DEPTH:
            raise refuse(f"nested deeper than {MAX_DEPTH}", path)
        found: dict[bytes, tuple[int, Any]] = {}
        for _ in range(self._count(stream, context, path)):
            name = construct.stream_read(stream, construct.stream_read(stream, 1, path)[0], path)
            tag: int = construct.stream_read(stream, 1, path)[0]
            found.pop(name, None)
            found[name] = (tag, self._parse_typed(tag, stream, context, path))
        return found

    def _parse_typed(self, tag: int, stream: Any, context: Any, path: str) -> Any:
        element = self._element(tag, path)
        if not tag & ARRAY:
            return self._parse_value(tag, element, stream, context, path)
        count = self._count(stream, context, path)
        return [self._parse_value(tag & ~ARRAY, element, stream, context, path) for _ in range(count)]

    def _parse_value(self, kind: int, element: Any, stream: Any, context: Any, path: str) -> Any:
        if kind == STRING:
            return construct.stream_read(stream, self._varint._parse(stream, context, path), path)
        if kind == BOOL:
            return construct.stream_read(stream, 1, path) != b"\0"
        return element._parsereport(stream, context, path)

    def _count(self, stream: Any, context: Any, path: str) -> int:
        count = self._varint._parse(stream, context, path)
        if count > MAX_VALUES:
            raise refuse(f"more than {MAX_VALUES} values", path)
        return count

    def _element(self, tag: int, path: str) -> Any:
        kind = tag & ~ARRAY
        if tag & ARRAY and kind not in IN_ARRAYS:
            raise refuse(f"no arrays of type {kind}", path)
        if kind in SCALARS:
            return SCALARS[kind]
        if kind == OBJECT:
            return Section(self.depth + 1)
        if kind in (STRING, BOOL):
            return None
        raise refuse(f"no type {tag}", path)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        if self.depth > MAX_DEPTH:
            raise refuse(f"nested deeper than {MAX_DEPTH}", path)
        self._varint._build(len(obj), stream, context, path)
        for name, (tag, value) in sorted(obj.items()):
            if len(name) > MAX_NAME_BYTES:
                raise refuse(f"a name of {len(name)} bytes", path)
            prefix = bytes((len(name),)) + name + bytes((tag,))
            construct.stream_write(stream, prefix, len(prefix), path)
            element = self._element(tag, path)
            if tag & ARRAY:
                self._varint._build(len(value), stream, context, path)
            for each in value if tag & ARRAY else (value,):
                self._build_value(tag & ~ARRAY, element, each, stream, context, path)
        return obj

    def _build_value(self, kind: int, element: Any, value: Any, stream: Any, context: Any, path: str) -> None:
        if kind == STRING:
            self._varint._build(len(value), stream, context, path)
            construct.stream_write(stream, value, len(value), path)
        elif kind == BOOL:
            construct.stream_write(stream, b"\1" if value else b"\0", 1, path)
        else:
            element._build(value, stream, context, path)


class Storage(Vocabulary, construct.Construct):  # type: ignore[misc]
    """The header and the root section, of at most `max_bytes`; bytes behind it mean nothing. Interpreted only."""

    described: ClassVar[tuple[str, ...]] = ("max_bytes",)

    def __init__(self, max_bytes: int | None) -> None:
        super().__init__()
        self.max_bytes = max_bytes
        self._root = Section()

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        here = stream.tell()
        Bytes(self.max_bytes)._parse(stream, context, path)
        stream.seek(here)
        HEADER._parsereport(stream, context, path)
        return self._root._parse(stream, context, path)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        HEADER._build(None, stream, context, path)
        return self._root._build(obj, stream, context, path)


MODULE = Module(
    "portable_storage",
    "Portable storage.",
    "the Lethean mesh, section 15.4 (go-p2p e6e7fe0)",
    items={"storage": Storage(MAX_PAYLOAD_BYTES)},
    implementation="mesh.protocols.lethean.portable_storage",
)
