"""Protobuf messages in the vocabulary of the schemas.

`Message("Identify", field(1, "public_key", "bytes", max_bytes=4096), ..., max_bytes=8192)` is a construct
object that follows Go's protobuf runtime: unknown fields are skipped, the last scalar wins, a singular
message seen again is merged, repeated scalars come packed or not. Stricter than Go: every length and count
has a maximum, groups nest at most 16 deep, numbers may have a range, and a closed enum refuses unknown
numbers.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, Literal

import construct

from protocol_specs.elements import Enum, Vocabulary, at_end, describe, refuse

MAX_GROUP_DEPTH = 16
MAX_FIELD_NUMBER = 2**29 - 1

VARINT, I64, LEN, SGROUP, EGROUP, I32 = range(6)

Presence = Literal["explicit", "implicit", "required", "repeated"]

VARINT_KINDS = {
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint64": (0, 2**64 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "sint32": (-(2**31), 2**31 - 1),
    "sint64": (-(2**63), 2**63 - 1),
    "bool": (0, 1),
}
FIXED_KINDS = {"fixed32": "<I", "sfixed32": "<i", "fixed64": "<Q", "sfixed64": "<q", "double": "<d"}
FIXED_RANGES = {
    "fixed32": (0, 2**32 - 1),
    "sfixed32": (-(2**31), 2**31 - 1),
    "fixed64": (0, 2**64 - 1),
    "sfixed64": (-(2**63), 2**63 - 1),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message; see `field`."""

    number: int
    name: str
    kind: Any
    presence: Presence
    max_bytes: int | None
    max_count: int | None
    packed: bool
    minimum: int | None
    maximum: int | None
    doc: str

    @property
    def wire_type(self) -> int:
        """The wire type of one element."""
        if isinstance(self.kind, Message) or self.kind in ("bytes", "string"):
            return LEN
        if isinstance(self.kind, Enum) or self.kind in VARINT_KINDS:
            return VARINT
        return I64 if struct.calcsize(FIXED_KINDS[self.kind]) == 8 else I32

    @property
    def scalar(self) -> bool:
        """Whether the elements are numbers, which may be packed."""
        return self.wire_type != LEN

    @property
    def packed_limit(self) -> int:
        """The most bytes a packed occurrence can take."""
        size = 10 if self.wire_type == VARINT else struct.calcsize(FIXED_KINDS[self.kind])
        return size * (self.max_count or 0)

    @property
    def range(self) -> tuple[int, int] | None:
        """Least and greatest number, or None for what is no integer."""
        if isinstance(self.kind, Enum):
            numbers = self.kind.members.values()
            whole = (min(numbers), max(numbers)) if self.kind.closed else VARINT_KINDS["int32"]
        elif self.kind in VARINT_KINDS:
            whole = VARINT_KINDS[self.kind]
        elif self.kind in FIXED_RANGES:
            whole = FIXED_RANGES[self.kind]
        else:
            return None
        return whole[0] if self.minimum is None else self.minimum, whole[
            1
        ] if self.maximum is None else self.maximum

    @property
    def default(self) -> Any:
        """The value when the field is absent: None unless the presence is implicit or repeated."""
        if self.presence == "repeated":
            return []
        if self.presence != "implicit":
            return None
        return {"bytes": b"", "string": "", "bool": False, "double": 0.0}.get(str(self.kind), 0)


def field(
    number: int,
    name: str,
    kind: Any,
    *,
    presence: Presence = "explicit",
    max_bytes: int | None = None,
    max_count: int | None = None,
    packed: bool = False,
    minimum: int | None = None,
    maximum: int | None = None,
    doc: str = "",
) -> Field:
    """A protobuf field.

    `kind` is the name of a scalar type, an `Enum` or a `Message`. `presence` says what an absent field means:
    None (`explicit`), the type's default, which then is not written (`implicit`), an error (`required`), or
    it is a list (`repeated`, with `max_count`). `max_bytes` bounds bytes and strings, `minimum` and `maximum`
    numbers. `packed` is how repeated numbers are written; both forms are read.
    """
    if not 1 <= number <= MAX_FIELD_NUMBER:
        raise ValueError(f"{name}: field number {number}")
    if isinstance(kind, str) and kind not in {"bytes", "string", *VARINT_KINDS, *FIXED_KINDS}:
        raise ValueError(f"{name}: no type {kind}")
    if kind == "double" and presence == "implicit":
        raise ValueError(f"{name}: implicit doubles are not supported (minus zero is not the default)")
    made = Field(number, name, kind, presence, max_bytes, max_count, packed, minimum, maximum, doc)
    if made.presence == "implicit" and isinstance(kind, Message):
        raise ValueError(f"{name}: a message has no default")
    if packed and not (made.scalar and presence == "repeated"):
        raise ValueError(f"{name}: only repeated numbers can be packed")
    return made


