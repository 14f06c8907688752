"""How a message class writes its fields: checks of every limit, then tags and bytes."""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.protobuf import FIXED_KINDS, FIXED_RANGES, LEN, VARINT, VARINT_KINDS, Field, Message
from tools.spec_compiler.writer import Source, bytes_literal, literal

ITEM_NAMES = {"bytes": "chunk", "string": "text", "double": "real"} | dict.fromkeys(
    [*VARINT_KINDS, *FIXED_RANGES], "number"
)


def write_encoder(out: Source, message: Message) -> None:
    title, limit = message.title, message.max_bytes
    with out.block("def encode(self) -> bytes:"):
        out('"""The fields in number order; raises UsageError naming a field over its limit."""')
        if not message.fields:
            out('return b""')
            return
        out("out: list[bytes] = []")
        for field in message.fields:
            _write_field(out, field, title)
        out('encoded = b"".join(out)')
        out.raises(f"len(encoded) > {limit}", f'refused_size("{title}", len(encoded), {limit})')
        out("return encoded")


def _write_field(out: Source, field: Field, title: str) -> None:
    path, attribute = f"{title}.{field.name}", f"self.{field.name}"
    tag = bytes_literal(_varint(field.number << 3 | field.wire_type))
    item = ITEM_NAMES.get(str(field.kind), f"{field.name}_item")
    if field.presence == "repeated":
        out.raises(
            f"len({attribute}) > {field.max_count}",
            f'refused_count("{path}", len({attribute}), {field.max_count})',
        )
        if field.packed:
            with out.block(f"if {attribute}:"):
                out("packed = bytearray()")
                with out.block(f"for {item} in {attribute}:"):
                    out(f"packed += {_number_bytes(out, field, path, item)}")
                out.use("encode_varint")
                packed_tag = bytes_literal(_varint(field.number << 3 | LEN))
                out(f"out += ({packed_tag}, encode_varint(len(packed)), bytes(packed))")
            return
        if field.kind == "bytes":
            out.use("put_run")
            out(f'put_run(out, {tag}, {attribute}, {field.max_bytes}, "{path}")')
            return
        with out.block(f"for {item} in {attribute}:"):
            _write_element(out, field, path, item, tag)
        return
    variable = _variable(field)
    out(f"{variable} = {attribute}")
    if field.presence == "required":
        _write_element(out, field, path, variable, tag)
        return
    with out.block(f"if {variable} is not None:" if field.presence == "explicit" else f"if {variable}:"):
        _write_element(out, field, path, variable, tag)


def _variable(field: Field) -> str:
    taken = field.name in ("self", "out", "size", "encoded", "packed", "content")
    return field.name + "_" if taken else field.name


def _write_element(out: Source, field: Field, path: str, value: str, tag: str) -> None:
    """Append a tag and one element to `out`."""
    if field.scalar:
        out(f"out += ({tag}, {_number_bytes(out, field, path, value)})")
        return
    out.use("encode_varint", "ONE_BYTE")
    content = value
    if isinstance(field.kind, Message):
        content = "content"
        out(f"content = {value}.encode()")
    elif field.kind == "string":
        content = "content"
        out.use("encode_text")
        out(f'content = encode_text({value}, "{path}")')
    out(f"size = len({content})")
    if not isinstance(field.kind, Message):
        out.raises(f"size > {field.max_bytes}", f'refused_size("{path}", size, {field.max_bytes})')
    out(f"out += ({tag}, ONE_BYTE[size] if size < 128 else encode_varint(size), {content})")


def _number_bytes(out: Source, field: Field, path: str, value: str) -> str:
    """Append the checks of a number; return the expression for its bytes."""
    if isinstance(field.kind, Enum) and field.kind.closed:
        table = out.enum(field.kind)
        out.raises(f"{value} not in {table}", f'refused("{path}", f"{{{value}}} is no {field.kind.name}")')
    elif field.range and field.kind != "bool":
        low, high = map(literal, field.range)
        out.raises(f"not {low} <= {value} <= {high}", f'refused_number("{path}", {value}, {low}, {high})')
    if field.wire_type != VARINT:
        return f"{out.struct(FIXED_KINDS[field.kind])}.pack({value})"
    if field.kind == "bool":
        return f'b"\\x01" if {value} else b"\\x00"'
    out.use("encode_varint", "ONE_BYTE")
    if field.kind in ("sint32", "sint64"):
        return f"encode_varint({value} << 1 if {value} >= 0 else ~({value} << 1))"
    if field.range and field.range[0] < 0:
        return f"encode_varint({value} & 0xFFFFFFFFFFFFFFFF)"
    return f"ONE_BYTE[{value}] if {value} < 128 else encode_varint({value})"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))
