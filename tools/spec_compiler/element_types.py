"""What elements are in Python: the types of their values and the formats `struct` needs."""

from __future__ import annotations

from typing import Any

from protocol_specs.grammar import (
    Bytes,
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
    fixed_runs,
    width,
)
from tools.spec_compiler.bounds import Unbounded
from tools.spec_compiler.writer import Source

Named = tuple[str | None, Any]


def value_type(out: Source, element: Any) -> str:
    """The Python type of an element's value."""
    element = bare(element)
    if isinstance(element, Uint):
        return element.enum.name if element.enum and element.enum.closed else "int"
    if isinstance(element, UVarint | Varint62):
        return "int"
    if isinstance(element, Text):
        return "str"
    if isinstance(element, Bytes | FixedBytes):
        return "bytes"
    if isinstance(element, Delimited):
        return value_type(out, element.subcon)
    if isinstance(element, Repeat):
        return f"list[{value_type(out, element.subcon)}]"
    if isinstance(element, Tlv):
        return "list[tuple[int, bytes]]"
    if isinstance(element, Layout | Message):
        return str(element.title)
    raise Unbounded(f"{type(element).__name__} can be interpreted but not compiled")


def is_fixed(layout: Layout) -> bool:
    """Whether a layout is one run of fixed size."""
    runs = fixed_runs(layout.elements)
    return len(runs) == 1 and isinstance(runs[0], list)


def run_code(run: list[Named]) -> str:
    """The format of a fixed run for `struct`."""
    codes = [element.code if isinstance(element, Uint) else f"{width(element)}s" for _, element in run]
    little = any(isinstance(element, Uint) and element.little and element.bits > 8 for _, element in run)
    return ("<" if little else ">") + "".join(codes)


def holds_record(element: Any) -> bool:
    """Whether a class reads some part of the element; classes want their input as `bytes`."""
    element = bare(element)
    if isinstance(element, Delimited | Repeat):
        return holds_record(element.subcon)
    return isinstance(element, Layout | Message)
