"""Statements that check one value and append its bytes to a list."""

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
from tools.spec_compiler.element_types import run_code
from tools.spec_compiler.writer import Source, bytes_literal, literal

_LENGTH_WRITERS = {
    UVarint: "encode_varint",
    Varint62: "encode_varint62",
    DerLength: "encode_der_length",
}


def write_exact(out: Source, element: FixedBytes, value: str, path: str) -> None:
    out.raises(
        f"len({value}) != {element.length}",
        f'refused("{path}", f"{{len({value})}} bytes, wants {element.length}")',
    )


def write_uint_refusals(out: Source, element: Uint, value: str, path: str) -> None:
    if element.enum and element.enum.closed:
        table = out.enum(element.enum)
        out.raises(f"{value} not in {table}", f'refused("{path}", f"{{{value}}} is no {element.enum.name}")')
        return
    low, high = literal(element.minimum), literal(element.maximum)
    wrong = f"{value} != {low}" if low == high else f"not {low} <= {value} <= {high}"
    out.raises(wrong, f'refused_number("{path}", {value}, {low}, {high})')


def write_bytes(out: Source, element: Any, value: str, path: str, to: str = "out") -> None:
    """Append the statements that check `value` and append its bytes to the list `to`."""
    element = bare(element)
    if isinstance(element, Uint):
        write_uint_refusals(out, element, value, path)
        if element.bits == 8:
            out(f"{to}.append(bytes(({value},)))")
        else:
            out(f"{to}.append({out.struct(run_code([(value, element)]))}.pack({value}))")
    elif isinstance(element, UVarint | Varint62):
        encode = _LENGTH_WRITERS[type(element)]
        out.use(encode)
        low, high = literal(element.minimum), literal(element.maximum)
        out.raises(f"not {low} <= {value} <= {high}", f'refused_number("{path}", {value}, {low}, {high})')
        out(f"{to}.append({encode}({value}))")
    elif isinstance(element, FixedBytes):
        write_exact(out, element, value, path)
        out(f"{to}.append({value})")
    elif isinstance(element, Constant):
        out(f"{to}.append({bytes_literal(element.value)})")
    elif isinstance(element, Bytes):
        _write_content_bytes(out, element, value, path, to)
    elif isinstance(element, Delimited):
        _write_delimited_bytes(out, element, value, path, to)
    elif isinstance(element, Repeat):
        _write_count_refusal(out, value, path, element.min_count, element.max_count)
        with out.block(f"for element in {value}:"):
            write_bytes(out, element.subcon, "element", path, to)
    elif isinstance(element, Tlv):
        _write_count_refusal(out, value, path, 0, element.max_count)
        with out.block(f"for kind, content in {value}:"):
            write_bytes(out, element.kind, "kind", path, to)
            write_bytes(out, Delimited(element.max_bytes, length=element.length), "content", path, to)
            if element.align > 1:
                out(f"{to}.append(bytes(-len(content) % {element.align}))")
    elif isinstance(element, Layout | Message):
        out(f"{to}.append({value}.encode())")


def _write_count_refusal(out: Source, value: str, path: str, low: int, high: int | None) -> None:
    if low:
        out.raises(
            f"len({value}) < {low}", f'refused("{path}", f"{{len({value})}} elements, at least {low}")'
        )
    out.raises(f"len({value}) > {high}", f'refused_count("{path}", len({value}), {high})')


def _write_content_bytes(out: Source, element: Bytes, value: str, path: str, to: str) -> None:
    """Bytes or text without a length, checked against the element's own maximum."""
    content = value
    if isinstance(element, Text):
        out.use("encode_text")
        content = "encoded"
        out(f'{content} = encode_text({value}, "{path}"){_ending(element)}')
    if element.max_bytes is not None:
        limit = element.max_bytes
        out.raises(f"len({content}) > {limit}", f'refused_size("{path}", len({content}), {limit})')
    out(f"{to}.append({content})")


def _ending(text: Text) -> str:
    return f" + {bytes_literal(text.ending.encode())}" if text.ending else ""


def _write_size_refusal(out: Source, content: Any, path: str) -> None:
    """Check `region` against the content's own maximum."""
    if isinstance(content, Bytes) and content.max_bytes is not None:
        limit = content.max_bytes
        out.raises(f"len(region) > {limit}", f'refused_size("{path}", len(region), {limit})')


def _write_delimited_bytes(out: Source, element: Delimited, value: str, path: str, to: str) -> None:
    content = bare(element.subcon)
    if isinstance(content, Text):
        out.use("encode_text")
        out(f'region = encode_text({value}, "{path}"){_ending(content)}')
    elif isinstance(content, Bytes):
        out(f"region = {value}")
    elif isinstance(content, Layout | Message):
        out(f"region = {value}.encode()")
    else:
        parts = f"{to}_in"
        out(f"{parts}: list[bytes] = []")
        write_bytes(out, content, value, path, parts)
        out(f'region = b"".join({parts})')
    _write_size_refusal(out, content, path)
    low, high = element.min_bytes, element.max_bytes
    if low:
        out.raises(f"len(region) < {low}", f'refused("{path}", f"{{len(region)}} bytes, at least {low}")')
    out.raises(f"len(region) > {high}", f'refused_size("{path}", len(region), {high})')
    if isinstance(element, Der):
        out(f"{to}.append({bytes_literal(bytes([element.tag]))})")
    if isinstance(element.length, UVarint | Varint62 | DerLength):
        encode = _LENGTH_WRITERS[type(element.length)]
        out.use(encode)
        out(f"{to} += ({encode}(len(region)), region)")
    elif element.length.bits == 8:
        out(f"{to} += (bytes((len(region),)), region)")
    else:
        code = run_code([("", element.length)])
        out(f"{to} += ({out.struct(code)}.pack(len(region)), region)")
