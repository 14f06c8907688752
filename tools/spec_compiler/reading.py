"""Statements that read one element: its bounds, its value, the offset after it."""

from __future__ import annotations

from typing import Any

from protocol_specs.grammar import (
    Bytes,
    Constant,
    Delimited,
    Der,
    DerLength,
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
)
from tools.spec_compiler.bounds import Unbounded
from tools.spec_compiler.element_types import run_code
from tools.spec_compiler.writer import Source, bytes_literal, literal


def raw_name(target: str, element: Any) -> str:
    """The variable for a number as it is on the wire: another one if an enumeration's member comes of it."""
    return (
        f"{target}_number" if isinstance(element, Uint) and element.enum and element.enum.closed else target
    )


def write_uint_checks(out: Source, element: Uint, raw: str, target: str, path: str, where: str) -> None:
    low, high = element.minimum, element.maximum
    if (low, high) != (0, 2**element.bits - 1):
        out.raises(
            _outside(raw, low, high, 2**element.bits - 1),
            f'outside("{path}", {where}, {raw}, {literal(low)}, {literal(high)})',
        )
    if element.enum and element.enum.closed:
        table = out.enum(element.enum)
        out.raises(
            f"{raw} not in {table}", f'Malformed("{path}", {where}, f"{{{raw}}} is no {element.enum.name}")'
        )
        out(f"{target} = {table}[{raw}]")
    elif element.enum:
        out.enum(element.enum)


def _outside(value: str, low: int, high: int, whole: int) -> str:
    if low <= 0:
        return f"{value} > {literal(high)}"
    return (
        f"{value} < {literal(low)}" if high >= whole else f"not {literal(low)} <= {value} <= {literal(high)}"
    )


def write_read(out: Source, element: Any, target: str, path: str, end: str, level: str = "") -> None:
    """Append the statements that read an element at `offset`, not past the variable `end`, into `target`."""
    element = bare(element)
    if isinstance(element, Uint):
        _write_uint(out, element, target, path, end)
    elif isinstance(element, UVarint):
        _write_uvarint(out, target, path, end, element.minimum, element.maximum)
    elif isinstance(element, Varint62):
        _write_varint62(out, target, path, end, element.minimum, element.maximum)
    elif isinstance(element, FixedBytes):
        out.raises(f"{end} - offset < {element.length}", f'Truncated("{path}", offset)')
        out(f"{target} = bytes(data[offset : offset + {element.length}])", f"offset += {element.length}")
    elif isinstance(element, Constant):
        _write_constant(out, element.value, path, end)
    elif isinstance(element, Bytes):
        _write_rest(out, element, target, path, end)
    elif isinstance(element, Delimited):
        _write_delimited(out, element, target, path, end, level)
    elif isinstance(element, Repeat):
        _write_repeat(out, element, target, path, end, level)
    elif isinstance(element, Tlv):
        _write_tlv(out, element, target, path, end, level)
    elif isinstance(element, Layout):
        out(f"{target}, offset = {element.title}._read_part(data, offset, {end})")
    elif isinstance(element, Message):
        out(f"{target} = {element.title}._read(data, offset, {end})", f"offset = {end}")
    else:
        raise Unbounded(f"{path}: {type(element).__name__} can be interpreted but not compiled")


def _write_uint(out: Source, element: Uint, target: str, path: str, end: str) -> None:
    size = element.bits // 8
    raw = raw_name(target, element)
    out.raises(f"{end} - offset < {size}", f'Truncated("{path}", offset)')
    if size == 1:
        out(f"{raw} = data[offset]")
    else:
        out(f"({raw},) = {out.struct(run_code([(target, element)]))}.unpack_from(data, offset)")
    write_uint_checks(out, element, raw, target, path, "offset")
    out(f"offset += {size}")


def _write_constant(out: Source, value: bytes, path: str, end: str) -> None:
    size = len(value)
    out.raises(f"{end} - offset < {size}", f'Truncated("{path}", offset)')
    out.raises(
        f"data[offset : offset + {size}] != {bytes_literal(value)}",
        f'Malformed("{path}", offset, "the constant {value.hex()} is not there")',
    )
    out(f"offset += {size}")


def _write_uvarint(out: Source, target: str, path: str, end: str, low: int, high: int | None) -> None:
    out.use("read_uvarint")
    high = high or 0
    inline = min(127, high)
    condition = f"offset < {end} and (octet := data[offset]) <= {inline}"
    if low:
        condition = f"offset < {end} and {low} <= (octet := data[offset]) <= {inline}"
    with out.block(f"if {condition}:"):
        out(f"{target} = octet", "offset += 1")
    with out.block("else:"):
        out(f'{target}, offset = read_uvarint(data, offset, {end}, {low}, {literal(high)}, "{path}")')


