"""Records that are JSON objects: a table of keys says how each is written and read (sections 6.2 and 7).

Written in the table's order, byte for byte as Go does; read as Go does: unknown keys ignored, letter case of keys
ignored, `null` and missing keys are zero values, other types refused, integers never with fraction or exponent.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NamedTuple, Self

from mesh.errors import Malformed, UsageError
from mesh.protocols.lethean import go_json
from mesh.protocols.lethean.timestamp import ZERO, read_timestamp

INT64: Final = range(-(2**63), 2**63)


class Kind(NamedTuple):
    """How one JSON type is written and read. `zero` is the value of a missing key, `read` gets the value and field."""

    name: str
    zero: Any
    write: Callable[[Any], str]
    read: Callable[[Any, str], Any]


class Key(NamedTuple):
    """One key of a record: the attribute that holds it, its name in JSON, its kind, whether a zero value is left out."""

    attribute: str
    name: str
    kind: Kind
    omit: bool = False


class JsonRecord:
    """A record by its `KEYS`; `LABEL` names it in errors. Attributes not given hold the zero value of their kind."""

    __slots__: tuple[str, ...] = ()
    KEYS: ClassVar[tuple[Key, ...]]
    LABEL: ClassVar[str] = ""
    _NAMES: ClassVar[Mapping[str, Key]]
    _FOLDED: ClassVar[Mapping[str, Key]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.LABEL = cls.__dict__.get("LABEL", cls.__name__)
        cls._NAMES = {key.name: key for key in cls.KEYS}
        cls._FOLDED = {fold(key.name): key for key in cls.KEYS}

    def __init__(self, **values: Any) -> None:
        for key in self.KEYS:
            setattr(self, key.attribute, values.pop(key.attribute, key.kind.zero))
        if values:
            raise UsageError(f"{type(self).__name__} has no {', '.join(values)}")

    @classmethod
    def read(cls, value: Any, text: str | None = None) -> Self:
        """The record of a parsed value; None is a record of zero values. `text` is the JSON the value was read from,
        wanted by keys that keep raw JSON. Raises Malformed that names class and key.
        """
        found = cls()
        if value is None:
            return found
        if not isinstance(value, dict):
            raise Malformed(cls.LABEL, None, f"{_kind_of(value)} instead of an object")
        names, folded = cls._NAMES, cls._FOLDED
        raws: dict[str, str] | None = None
        for name, item in value.items():
            key = names.get(name)
            if key is None:
                key = folded.get(fold(name))
                if key is None:
                    continue
            if key.kind is RAW:
                if raws is None:
                    raws = {} if text is None else go_json.raw_members(text, cls.LABEL)
                setattr(found, key.attribute, raws.get(name))
            elif item is not None:
                setattr(found, key.attribute, key.kind.read(item, f"{cls.LABEL}.{key.name}"))
            elif key.kind.zero is None:
                setattr(found, key.attribute, None)
        return found

    @classmethod
    def decode(cls, text: str) -> Self:
        """The record of a JSON text. Raises Malformed."""
        text = go_json.whole_surrogates(text)
        return cls.read(go_json.read(text, cls.LABEL), text)

    def encode(self) -> str:
        """The JSON text. Raises UsageError that names the key whose value has another type."""
        found = []
        for key in self.KEYS:
            value = getattr(self, key.attribute)
            if key.omit and (value is None if key.kind is RAW else not value):
                continue
            try:
                found.append(f'"{key.name}":{key.kind.write(value)}')
            except (TypeError, AttributeError):
                raise UsageError(
                    f"{type(self).__name__}.{key.attribute}: {value!r} is no {key.kind.name}"
                ) from None
        return "{" + ",".join(found) + "}"

    def encode_indented(self, margin: str = "") -> str:
        """The text of a file: two spaces a level, all keys, HTML characters escaped, no newline at the end."""
        lines = [
            f'{margin}  "{key.name}": {go_json.escape_html(key.kind.write(getattr(self, key.attribute)))}'
            for key in self.KEYS
        ]
        return "{\n" + ",\n".join(lines) + f"\n{margin}}}"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, key.attribute) == getattr(other, key.attribute) for key in self.KEYS)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        inside = ", ".join(f"{key.attribute}={getattr(self, key.attribute)!r}" for key in self.KEYS)
        return f"{type(self).__name__}({inside})"


def fold(name: str) -> str:
    """A key without its letter case, as Go compares keys: two signs outside ASCII fold into it."""
    return name.replace("\u017f", "s").replace("\u212a", "k").lower()


def read_base64(text: str, field: str) -> bytes:
    """Bytes of standard base64 with padding; CR and LF inside are skipped as Go does. Raises Malformed."""
    if "\n" in text or "\r" in text:
        text = text.replace("\n", "").replace("\r", "")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed(field, None, "no standard base64 with padding") from None


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "a truth value"
    names: dict[type, str] = {str: "a string", int: "a number", float: "a number", list: "an array"}
    return names.get(type(value), "an object")


def _wrong(value: Any, wanted: str, field: str) -> Malformed:
    return Malformed(field, None, f"{_kind_of(value)} instead of {wanted}")


def _read_text(value: Any, field: str) -> str:
    if type(value) is str:
        return value
    raise _wrong(value, "a string", field)


def _write_text(value: str) -> str:
    return go_json.write_text(value)


def _read_integer(value: Any, field: str) -> int:
    if type(value) is int and value in INT64:
        return value
    if type(value) is float or type(value) is int:
        raise Malformed(field, None, "a number that is no 64-bit integer in plain digits")
    raise _wrong(value, "an integer", field)


def _write_integer(value: int) -> str:
    if isinstance(value, bool) or value not in INT64:
        raise TypeError
    return str(int(value))


def _read_number(value: Any, field: str) -> float:
    if type(value) is int or type(value) is float:
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if number in (float("inf"), float("-inf")):
            raise Malformed(field, None, "a number too large for a float")
        return number
    raise _wrong(value, "a number", field)


def _write_number(value: float) -> str:
    return go_json.write_float(float(value))


def _read_flag(value: Any, field: str) -> bool:
    if type(value) is bool:
        return value
    raise _wrong(value, "true or false", field)


def _write_flag(value: bool) -> str:
    if type(value) is not bool:
        raise TypeError
    return "true" if value else "false"


def _read_binary(value: Any, field: str) -> bytes:
    return read_base64(_read_text(value, field), field)


def _write_binary(value: bytes | None) -> str:
    return "null" if value is None else f'"{base64.b64encode(value).decode()}"'


def _read_time(value: Any, field: str) -> str:
    return read_timestamp(_read_text(value, field), field)


def _read_texts(value: Any, field: str) -> list[str]:
    if type(value) is not list:
        raise _wrong(value, "an array", field)
    return ["" if each is None else _read_text(each, field) for each in value]


def _write_texts(value: list[str] | None) -> str:
    return "null" if value is None else f"[{','.join(map(go_json.write_text, value))}]"


def _read_map(value: Any, field: str) -> dict[str, str]:
    if type(value) is not dict:
        raise _wrong(value, "an object", field)
    return {name: "" if each is None else _read_text(each, field) for name, each in value.items()}


def _write_map(value: dict[str, str] | None) -> str:
    if value is None:
        return "null"
    pairs = (f"{go_json.write_text(name)}:{go_json.write_text(value[name])}" for name in sorted(value))
    return "{" + ",".join(pairs) + "}"


def _read_raw(value: Any, field: str) -> Any:
    raise AssertionError("raw JSON is taken from the text")


TEXT: Final = Kind("string", "", _write_text, _read_text)
INTEGER: Final = Kind("64-bit integer", 0, _write_integer, _read_integer)
NUMBER: Final = Kind("number", 0.0, _write_number, _read_number)
FLAG: Final = Kind("truth value", False, _write_flag, _read_flag)
BINARY: Final = Kind("bytes", None, _write_binary, _read_binary)
TIME: Final = Kind("time", ZERO, _write_text, _read_time)
TEXTS: Final = Kind("list of strings", None, _write_texts, _read_texts)
MAP: Final = Kind("object of strings", None, _write_map, _read_map)
RAW: Final = Kind(
    "JSON text", None, lambda text: "null" if text is None else go_json.write_raw(text), _read_raw
)
"""JSON of any kind, kept as its text; None when the key is missing, `"null"` when it says so."""


def nested(record: type[JsonRecord]) -> Kind:
    """An object inside an object; None stands for its zero values."""
    return Kind(
        record.__name__,
        None,
        lambda value: (record() if value is None else value).encode(),
        lambda value, field: record.read(value),
    )


def records(record: type[JsonRecord]) -> Kind:
    """An array of objects that is never `null` when written."""

    def read(value: Any, field: str) -> list[JsonRecord]:
        if type(value) is not list:
            raise _wrong(value, "an array", field)
        return [record.read(each) for each in value]

    return Kind(
        f"list of {record.__name__}",
        None,
        lambda value: f"[{','.join(each.encode() for each in value or ())}]",
        read,
    )
