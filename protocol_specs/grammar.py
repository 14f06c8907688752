"""The vocabulary of the schemas: strict, bounded construct objects.

Each class is a construct object, so `schema.parse(data)` and `schema.build(value)` work by interpretation;
the same objects are what `tools.spec_compiler` turns into code. `parse` takes the whole input and refuses
bytes left over; `parse_prefix` is for stream formats and also says how much was used. Input that ends too
early raises `construct.StreamError`, anything else another `construct.ConstructError`: a generated codec
raises `Truncated` and `Malformed` in the same places.

A maximum left at None makes a schema that can be interpreted but that the compiler refuses.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import construct

from protocol_specs.elements import (
    U8,
    U16,
    U32,
    U64,
    Bytes,
    Constant,
    DerLength,
    Enum,
    FixedBytes,
    Text,
    Uint,
    UVarint,
    Varint62,
    Vocabulary,
    at_end,
    bare,
    describe,
    parse_region,
    refuse,
)
from protocol_specs.protobuf import Field, Message, field

__all__ = [
    "U8",
    "U16",
    "U32",
    "U64",
    "Bytes",
    "Choice",
    "Constant",
    "Delimited",
    "Der",
    "DerLength",
    "Enum",
    "Field",
    "FixedBytes",
    "Layout",
    "Message",
    "Repeat",
    "Text",
    "Tlv",
    "UVarint",
    "Uint",
    "Varint62",
    "bare",
    "describe",
    "field",
    "fixed_runs",
    "width",
]


class Delimited(Vocabulary, construct.Subconstruct):  # type: ignore[misc]
    """A length of `min_bytes` to `max_bytes`, then `content` of exactly that many bytes.

    `length` is how the length is written: `UVarint()` (the default), `Varint62()`, `DerLength()`, `U8`, `U16` or
    `U32`.
    """

    described: ClassVar[tuple[str, ...]] = ("max_bytes", "min_bytes", "length", "subcon")

    def __init__(
        self,
        max_bytes: int | None,
        content: Any = None,
        *,
        length: Uint | UVarint | Varint62 | DerLength | None = None,
        min_bytes: int = 0,
    ) -> None:
        super().__init__(Bytes() if content is None else content)
        self.max_bytes = max_bytes
        self.min_bytes = min_bytes
        self.length = UVarint() if length is None else length
        if isinstance(self.length, Uint):
            self._length: Any = Uint(
                self.length.bits, little=self.length.little, minimum=min_bytes, maximum=max_bytes
            )
        else:
            self._length = type(self.length)(max_bytes, minimum=min_bytes)

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        size = self._length._parsereport(stream, context, path)
        return parse_region(self.subcon, construct.stream_read(stream, size, path), context, path)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        inner = io.BytesIO()
        self.subcon._build(obj, inner, context, path)
        content = inner.getvalue()
        self._length._build(len(content), stream, context, path)
        construct.stream_write(stream, content, len(content), path)
        return obj


class Der(Delimited):
    """One element of DER: the byte of its tag, a definite length, then `content` of 0 to `max_bytes` bytes."""

    described = ("tag", "max_bytes", "subcon")

    def __init__(self, tag: int, max_bytes: int | None, content: Any = None) -> None:
        super().__init__(max_bytes, content, length=DerLength())
        self.tag = tag
        self._tag = Constant(bytes([tag]))

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        self._tag._parsereport(stream, context, path)
        return super()._parse(stream, context, path)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        self._tag._build(None, stream, context, path)
        return super()._build(obj, stream, context, path)


class _Present(construct.Construct):  # type: ignore[misc]
    """Takes nothing, but wants so many bytes to be there: what has a fixed size is read as one block."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.flagbuildnone = True

    def _parse(self, stream: Any, context: Any, path: str) -> None:
        here = stream.tell()
        construct.stream_read(stream, self.size, path)
        stream.seek(here)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        return obj


class Layout(Vocabulary, construct.Struct):  # type: ignore[misc]
    """Named elements one after another, a record of the class `title`.

    Made as `Layout("Header", "version" / U8, ...)`; neighbours of fixed size are read as one block.
    """

    described = ("title", "elements")

    def __init__(self, title: str, *elements: Any, doc: str = "") -> None:
        self.title = title
        self.doc = doc
        self.elements: list[tuple[str | None, Any]] = [(element.name, bare(element)) for element in elements]
        parts, at = [], 0
        for run in fixed_runs(self.elements):
            size = len(run) if isinstance(run, list) else 1
            if isinstance(run, list):
                parts.append(_Present(sum(width(element) for _, element in run)))
            parts += elements[at : at + size]
            at += size
        super().__init__(*parts)

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        value = super()._parse(stream, context, path)
        value.pop("_io", None)
        return value


