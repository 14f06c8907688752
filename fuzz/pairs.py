"""A format twice: the code that mesh runs and the schema interpreted by construct, made comparable.

Values are compared as plain dictionaries, lists, numbers, bytes and text. What decoding came to is an `Outcome`: a
value, or the word `truncated` or `malformed`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import construct

from fuzz.storage_pair import ordered, plain_section, typed_section
from mesh.codecs.wire import Record, decode_uvarint, encode_uvarint
from mesh.errors import DecodeError, Truncated, UsageError
from mesh.protocols.lethean.portable_storage import decode_storage, encode_storage
from protocol_specs.catalogue import CATALOGUE, Entry
from protocol_specs.grammar import Delimited, Layout, Message, Repeat, bare
from protocol_specs.multiaddr import COMPONENT


@dataclass(frozen=True, slots=True)
class Outcome:
    """What decoding gave: `verdict` is `value`, `truncated` or `malformed`; `used` the bytes taken."""

    verdict: str
    value: Any = None
    used: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """The two readings and the two writings of a format.

    Encoders return None for a value they refuse. `strict` says whether truncated and malformed input must be told
    apart alike; codecs written by hand need only agree on accepting.
    """

    name: str
    decode: Callable[[bytes], Outcome]
    interpret: Callable[[bytes], Outcome]
    encode: Callable[[Any], bytes | None]
    build: Callable[[Any], bytes | None]
    strict: bool = True

    def disagreement(self, data: bytes) -> str | None:
        """How the two differ on an input, in words; None when they agree."""
        ours, theirs = self.decode(data), self.interpret(data)
        if not self.strict and "value" not in (ours.verdict, theirs.verdict):
            return None
        if ours != theirs and repr(ours) != repr(theirs):
            return f"{self.name}: {data.hex()}: code says {ours}, schema says {theirs}"
        return self.writing_disagreement(ours.value) if ours.verdict == "value" else None

    def writing_disagreement(self, value: Any) -> str | None:
        """How the two differ on writing a value, and whether what was written reads as the value again."""
        ours, theirs = self.encode(value), self.build(value)
        if ours != theirs:
            return f"{self.name}: {value}: code writes {ours!r}, schema writes {theirs!r}"
        if ours is None:
            return None
        again = self.decode(ours)
        if again.verdict != "value" or (again.value != value and repr(again.value) != repr(value)):
            return f"{self.name}: {value}: written as {ours.hex()}, which reads as {again}"
        return None


def plain(value: Any) -> Any:
    """A decoded value of either kind without its classes."""
    if isinstance(value, Record):
        return {name: plain(getattr(value, name)) for name in value.__slots__}
    if isinstance(value, dict):
        return {name: plain(value[name]) for name in value if name not in (None, "_io")}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if isinstance(value, bool | float | bytes | str | None):
        return value
    return int(value)


def record(schema: Any, value: Any, classes: Mapping[str, Any]) -> Any:
    """What a generated encoder takes, from a plain value; `classes` holds the generated classes by title."""
    schema = bare(schema)
    if value is None:
        return None
    if isinstance(schema, Message):
        found = {}
        for field in schema.fields:
            item = value[field.name]
            if isinstance(field.kind, Message):
                repeated = field.presence == "repeated"
                item = (
                    [record(field.kind, each, classes) for each in item]
                    if repeated
                    else record(field.kind, item, classes)
                )
            found[field.name] = item
        return classes[schema.title](**found)
    if isinstance(schema, Layout):
        return classes[schema.title](
            **{name: record(element, value[name], classes) for name, element in schema.elements if name}
        )
    if isinstance(schema, Repeat):
        return [record(schema.subcon, each, classes) for each in value]
    if isinstance(schema, Delimited):
        return record(schema.subcon, value, classes)
    return value


def interpreter(schema: Any, whole: bool) -> tuple[Callable[[bytes], Outcome], Callable[[Any], bytes | None]]:
    """Reading and writing by the schema; `whole` for records, which take all of their input."""

    def interpret(data: bytes) -> Outcome:
        try:
            value, used = (schema.parse(data), len(data)) if whole else schema.parse_prefix(data)
        except construct.StreamError:
            return Outcome("truncated")
        except construct.ConstructError:
            return Outcome("malformed")
        return Outcome("value", plain(value), used)

    def build(value: Any) -> bytes | None:
        try:
            encoded: bytes = schema.build(value)
        except construct.ConstructError:
            return None
        return encoded

    return interpret, build


def record_pair(name: str, schema: Any, namespace: Mapping[str, Any]) -> Pair:
    """The pair of a generated class; `namespace` holds it and the classes inside it by title."""
    cls = namespace[schema.title]

    def encode(value: Any) -> bytes | None:
        try:
            encoded: bytes = record(schema, value, namespace).encode()
        except UsageError:
            return None
        return encoded

    interpret, build = interpreter(schema, whole=True)
    return Pair(name, _decoder(lambda data: (cls.decode(data), len(data))), interpret, encode, build)


def function_pair(name: str, schema: Any, namespace: Mapping[str, Any], key: str) -> Pair:
    """The pair of generated functions `encode_<key>` and `decode_<key>`."""
    write = namespace[f"encode_{key}"]

    def encode(value: Any) -> bytes | None:
        try:
            encoded: bytes = write(record(schema, value, namespace))
        except UsageError:
            return None
        return encoded

    interpret, build = interpreter(schema, whole=False)
    return Pair(name, _decoder(namespace[f"decode_{key}"]), interpret, encode, build)


def catalogue_pair(entry: Entry) -> Pair:
    """The pair of a format of the catalogue."""
    if entry.name == "uvarint.uvarint":
        names = {"encode_uvarint": encode_uvarint, "decode_uvarint": decode_uvarint}
        return function_pair(entry.name, entry.schema, names, "uvarint")
    if entry.name == "portable_storage.storage":
        return storage_pair(entry.schema)
    if not entry.generated:
        return _handwritten_pair(entry)
    namespace = {**vars(importlib.import_module(entry.implementation))}
    if entry.is_class:
        return record_pair(entry.name, entry.schema, namespace)
    return function_pair(entry.name, entry.schema, namespace, entry.symbol)


def storage_pair(schema: Any) -> Pair:
    """The pair of portable storage; how many bytes were taken is not compared, because those behind mean nothing."""
    interpret, build = interpreter(schema, whole=False)

    def encode(value: Any) -> bytes | None:
        try:
            return encode_storage(typed_section(value))
        except UsageError:
            return None

    def interpret_all(data: bytes) -> Outcome:
        outcome = interpret(data)
        return Outcome(outcome.verdict, ordered(outcome.value))

    decode = _decoder(lambda data: (plain_section(decode_storage(data)), 0))
    return Pair("portable_storage.storage", decode, interpret_all, encode, build, strict=False)


def pairs() -> dict[str, Pair]:
    """All formats of the catalogue."""
    return {name: catalogue_pair(entry) for name, entry in CATALOGUE.items()}


def _decoder(read: Callable[[bytes], tuple[Any, int]]) -> Callable[[bytes], Outcome]:
    def decode(data: bytes) -> Outcome:
        try:
            value, used = read(data)
        except Truncated:
            return Outcome("truncated")
        except DecodeError:
            return Outcome("malformed")
        return Outcome("value", plain(value), used)

    return decode


def _handwritten_pair(entry: Entry) -> Pair:
    """A format of `mesh.multiformats`: values are brought to one flat shape, and bytes must come back as they are."""
    cls = getattr(importlib.import_module(entry.implementation), entry.symbol.capitalize())

    def read(data: bytes) -> tuple[Any, int]:
        value = cls.from_bytes(data)
        shape = _shape(entry.name, value)
        return (shape, len(data)) if value.to_bytes() == data else (("changed", value.to_bytes()), len(data))

    interpret_whole, _ = interpreter(entry.schema, whole=True)

    def interpret(data: bytes) -> Outcome:
        outcome = interpret_whole(data)
        if outcome.verdict != "value":
            return outcome
        return Outcome("value", _FLAT[entry.name](outcome.value), outcome.used)

    return Pair(entry.name, _decoder(read), interpret, lambda value: None, lambda value: None, strict=False)


def _shape(name: str, value: Any) -> Any:
    if name == "multiaddr.multiaddr":
        return [(each.code, each.to_bytes()) for each in value.components]
    if name == "multihash.multihash":
        return (value.code, value.digest)
    return (value.version, value.codec, value.multihash.code, value.multihash.digest)


def _flat_cid(value: Any) -> Any:
    if value["version"] == 1:
        inner = value["rest"]["multihash"]
        return (1, value["rest"]["codec"], inner["code"], inner["digest"])
    return (0, 0x70, 0x12, value["rest"])


_FLAT: dict[str, Callable[[Any], Any]] = {
    "multiaddr.multiaddr": lambda value: [(each["code"], COMPONENT.build(each)) for each in value],
    "multihash.multihash": lambda value: (value["code"], value["digest"]),
    "cid.cid": _flat_cid,
}
