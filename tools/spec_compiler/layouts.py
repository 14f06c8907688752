"""Layouts as classes and single elements as pairs of functions; what has a fixed size is read in one go."""

from __future__ import annotations

from typing import Any

from protocol_specs.grammar import (
    Constant,
    Delimited,
    FixedBytes,
    Layout,
    Uint,
    fixed_runs,
    width,
)
from tools.spec_compiler.bounds import check_bounds
from tools.spec_compiler.element_types import Named, holds_record, is_fixed, run_code, value_type
from tools.spec_compiler.reading import raw_name, write_read, write_uint_checks
from tools.spec_compiler.records import Parameter, write_constructor, write_docstring, write_slots
from tools.spec_compiler.writer import Source, bytes_literal, local, upper
from tools.spec_compiler.writing import write_bytes, write_exact, write_uint_refusals


def write_layout(out: Source, layout: Layout) -> None:
    """Append the class of a layout, and before it its fixed runs as `struct.Struct`."""
    title = layout.title
    runs = fixed_runs(layout.elements)
    names = _run_names(layout, runs)
    out.needs_struct = out.needs_struct or bool(names)
    for at, name in names.items():
        out(f'{name} = struct.Struct("{run_code(runs[at])}")')
        if is_fixed(layout):
            out(f"{name}_BYTES = {sum(width(element) for _, element in runs[at])}")
    if names:
        out("", "")
    out.use("Record", "Buffer")
    with out.block(f"class {title}(Record):"):
        write_docstring(out, layout.doc or f"The record {title}.")
        parameters = [Parameter(name, value_type(out, each), None) for name, each in layout.elements if name]
        write_slots(out, parameters)
        out(f"MAX_BYTES = {check_bounds(layout, title)}", "")
        if parameters:
            write_constructor(out, parameters)
            out("")
        _write_doors(out, title)
        out("@classmethod")
        with out.block("def _read_part(cls, data: bytes, offset: int, end: int) -> tuple[Self, int]:"):
            for at, run in enumerate(runs):
                if isinstance(run, list):
                    _write_run(out, run, names[at], title)
                else:
                    name, element = run
                    out(f"{local(name)}: {value_type(out, element)}")
                    write_read(out, element, local(name), f"{title}.{name}", "end")
            out.call("return cls(", [local(each.name) for each in parameters], "), offset")
        out("")
        with out.block("def encode(self) -> bytes:"):
            out('"""The bytes of this record; raises UsageError naming the element that breaks a limit."""')
            if is_fixed(layout):
                _write_run_bytes(out, runs[0], names[0], title, "return ")
                return
            out("out: list[bytes] = []")
            for at, run in enumerate(runs):
                if isinstance(run, list):
                    _write_run_bytes(out, run, names[at], title, "out.append(", ")")
                else:
                    write_bytes(out, run[1], f"self.{run[0]}", f"{title}.{run[0]}")
            out('return b"".join(out)')


def _run_names(layout: Layout, runs: list[Any]) -> dict[int, str]:
    """The names of the runs' structs by position."""
    title = upper(layout.title)
    if is_fixed(layout):
        return {0: title}
    return {at: f"_{title}_{at}" for at, run in enumerate(runs) if isinstance(run, list)}


def _write_doors(out: Source, title: str) -> None:
    out("@classmethod")
    with out.block("def decode_prefix(cls, data: Buffer, offset: int = 0) -> tuple[Self, int]:"):
        out('"""Read one record that starts at `offset`; return it with the offset after it."""')
        with out.block("if not isinstance(data, bytes):"):
            out("data = bytes(data)")
        out("return cls._read_part(data, offset, len(data))")
    out("", "@classmethod")
    with out.block("def _read(cls, data: bytes, offset: int, end: int) -> Self:"):
        out("value, stop = cls._read_part(data, offset, end)")
        out.raises("stop != end", f'Malformed("{title}", stop, f"{{end - stop}} bytes left over")')
        out("return value")
    out("")


def _write_run(out: Source, run: list[Named], struct_name: str, title: str) -> None:
    """Unpack a fixed run, then check each of its elements."""
    size = sum(width(element) for _, element in run)
    out.raises(f"end - offset < {size}", f'Truncated("{title}", offset)')
    targets = [
        raw_name(local(name), element) if name else f"constant_{at}" for at, (name, element) in enumerate(run)
    ]
    unpacked = f"({targets[0]},)" if len(targets) == 1 else ", ".join(targets)
    out(f"{unpacked} = {struct_name}.unpack_from(data, offset)")
    start = 0
    for at, (name, element) in enumerate(run):
        where = f"offset + {start}" if start else "offset"
        if isinstance(element, Constant):
            out.raises(
                f"{targets[at]} != {bytes_literal(element.value)}",
                f'Malformed("{title}", {where}, "the constant {element.value.hex()} is not there")',
            )
        elif isinstance(element, Uint):
            write_uint_checks(out, element, targets[at], local(str(name)), f"{title}.{name}", where)
        start += width(element)
    out(f"offset += {size}")


def _write_run_bytes(
    out: Source, run: list[Named], struct_name: str, title: str, opening: str, closing: str = ""
) -> None:
    values = []
    for name, element in run:
        if isinstance(element, Constant):
            values.append(bytes_literal(element.value))
            continue
        path, value = f"{title}.{name}", f"self.{name}"
        if isinstance(element, FixedBytes):
            write_exact(out, element, value, path)
        else:
            write_uint_refusals(out, element, value, path)
        values.append(value)
    out.call(f"{opening}{struct_name}.pack(", values, f"){closing}")


def write_functions(out: Source, name: str, element: Any) -> None:
    """Append `encode_<name>` and `decode_<name>` for a format that is one element of a stream."""
    if isinstance(element, FixedBytes):
        out(f"{name.upper()}_BYTES = {element.length}", "", "")
    elif isinstance(element, Delimited):
        out(f"MAX_{name.upper()}_BYTES = {element.max_bytes}", "", "")
    kind = value_type(out, element)
    argument = {"str": "text", "bytes": "payload"}.get(kind, "value")
    with out.block(f"def encode_{name}({argument}: {kind}) -> bytes:"):
        out(f'"""The bytes of one {name}; raises UsageError when a limit is broken."""')
        out("out: list[bytes] = []")
        write_bytes(out, element, argument, name)
        out('return b"".join(out)')
    out("", "")
    out.use("Buffer")
    with out.block(f"def decode_{name}(data: Buffer, offset: int = 0) -> tuple[{kind}, int]:"):
        out(f'"""One {name} at `offset` and the offset after it; Truncated if more bytes could help."""')
        if holds_record(element):
            with out.block("if not isinstance(data, bytes):"):
                out("data = bytes(data)")
        out("end = len(data)", f"value: {kind}")
        write_read(out, element, "value", name, "end")
        out("return value, offset")