class Repeat(Vocabulary, construct.Subconstruct):  # type: ignore[misc]
    """Elements of one kind up to the end of the region, `min_count` to `max_count` of them.

    `max_bytes` bounds the whole region. `final` names a field of the elements and a number: where the field
    has that number, no element may follow. Schemas with either are interpreted only.
    """

    described = ("max_count", "min_count", "max_bytes", "final", "subcon")

    def __init__(
        self,
        element: Any,
        *,
        max_count: int | None,
        min_count: int = 0,
        max_bytes: int | None = None,
        final: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(element)
        self.max_count = max_count
        self.min_count = min_count
        self.max_bytes = max_bytes
        self.final = final

    def _parse(self, stream: Any, context: Any, path: str) -> list[Any]:
        found: list[Any] = []
        if self.max_bytes is not None:
            here = stream.tell()
            Bytes(self.max_bytes)._parse(stream, context, path)
            stream.seek(here)
        while not at_end(stream):
            if found and self.final is not None and found[-1][self.final[0]] == self.final[1]:
                raise refuse(f"an element follows one whose {self.final[0]} is {self.final[1]}", path)
            if self.max_count is not None and len(found) == self.max_count:
                raise refuse(f"more than {self.max_count}", path)
            found.append(self.subcon._parsereport(stream, context, path))
        self._counted(len(found), path)
        return found

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        self._counted(len(obj), path)
        for element in obj:
            self.subcon._build(element, stream, context, path)
        return obj

    def _counted(self, count: int, path: str) -> None:
        if count < self.min_count or (self.max_count is not None and count > self.max_count):
            raise refuse(f"{count} elements, wants {self.min_count} to {self.max_count}", path)


class _Aligned(construct.Subconstruct):  # type: ignore[misc]
    """Bytes, then as many that mean nothing as make their number a multiple of `align`; zeros are written."""

    def __init__(self, subcon: Any, align: int) -> None:
        super().__init__(subcon)
        self.align = align

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        value = self.subcon._parsereport(stream, context, path)
        construct.stream_read(stream, -len(value) % self.align, path)
        return value

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        self.subcon._build(obj, stream, context, path)
        padding = bytes(-len(obj) % self.align)
        construct.stream_write(stream, padding, len(padding), path)
        return obj


class Tlv(Vocabulary, construct.Construct):  # type: ignore[misc]
    """Up to `max_count` times type, length and value to the end of the region: a list of (type, bytes).

    Behind each value stand bytes without meaning up to a multiple of `align`, which the length leaves out.
    """

    described = ("kind", "length", "max_bytes", "max_count", "align")

    def __init__(
        self,
        *,
        kind: Uint | UVarint,
        length: Uint | UVarint,
        max_bytes: int | None,
        max_count: int | None,
        align: int = 1,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.length = length
        self.max_bytes = max_bytes
        self.max_count = max_count
        self.align = align
        self._entry = construct.Sequence(kind, _Aligned(Delimited(max_bytes, length=length), align))
        self._entries = Repeat(self._entry, max_count=max_count)

    def _parse(self, stream: Any, context: Any, path: str) -> list[tuple[int, bytes]]:
        return [(kind, value) for kind, value in self._entries._parse(stream, context, path)]

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        return self._entries._build([list(entry) for entry in obj], stream, context, path)


class Choice(Vocabulary, construct.Switch):  # type: ignore[misc]
    """The element that an earlier number of the same layout selects.

    A case of None takes no bytes. Numbers without a case take `default`, or are refused when there is none.
    Interpreted only: the compiler does not take it.
    """

    described = ("selector", "choices", "otherwise")

    def __init__(self, selector: str, choices: Mapping[int, Any], *, default: Any = None) -> None:
        self.selector = selector
        self.choices = dict(choices)
        self.otherwise = default
        super().__init__(
            lambda context: context[selector],
            {number: construct.Pass if case is None else case for number, case in choices.items()},
            default=construct.Error if default is None else default,
        )


def width(element: Any) -> int:
    """Bytes an element of fixed size takes."""
    if isinstance(element, Uint):
        return element.bits // 8
    if isinstance(element, Constant):
        return len(element.value)
    return int(element.length)


def fixed_runs(elements: Iterable[tuple[str | None, Any]]) -> list[Any]:
    """Group neighbours of fixed size and one byte order into lists; other elements stay single pairs.

    A run is read as one block: it is there whole, or the input is truncated.
    """
    runs: list[Any] = []
    for name, element in elements:
        if not isinstance(element, Uint | Constant | FixedBytes):
            runs.append((name, element))
        elif (
            runs and isinstance(runs[-1], list) and len({*_orders(runs[-1]), *_orders([(name, element)])}) < 2
        ):
            runs[-1].append((name, element))
        else:
            runs.append([(name, element)])
    return runs


def _orders(run: list[tuple[str | None, Any]]) -> set[bool]:
    return {element.little for _, element in run if isinstance(element, Uint) and element.bits > 8}
