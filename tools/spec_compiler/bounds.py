"""Refuses schemas that leave a length or a count open."""

from __future__ import annotations

from typing import Any

from protocol_specs.grammar import (
    Bytes,
    Choice,
    Constant,
    Delimited,
    FixedBytes,
    Layout,
    Message,
    Repeat,
    Text,
    Tlv,
    Uint,
    UVarint,
    Varint62,
    bare,
    width,
)
from protocol_specs.portable_storage import Storage
from protocol_specs.protobuf import LEN


class Unbounded(Exception):  # noqa: N818 - a property of the schema
    """A schema that cannot become code: an element has no maximum, or is not of the vocabulary."""


UVARINT_BYTES = 9
VARINT62_BYTES = 8


def check_bounds(element: Any, path: str, region: int | None = None) -> int:
    """The most bytes an element can take; raises Unbounded naming the field that has no maximum.

    `region` is the size of the closed region around the element, if there is one.
    """
    element = bare(element)
    if isinstance(element, Message):
        return _message(element, path)
    if isinstance(element, Layout):
        return _layout(element, path, region)
    if isinstance(element, Uint | Constant | FixedBytes):
        return width(element)
    if isinstance(element, UVarint):
        return _wanted(element.maximum and UVARINT_BYTES, path, "maximum")
    if isinstance(element, Varint62):
        return _wanted(element.maximum and VARINT62_BYTES, path, "maximum")
    if isinstance(element, Storage):
        return _wanted(element.max_bytes, path, "max_bytes")
    if isinstance(element, Bytes):
        return _wanted(region if element.max_bytes is None else element.max_bytes, path, "max_bytes")
    if isinstance(element, Delimited):
        most = _wanted(element.max_bytes, path, "max_bytes")
        check_bounds(element.subcon, path, most)
        return UVARINT_BYTES + most
    if isinstance(element, Repeat):
        each = check_bounds(element.subcon, f"{path}[]", region)
        return min(_wanted(element.max_count, path, "max_count") * each, element.max_bytes or each * 2**40)
    if isinstance(element, Tlv):
        each = (
            check_bounds(element.kind, path) + UVARINT_BYTES + _wanted(element.max_bytes, path, "max_bytes")
        )
        return _wanted(element.max_count, path, "max_count") * (each + element.align - 1)
    if isinstance(element, Choice):
        cases = [*element.choices.items(), ("default", element.otherwise)]
        return max(
            0 if case is None else check_bounds(case, f"{path}[{number}]", region) for number, case in cases
        )
    raise Unbounded(f"{path}: {type(element).__name__} is not of the vocabulary in protocol_specs.grammar")


def check_compiled(element: Any, path: str) -> None:
    """Raises Unbounded for what can be interpreted but not compiled."""
    element = bare(element)
    reason = ""
    if isinstance(element, Choice):
        reason = "a choice"
    elif isinstance(element, Text) and element.pattern:
        reason = "a pattern"
    elif isinstance(element, Bytes) and element.refused_sizes:
        reason = "refused sizes"
    elif isinstance(element, Repeat) and (element.max_bytes is not None or element.final):
        reason = "a maximum or an end of the whole list"
    if reason:
        raise Unbounded(f"{path}: {reason} is interpreted, not compiled")
    if isinstance(element, Layout):
        for name, part in element.elements:
            check_compiled(part, f"{path}.{name}")
    elif isinstance(element, Delimited | Repeat):
        check_compiled(element.subcon, path)


def _wanted(value: int | None, path: str, what: str) -> int:
    if value is None:
        raise Unbounded(f"{path}: no {what}; every element of variable length names a maximum")
    return value


def _layout(layout: Layout, path: str, region: int | None) -> int:
    total = 0
    for name, element in layout.elements:
        total += check_bounds(element, f"{path}.{name}", region)
    return total


def _message(message: Message, path: str) -> int:
    for field in message.fields:
        where = f"{path}.{field.name}"
        if field.presence == "repeated":
            _wanted(field.max_count, where, "max_count")
        if isinstance(field.kind, Message):
            _message(field.kind, where)
        elif field.wire_type == LEN:
            _wanted(field.max_bytes, where, "max_bytes")
    return _wanted(message.max_bytes, path, "max_bytes")
