"""Protobuf messages as classes: one loop over the fields, dispatch by tag."""

from __future__ import annotations

import struct

from protocol_specs.grammar import Enum
from protocol_specs.protobuf import FIXED_KINDS, FIXED_RANGES, LEN, VARINT, VARINT_KINDS, Field, Message
from tools.spec_compiler.message_writing import write_encoder
from tools.spec_compiler.records import (
    Parameter,
    needs_names,
    write_constructor,
    write_docstring,
    write_slots,
)
from tools.spec_compiler.writer import Source, literal, local, upper

LONG_LIST = 64
"""With so many elements possible, alike ones are read many at a time."""

PYTHON_TYPES = {"bytes": "bytes", "string": "str", "bool": "bool", "double": "float"}


def write_message(out: Source, message: Message) -> None:
    """Append the class of a message, and before it the table of its length-delimited fields."""
    title = message.title
    delimited = _delimited_fields(message)
    if delimited:
        with out.block(f"_{upper(title)}_FIELDS = {{"):
            for tag, field, limit in delimited:
                out(f'{tag}: ("{title}.{field.name}", {literal(limit)}),')
        out("}", "", "")
    out.use("Record")
    with out.block(f"class {title}(Record):"):
        write_docstring(out, message.doc or f"The protobuf message {title}.", message.fields)
        parameters = [_parameter(field) for field in message.fields]
        write_slots(out, parameters)
        out(f"MAX_BYTES = {message.max_bytes}", "")
        if parameters:
            write_constructor(out, parameters)
            out("")
        _write_reader(out, message)
        out("")
        write_encoder(out, message)


def element_type(out: Source, field: Field) -> str:
    """The Python type of one element of a field."""
    if isinstance(field.kind, Message):
        return str(field.kind.title)
    if isinstance(field.kind, Enum):
        out.enum(field.kind)
        return field.kind.name if field.kind.closed else "int"
    return PYTHON_TYPES.get(field.kind, "int")


def _parameter(field: Field) -> Parameter:
    blank = Source()
    element = element_type(blank, field)
    if field.presence == "repeated":
        return Parameter(field.name, f"list[{element}]", "[]")
    if field.presence == "required":
        return Parameter(field.name, element, None)
    if field.presence == "explicit":
        return Parameter(field.name, f"{element} | None", "None")
    default = repr(field.default).replace("'", '"')
    if isinstance(field.kind, Enum) and field.kind.closed:
        default = f"{field.kind.name}({default})"
    return Parameter(field.name, element, default)


def _delimited_fields(message: Message) -> list[tuple[int, Field, int]]:
    """Tag, field and greatest length of everything that is read with a length before it."""
    found = []
    for field in message.fields:
        if field.wire_type == LEN:
            limit = field.kind.max_bytes if isinstance(field.kind, Message) else field.max_bytes
            found.append((field.number << 3 | LEN, field, int(limit or 0)))
        elif field.presence == "repeated":
            found.append((field.number << 3 | LEN, field, field.packed_limit))
    return found


# --- reading -------------------------------------------------------------------------------------------


def _write_reader(out: Source, message: Message) -> None:
    title = message.title
    out("@classmethod")
    with out.block("def _read(cls, data: bytes, offset: int, end: int) -> Self:"):
        limit = message.max_bytes
        out.raises(f"end - offset > {limit}", f'too_long("{title}", offset, end - offset, {limit})')
        for field in message.fields:
            _write_start(out, field)
        with out.block("while offset < end:"):
            out("tag = data[offset]")
            out.use("read_tag", "skip_field")
            with out.block("if 7 < tag < 128:"):
                out("offset += 1")
            with out.block("else:"):
                out(f'tag, offset = read_tag(data, offset, end, "{title}")')
            word = _write_delimited(out, message)
            for field in message.fields:
                if field.scalar:
                    with out.block(f"{word} tag == {field.number << 3 | field.wire_type}:"):
                        _write_number(out, field, title)
                    word = "elif"
            if word == "if":
                out(f'offset = skip_field(data, tag, offset, end, "{title}")')
            else:
                with out.block("else:"):
                    out(f'offset = skip_field(data, tag, offset, end, "{title}")')
        for field in message.fields:
            _write_end(out, field, title)
        named = needs_names([_parameter(field) for field in message.fields])
        values = [
            f"{field.name}={local(field.name)}" if named else local(field.name) for field in message.fields
        ]
        out.call("return cls(", values)