class Message(Vocabulary, construct.Construct):  # type: ignore[misc]
    """A protobuf message of the class `title`: the rest of the region, at most `max_bytes`."""

    described = ("title", "shape", "max_bytes")

    def __init__(self, title: str, *fields: Field, max_bytes: int | None, doc: str = "") -> None:
        super().__init__()
        self.title = title
        self.fields = tuple(sorted(fields, key=lambda each: each.number))
        self.max_bytes = max_bytes
        self.doc = doc
        for what in ("number", "name"):
            if len({getattr(each, what) for each in fields}) != len(fields):
                raise ValueError(f"{title}: the same field {what} twice")

    @property
    def shape(self) -> list[Any]:
        """The fields as `describe` wants them."""
        names = ("number", "name", "presence", "max_bytes", "max_count", "packed", "minimum", "maximum")
        return [[*(getattr(each, name) for name in names), describe(each.kind)] for each in self.fields]

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        data: bytes = stream.read()
        return _settled(self, _gathered(self, [data], path), path)

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        encoded = b"".join(
            _written(each, _value(obj, each), f"{path} -> {each.name}") for each in self.fields
        )
        if self.max_bytes is not None and len(encoded) > self.max_bytes:
            raise refuse(f"{len(encoded)} bytes, at most {self.max_bytes}", path)
        construct.stream_write(stream, encoded, len(encoded), path)
        return obj


# --- reading -------------------------------------------------------------------------------------------


def _gathered(message: Message, parts: list[bytes], path: str) -> dict[int, list[Any]]:
    """The occurrences of every known field, over all parts of a message."""
    if message.max_bytes is not None and sum(map(len, parts)) > message.max_bytes:
        raise refuse(f"more than {message.max_bytes} bytes", path)
    known = {each.number: each for each in message.fields}
    found: dict[int, list[Any]] = {each.number: [] for each in message.fields}
    for part in parts:
        stream = io.BytesIO(part)
        while not at_end(stream):
            number, wire_type = _tag(stream, path)
            each = known.get(number)
            if each is None:
                _skip(stream, number, wire_type, path)
            elif wire_type == each.wire_type:
                _take(each, stream, found[number], f"{path} -> {each.name}")
            elif wire_type == LEN and each.scalar and each.presence == "repeated":
                _take_packed(each, stream, found[number], f"{path} -> {each.name}")
            else:
                _skip(stream, number, wire_type, path)
    return found


def _settled(message: Message, found: dict[int, list[Any]], path: str) -> Any:
    """The message's value from the occurrences of its fields."""
    value = construct.Container()
    for each in message.fields:
        occurrences = found[each.number]
        where = f"{path} -> {each.name}"
        if not occurrences and each.presence == "required":
            raise refuse("a required field is missing", where)
        if each.presence == "repeated":
            value[each.name] = list(occurrences)
        elif not occurrences:
            value[each.name] = each.default
        elif isinstance(each.kind, Message):
            value[each.name] = _merged(each.kind, occurrences, where)
        else:
            value[each.name] = occurrences[-1]
    return value


def _merged(message: Message, parts: list[bytes], path: str) -> Any:
    """The value of an embedded message from all its occurrences."""
    return _in_region(lambda: _settled(message, _gathered(message, parts, path), path), path)


def _in_region(read: Any, path: str) -> Any:
    try:
        return read()
    except construct.StreamError as error:
        raise refuse("an element crosses the end of its region", path) from error


def _take(each: Field, stream: Any, found: list[Any], path: str) -> None:
    """Read one element of a field in its own wire type."""
    value: Any
    if each.wire_type == VARINT:
        value = _number(each, _varint(stream, path), path)
    elif each.wire_type != LEN:
        code = FIXED_KINDS[each.kind]
        value = _ranged(
            each, struct.unpack(code, construct.stream_read(stream, struct.calcsize(code), path))[0], path
        )
    else:
        limit = each.kind.max_bytes if isinstance(each.kind, Message) else each.max_bytes
        data = _delimited(stream, limit, path)
        value = data
        if isinstance(each.kind, Message) and each.presence == "repeated":
            _full(each, found, path)
            value = _merged(each.kind, [data], path)
        elif each.kind == "string":
            try:
                value = data.decode()
            except UnicodeDecodeError as error:
                raise refuse("not UTF-8", path) from error
    _full(each, found, path)
    found.append(value)


def _take_packed(each: Field, stream: Any, found: list[Any], path: str) -> None:
    region = io.BytesIO(_delimited(stream, each.packed_limit if each.max_count else None, path))
    while not at_end(region):
        _in_region(lambda: _take(each, region, found, path), path)


def _full(each: Field, found: list[Any], path: str) -> None:
    if each.presence == "repeated" and each.max_count is not None and len(found) >= each.max_count:
        raise refuse(f"more than {each.max_count}", path)


