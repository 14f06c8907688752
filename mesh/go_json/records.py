"""Messages as frozen dataclasses, in the order of their keys.

    @dataclass(frozen=True, slots=True)
    class Order(Record, name="marketplace.Order"):
        id: str = member("orderId")
        seller_id: str = member("sellerId", omit=True)
        price: float = member("price", 0.0)

Types of members: str, bool, int (64 bits, signed), float, bytes (base64), another record, `X | None` (a pointer, or a
list that may be null), `tuple[X, ...]` (a list), `dict[str, X]` (written with its keys sorted), and Any (a tree as
`json.loads` would give it). `omit` leaves a member out at its zero value: "", 0, false, empty or None.

Reading: unknown keys are ignored, a key that fits none exactly fits without regard to case, the last of repeated ones
counts, null changes nothing; a wrong type refuses the whole message in Go's words.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import types
from collections.abc import Mapping
from math import isfinite
from typing import Any, ClassVar, Final, Self, TypeVar, get_args, get_origin, get_type_hints

from mesh.errors import Malformed, UsageError
from mesh.go_json.parsing import Members, Number, parse
from mesh.go_json.writing import write_json

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**63 - 1
_KINDS: Final = {str: "string", bool: "bool", int: "int64", float: "float64", bytes: "[]uint8"}


class Refused(Malformed):
    """A member has another type than its record wants; ``reason`` is Go's text."""

    code = "json-type"