def _write_start(out: Source, field: Field) -> None:
    """The value a field has before any occurrence."""
    name, element = local(field.name), element_type(out, field)
    if field.presence == "repeated":
        out(f"{name}: list[{element}] = []")
    elif isinstance(field.kind, Message):
        out(f"{field.name}_spans: list[tuple[int, int]] = []")
    elif field.presence == "implicit":
        default = _parameter(field).default
        if isinstance(field.kind, Enum) and field.kind.closed:
            default = f"{out.enum(field.kind)}[{field.default}]"
        out(f"{name}: {element} = {default}")
    else:
        out(f"{name}: {element} | None = None")


def _write_delimited(out: Source, message: Message) -> str:
    """The branch for every field with a length; returns how the next branch begins."""
    fields = _delimited_fields(message)
    if not fields:
        return "if"
    title = message.title
    out.use("past_end", "read_varint")
    with out.block("if tag & 7 == 2:"):
        with out.block("if offset < end and (length := data[offset]) < 128:"):
            out("offset += 1")
        with out.block("elif offset + 1 < end and (high := data[offset + 1]) < 128:"):
            out("length += (high - 1) << 7", "offset += 2")
        with out.block("else:"):
            out(f'length, offset = read_varint(data, offset, end, "{title}")')
        out("stop = offset + length")
        with out.block("if stop > end:"):
            out(f'raise past_end(_{upper(title)}_FIELDS, tag, length, offset, "{title}")')
        word = "if"
        for tag, field, limit in fields:
            with out.block(f"{word} tag == {tag}:"):
                if limit < (message.max_bytes or 0):
                    out.raises(
                        f"length > {limit}", f'too_long("{title}.{field.name}", offset, length, {limit})'
                    )
                if field.scalar:
                    _write_packed(out, field, title)
                else:
                    _write_content(out, field, title)
            word = "elif"
        out("offset = stop")
    return "elif"


def _write_content(out: Source, field: Field, title: str) -> None:
    """Take the bytes, text or message in `data[offset:stop]`."""
    path, name = f"{title}.{field.name}", local(field.name)
    repeated = field.presence == "repeated"
    if repeated:
        _write_room(out, field, title)
    if isinstance(field.kind, Message):
        if not repeated:
            out(f"{field.name}_spans.append((offset, stop))")
            return
        with out.block("try:"):
            out(f"{name}.append({field.kind.title}._read(data, offset, stop))")
        out.crossing()
        return
    value = "data[offset:stop]"
    if field.kind == "bytes":
        out(f"{name}.append({value})" if repeated else f"{name} = {value}")
        if repeated and (field.max_count or 0) >= LONG_LIST and field.number < 16:
            _write_run(out, field)
        return
    value = f"{value}.decode()"
    with out.block("try:"):
        out(f"{name}.append({value})" if repeated else f"{name} = {value}")
    out.errors.add("Malformed")
    with out.block("except UnicodeDecodeError:"):
        out(f'raise Malformed("{path}", offset, "not UTF-8") from None')


def _write_run(out: Source, field: Field) -> None:
    """Take what follows with the same tag and length at once, if something does."""
    tag = field.number << 3 | LEN
    out.use("take_run")
    out("first = length if length < 128 else length & 127 | 128")
    with out.block(
        f"if length < {1 << 14} and stop + 1 < end and data[stop] == {tag} and data[stop + 1] == first:"
    ):
        out(f"stop = take_run({local(field.name)}, data, stop, end, {tag}, length, {field.max_count})")


def _write_room(out: Source, field: Field, title: str, where: str = "offset") -> None:
    out.raises(
        f"len({local(field.name)}) >= {field.max_count}",
        f'Malformed("{title}.{field.name}", {where}, "more than {field.max_count}")',
    )