def _write_varint62(out: Source, target: str, path: str, end: str, low: int, high: int | None) -> None:
    out.use("read_varint62")
    out(f'{target}, offset = read_varint62(data, offset, {end}, {low}, {literal(high or 0)}, "{path}")')


def _write_rest(out: Source, element: Bytes, target: str, path: str, end: str) -> None:
    if element.max_bytes is not None:
        limit = element.max_bytes
        out.raises(f"{end} - offset > {limit}", f'too_long("{path}", offset, {end} - offset, {limit})')
    if not isinstance(element, Text):
        out(f"{target} = bytes(data[offset:{end}])", f"offset = {end}")
        return
    text_end = end
    if element.ending:
        ending = element.ending.encode()
        out(f"text_end = {end} - {len(ending)}")
        out.raises(
            f"text_end < offset or data[text_end:{end}] != {bytes_literal(ending)}",
            f'Malformed("{path}", offset, "does not end in {ending.hex()}")',
        )
        text_end = "text_end"
    out.errors.add("Malformed")
    with out.block("try:"):
        out(f'{target} = str(data[offset:{text_end}], "utf-8")')
    with out.block("except UnicodeDecodeError:"):
        out(f'raise Malformed("{path}", offset, "not UTF-8") from None')
    out(f"offset = {end}")


def _write_delimited(out: Source, element: Delimited, target: str, path: str, end: str, level: str) -> None:
    """The length, then the content of its region; a truncation inside the region is Malformed."""
    size, stop = f"size{level}", f"stop{level}"
    if isinstance(element, Der):
        _write_constant(out, bytes([element.tag]), path, end)
    if isinstance(element.length, UVarint):
        _write_uvarint(out, size, path, end, element.min_bytes, element.max_bytes)
    elif isinstance(element.length, DerLength):
        out.use("read_der_length")
        low, high = element.min_bytes, element.max_bytes
        out(f'{size}, offset = read_der_length(data, offset, {end}, {low}, {high}, "{path}")')
    elif isinstance(element.length, Varint62):
        _write_varint62(out, size, path, end, element.min_bytes, element.max_bytes)
    else:
        length = element.length
        bounded = Uint(
            length.bits, little=length.little, minimum=element.min_bytes, maximum=element.max_bytes
        )
        _write_uint(out, bounded, size, path, end)
    out(f"{stop} = offset + {size}")
    out.raises(f"{stop} > {end}", f'Truncated("{path}", offset)')
    content = bare(element.subcon)
    if isinstance(content, Bytes):
        write_read(out, content, target, path, stop)
        return
    with out.block("try:"):
        write_read(out, content, target, path, stop, f"{level}_in")
    out.crossing()
    if not isinstance(content, Message | Repeat | Tlv):
        out.raises(
            f"offset != {stop}", f'Malformed("{path}", offset, f"{{{stop} - offset}} bytes left over")'
        )


def _write_repeat(out: Source, element: Repeat, target: str, path: str, end: str, level: str) -> None:
    item = f"item{level}"
    out(f"{target} = []")
    with out.block(f"while offset < {end}:"):
        out.raises(
            f"len({target}) == {element.max_count}",
            f'Malformed("{path}", offset, "more than {element.max_count}")',
        )
        write_read(out, element.subcon, item, path, end, f"{level}_in")
        out(f"{target}.append({item})")
    if element.min_count:
        out.raises(
            f"len({target}) < {element.min_count}",
            f'Malformed("{path}", offset, f"{{len({target})}} elements, at least {element.min_count}")',
        )


def _write_tlv(out: Source, element: Tlv, target: str, path: str, end: str, level: str) -> None:
    kind, item = f"kind{level}", f"item{level}"
    out(f"{target} = []")
    with out.block(f"while offset < {end}:"):
        out.raises(
            f"len({target}) == {element.max_count}",
            f'Malformed("{path}", offset, "more than {element.max_count}")',
        )
        write_read(out, element.kind, kind, path, end)
        write_read(out, Delimited(element.max_bytes, length=element.length), item, path, end, f"{level}_in")
        if element.align > 1:
            out(f"offset += -len({item}) % {element.align}")
            out.raises(f"offset > {end}", f'Truncated("{path}", {end})')
        out(f"{target}.append(({kind}, {item}))")