class Record:
    """A message; ``name`` is Go's name of its type, which refusals tell."""

    __slots__ = ()
    go_name: ClassVar[str] = ""

    def __init_subclass__(cls, name: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if name:
            cls.go_name = name

    @classmethod
    def read(cls, data: bytes) -> Self:
        """The message that is all of ``data``. Raises `Malformed`."""
        return read_record(cls, data)

    def write(self) -> bytes:
        """Its text. Raises `UsageError` for what JSON has no form for."""
        return write_record(self)


_R = TypeVar("_R", bound=Record)


@dataclasses.dataclass(frozen=True, slots=True)
class _Key:
    attribute: str
    text: str
    omit: bool
    kind: Any


def member(key: str, default: Any = "", *, omit: bool = False) -> Any:
    """A member of a record; ``default`` is its zero value."""
    return dataclasses.field(default=default, metadata={"key": key, "omit": omit})


def read_record(kind: type[_R], data: bytes) -> _R:
    """The record that is all of ``data``. Raises `Malformed`; `Refused` for a wrong type."""
    return _record(kind, parse(data), _Place(kind.go_name))


def read_records(kind: type[_R], data: bytes) -> tuple[_R, ...]:
    """The records of the list that is all of ``data``; null is an empty one. Raises as `read_record`."""
    tree = parse(data)
    place = _Place(f"[]{kind.go_name}")
    if tree is None:
        return ()
    if type(tree) is not list:
        raise place.refuse(tree, f"[]{kind.go_name}")
    return tuple(_record(kind, each, _Place(kind.go_name)) for each in tree)


def write_record(record: Record) -> bytes:
    """The text of a record. Raises `UsageError` for what JSON has no form for."""
    return write_json(tree_of(record))


def tree_of(value: Any) -> Any:
    """A record, or what is in one, as mappings and lists."""
    if isinstance(value, Record):
        tree = {}
        for key in _plan(type(value)).keys:
            held = getattr(value, key.attribute)
            if not (key.omit and not isinstance(held, Record) and not held):
                tree[key.text] = tree_of(float(held) if key.kind is float else held)
        return tree
    if isinstance(value, Mapping):
        return {key: tree_of(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [tree_of(each) for each in value]
    return value


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """What a record's class says: its keys in order, by their text, and by that without regard to case; its zeros."""

    keys: tuple[_Key, ...]
    exact: Mapping[str, _Key]
    folded: Mapping[str, _Key]
    zeros: Mapping[str, Any]


_PLANS: dict[type[Record], _Plan] = {}


def _plan(kind: type[Record]) -> _Plan:
    plan = _PLANS.get(kind)
    if plan is None:
        plan = _PLANS[kind] = _make_plan(kind)
    return plan


def _make_plan(kind: type[Record]) -> _Plan:
    if not dataclasses.is_dataclass(kind):
        raise UsageError(f"{kind.__name__} is no dataclass")
    hints, members = get_type_hints(kind), dataclasses.fields(kind)
    keys = tuple(
        _Key(each.name, each.metadata["key"], each.metadata["omit"], hints[each.name]) for each in members
    )
    return _Plan(
        keys,
        {key.text: key for key in keys},
        {_fold(key.text): key for key in reversed(keys)},
        {each.name: each.default for each in members},
    )


def _fold(text: str) -> str:
    """Simple folding: characters that fold to several stay."""
    if text.isascii():
        return text.lower()
    return "".join(each if len(each.casefold()) > 1 else each.casefold() for each in text)


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """Where in a message a value stands, as Go tells it."""

    root: str
    path: str = ""

    def member(self, key: str) -> _Place:
        return _Place(self.root, f"{self.path}.{key}" if self.path else key)

    def refuse(self, value: Any, wanted: str) -> Refused:
        found = _kind_of(value)
        if not self.path:
            return Refused("JSON", None, f"json: cannot unmarshal {found} into Go value of type {wanted}")
        where = f"{self.root.rpartition('.')[2]}.{self.path}"
        return Refused(
            "JSON", None, f"json: cannot unmarshal {found} into Go struct field {where} of type {wanted}"
        )


def _kind_of(value: Any) -> str:
    if type(value) is Number:
        return "number"
    names: dict[type, str] = {Members: "object", list: "array", str: "string", bool: "bool"}
    return names[type(value)]


def _record(kind: type[_R], tree: Any, place: _Place, old: _R | None = None) -> _R:
    """A record; ``old`` is what an earlier member of the same key left, which Go goes on filling."""
    if tree is None:
        return kind() if old is None else old
    if type(tree) is not Members:
        raise place.refuse(tree, kind.go_name)
    plan = _plan(kind)
    found: dict[str, Any] = {}
    if old is not None:
        found = {key.attribute: getattr(old, key.attribute) for key in plan.keys}
    for text, value in tree:
        key = plan.exact.get(text) or plan.folded.get(_fold(text))
        if key is not None:
            before = found.get(key.attribute, plan.zeros[key.attribute])
            found[key.attribute] = _value(key.kind, value, place.member(key.text), before)
    return kind(**found)


def _value(kind: Any, tree: Any, place: _Place, old: Any) -> Any:
    """What a member becomes; ``old`` is its value so far."""
    if isinstance(kind, types.UnionType):
        [kind] = [each for each in get_args(kind) if each is not types.NoneType]
        if tree is None:
            return None
    if kind is Any:
        return _plain(tree)
    if get_origin(kind) is tuple:
        return _list(get_args(kind)[0], tree, place, old)
    if get_origin(kind) is dict:
        return _mapping(get_args(kind)[1], tree, place, old)
    if isinstance(kind, type) and issubclass(kind, Record):
        return _record(kind, tree, place, old)
    return old if tree is None else _scalar(kind, tree, place)


def _list(kind: Any, tree: Any, place: _Place, old: Any) -> Any:
    if tree is None:
        return () if old is not None else None
    if type(tree) is not list:
        raise place.refuse(tree, f"[]{_go_type(kind)}")
    return tuple(_value(kind, each, place, _fresh(kind)) for each in tree)


def _mapping(kind: Any, tree: Any, place: _Place, old: Any) -> Any:
    if tree is None:
        return old
    if type(tree) is not Members:
        raise place.refuse(tree, f"map[string]{_go_type(kind)}")
    return {**(old or {}), **{key: _value(kind, each, place.member(key), _fresh(kind)) for key, each in tree}}


def _fresh(kind: Any) -> Any:
    """The zero value of an element."""
    if kind in _KINDS:
        return kind()
    return () if get_origin(kind) is tuple else None


def _go_type(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.go_name
    return _KINDS.get(kind, "interface {}")


def _scalar(kind: type, tree: Any, place: _Place) -> Any:
    wanted = _KINDS[kind]
    if kind is str or kind is bytes:
        if type(tree) is not str:
            raise place.refuse(tree, wanted)
        return tree if kind is str else _octets(tree)
    if kind is bool:
        if type(tree) is not bool:
            raise place.refuse(tree, wanted)
        return tree
    if type(tree) is not Number:
        raise place.refuse(tree, wanted)
    number = _integer(tree) if kind is int else _double(tree)
    if number is None:
        raise Refused(
            "JSON",
            None,
            f"json: cannot unmarshal number {tree[:64]} into Go struct field "
            f"{place.root.rpartition('.')[2]}.{place.path} of type {wanted}",
        )
    return number


def _integer(text: str) -> int | None:
    digits = text.removeprefix("-")
    if not digits.isdigit() or len(digits) > 19:
        return None
    number = int(text)
    return number if _MIN_INT <= number <= _MAX_INT else None


def _double(text: str) -> float | None:
    number = float(text)
    return number if isfinite(number) else None


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("JSON", None, "illegal base64 data") from None


def _plain(tree: Any) -> Any:
    if type(tree) is Members:
        return {key: _plain(each) for key, each in tree}
    if type(tree) is list:
        return [_plain(each) for each in tree]
    if type(tree) is Number:
        whole = _integer(tree)
        return _double(tree) if whole is None else whole
    return tree