def _write_number(out: Source, field: Field, title: str) -> None:
    """Read one number in the field's own wire type."""
    path = f"{title}.{field.name}"
    checked = field.presence == "repeated" or _has_check(field)
    if checked:
        out("start = offset")
    if field.wire_type == VARINT:
        out.use("read_varint")
        with out.block("if offset < end and (number := data[offset]) < 128:"):
            out("offset += 1")
        with out.block("else:"):
            out(f'number, offset = read_varint(data, offset, end, "{path}")')
    else:
        code = FIXED_KINDS[field.kind]
        size = struct.calcsize(code)
        out.raises(f"offset + {size} > end", f'Truncated("{path}", offset)')
        out(f"(number,) = {out.struct(code)}.unpack_from(data, offset)", f"offset += {size}")
    _write_take(out, field, title, "start")


def _write_packed(out: Source, field: Field, title: str) -> None:
    """Read all numbers of `data[offset:stop]`."""
    path, name = f"{title}.{field.name}", local(field.name)
    if field.wire_type == VARINT:
        out.use("read_packed")
        source = f'read_packed(data, offset, stop, {field.max_count} - len({name}), "{path}")'
    else:
        code = FIXED_KINDS[field.kind]
        size = struct.calcsize(code)
        out.raises(f"length % {size}", f'Malformed("{path}", offset, "no whole number of elements")')
        source = f'struct.unpack_from(f"<{{length // {size}}}{code[1]}", data, offset)'
        out.needs_struct = True
    with out.block(f"for number in {source}:"):
        _write_take(out, field, title, "offset")


def _write_take(out: Source, field: Field, title: str, where: str) -> None:
    """Convert `number` from the wire to the field's type, check it and keep it."""
    path, name, value = f"{title}.{field.name}", local(field.name), "number"
    kind = "int32" if isinstance(field.kind, Enum) else field.kind
    if kind == "bool":
        value = "number != 0"
    elif kind == "uint32":
        out("number &= 0xFFFFFFFF")
    elif kind == "int32":
        with out.block("if number > 0x7FFFFFFF:"):
            out("number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000")
    elif kind == "int64":
        with out.block("if number > 0x7FFFFFFFFFFFFFFF:"):
            out("number -= 0x10000000000000000")
    elif kind in ("sint32", "sint64"):
        if kind == "sint32":
            out("number &= 0xFFFFFFFF")
        out("number = (number >> 1) ^ -(number & 1)")
    bounds = field.range
    closed = isinstance(field.kind, Enum) and field.kind.closed
    if bounds and not closed and _has_check(field):
        out.raises(
            f"not {literal(bounds[0])} <= number <= {literal(bounds[1])}",
            f'outside("{path}", {where}, number, {literal(bounds[0])}, {literal(bounds[1])})',
        )
    if closed:
        table = out.enum(field.kind)
        out.raises(
            f"number not in {table}", f'Malformed("{path}", {where}, f"{{number}} is no {field.kind.name}")'
        )
        value = f"{table}[number]"
    if field.presence == "repeated":
        _write_room(out, field, title, where)
        out(f"{name}.append({value})")
    else:
        out(f"{name} = {value}")


def _has_check(field: Field) -> bool:
    """Whether a number can be refused for its value."""
    if isinstance(field.kind, Enum):
        return field.kind.closed or (field.minimum, field.maximum) != (None, None)
    return field.range != (VARINT_KINDS | FIXED_RANGES).get(field.kind)


def _write_end(out: Source, field: Field, title: str) -> None:
    """After the last field: what is missing, and the singular messages, merged."""
    path, name = f"{title}.{field.name}", local(field.name)
    single = isinstance(field.kind, Message) and field.presence != "repeated"
    if field.presence == "required":
        missing = f"not {field.name}_spans" if single else f"{name} is None"
        out.raises(missing, f'Malformed("{path}", end, "a required field is missing")')
    if not single:
        return
    kind = field.kind
    region = f'joined(data, {field.name}_spans, {kind.max_bytes}, "{path}")'
    read = f"{kind.title}._read(*region)"
    out.use("joined")
    if field.presence == "required":
        with out.block("try:"):
            out(f"region = {region}", f"{name} = {read}")
    else:
        out(f"{name}: {kind.title} | None = None")
        out(f"if {field.name}_spans:")
        out.depth += 1
        with out.block("try:"):
            out(f"region = {region}", f"{name} = {read}")
    out.crossing()
    if field.presence != "required":
        out.depth -= 1