def _number(each: Field, raw: int, path: str) -> Any:
    """A varint of 64 bits as the field's type takes it."""
    if each.kind == "bool":
        return raw != 0
    if each.kind in ("sint32", "sint64"):
        raw &= 2**32 - 1 if each.kind == "sint32" else 2**64 - 1
        return _ranged(each, (raw >> 1) ^ -(raw & 1), path)
    bits = 64 if each.kind in ("uint64", "int64") else 32
    raw &= 2**bits - 1
    if each.kind not in ("uint32", "uint64") and raw >> (bits - 1):
        raw -= 2**bits
    return _ranged(each, raw, path)


def _ranged(each: Field, value: Any, path: str) -> Any:
    bounds = each.range
    if bounds is not None and not bounds[0] <= value <= bounds[1]:
        raise refuse(f"{value} is outside {bounds[0]} to {bounds[1]}", path)
    return each.kind.check(value, path) if isinstance(each.kind, Enum) else value


def _varint(stream: Any, path: str) -> int:
    value = 0
    for position in range(10):
        octet: int = construct.stream_read(stream, 1, path)[0]
        if position == 9 and octet > 1:
            break
        value |= (octet & 0x7F) << 7 * position
        if octet < 0x80:
            return value
    raise refuse("a varint of more than 64 bits", path)


def _delimited(stream: Any, limit: int | None, path: str) -> bytes:
    size = _varint(stream, path)
    if limit is not None and size > limit:
        raise refuse(f"{size} bytes, at most {limit}", path)
    if size > 2**31:
        raise construct.StreamError(f"{size} bytes are not there", path=path)
    data: bytes = construct.stream_read(stream, size, path)
    return data


def _tag(stream: Any, path: str) -> tuple[int, int]:
    tag = _varint(stream, path)
    if not 1 <= tag >> 3 <= MAX_FIELD_NUMBER:
        raise refuse(f"field number {tag >> 3}", path)
    return tag >> 3, tag & 7


def _skip(stream: Any, number: int, wire_type: int, path: str, depth: int = 0) -> None:
    """Read over the value of an unknown field."""
    if wire_type == VARINT:
        _varint(stream, path)
    elif wire_type in (I64, I32):
        construct.stream_read(stream, 8 if wire_type == I64 else 4, path)
    elif wire_type == LEN:
        _delimited(stream, None, path)
    elif wire_type == SGROUP:
        if depth == MAX_GROUP_DEPTH:
            raise refuse(f"groups nest deeper than {MAX_GROUP_DEPTH}", path)
        while True:
            inner, inner_type = _tag(stream, path)
            if inner_type == EGROUP and inner == number:
                return
            _skip(stream, inner, inner_type, path, depth + 1)
    else:
        raise refuse(f"wire type {wire_type} has no place here", path)


# --- writing -------------------------------------------------------------------------------------------


def _value(obj: Any, each: Field) -> Any:
    return obj.get(each.name, each.default)


def _written(each: Field, value: Any, path: str) -> bytes:
    """The bytes of a field, empty when there is nothing to write."""
    if each.presence == "repeated":
        if each.max_count is not None and len(value) > each.max_count:
            raise refuse(f"{len(value)} elements, at most {each.max_count}", path)
        if each.packed and value:
            packed = b"".join(_element(each, element, path) for element in value)
            return _uvarint(each.number << 3 | LEN) + _uvarint(len(packed)) + packed
        tag = _uvarint(each.number << 3 | each.wire_type)
        return b"".join(tag + _element(each, element, path) for element in value)
    if value is None:
        if each.presence != "explicit":
            raise refuse("a value is missing", path)
        return b""
    element = _element(each, value, path)
    if each.presence == "implicit" and value == each.default:
        return b""
    return _uvarint(each.number << 3 | each.wire_type) + element


def _element(each: Field, value: Any, path: str) -> bytes:
    if each.wire_type == VARINT:
        value = _ranged(each, int(value), path)
        if each.kind in ("sint32", "sint64"):
            value = value << 1 if value >= 0 else ~(value << 1)
        return _uvarint(value & 2**64 - 1)
    if each.wire_type != LEN:
        return struct.pack(FIXED_KINDS[each.kind], _ranged(each, value, path))
    if isinstance(each.kind, Message):
        encoded: bytes = each.kind.build(value)
        return _uvarint(len(encoded)) + encoded
    try:
        data = value.encode() if each.kind == "string" else bytes(value)
    except UnicodeEncodeError as error:
        raise refuse("not UTF-8", path) from error
    if each.max_bytes is not None and len(data) > each.max_bytes:
        raise refuse(f"{len(data)} bytes, at most {each.max_bytes}", path)
    return _uvarint(len(data)) + data


def _uvarint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
