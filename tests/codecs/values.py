"""Hypothesis strategies for the plain values of any schema, a few of them over its limits."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from protocol_specs.grammar import (
    Bytes,
    Delimited,
    Enum,
    Field,
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

_LARGEST_FILL = 5000
"""Limits up to this are tried with values at and just over them."""


def values(schema: Any) -> st.SearchStrategy[Any]:
    """Plain values of a schema: dictionaries for messages and layouts."""
    schema = bare(schema)
    if isinstance(schema, Message):
        return st.fixed_dictionaries({field.name: _field(field) for field in schema.fields})
    if isinstance(schema, Layout):
        return st.fixed_dictionaries({name: values(element) for name, element in schema.elements if name})
    if isinstance(schema, Uint):
        return _enum(schema.enum) if schema.enum else _numbers(schema.minimum, schema.maximum)
    if isinstance(schema, UVarint | Varint62):
        return _numbers(schema.minimum, schema.maximum or 0)
    if isinstance(schema, FixedBytes):
        return st.binary(min_size=schema.length, max_size=schema.length) | st.binary(
            max_size=schema.length + 1
        )
    if isinstance(schema, Text):
        return _text(schema.max_bytes)
    if isinstance(schema, Bytes):
        return _bytes(schema.max_bytes)
    if isinstance(schema, Delimited):
        content = bare(schema.subcon)
        if isinstance(content, Text):
            return _text(schema.max_bytes)
        return _bytes(schema.max_bytes) if isinstance(content, Bytes) else values(content)
    if isinstance(schema, Repeat):
        return _lists(values(schema.subcon), schema.max_count)
    if isinstance(schema, Tlv):
        return _lists(st.tuples(values(schema.kind), _bytes(schema.max_bytes)), schema.max_count)
    raise TypeError(type(schema).__name__)


def _field(field: Field) -> st.SearchStrategy[Any]:
    element = _element(field)
    if field.presence == "repeated":
        return _lists(element, field.max_count)
    return st.none() | element if field.presence == "explicit" else element


def _element(field: Field) -> st.SearchStrategy[Any]:
    if isinstance(field.kind, Message):
        return values(field.kind)
    if isinstance(field.kind, Enum):
        return _enum(field.kind)
    if field.kind == "bytes":
        return _bytes(field.max_bytes)
    if field.kind == "string":
        return _text(field.max_bytes)
    if field.kind == "bool":
        return st.booleans()
    if field.kind == "double":
        return st.floats(allow_nan=False)
    assert field.range is not None
    return _numbers(*field.range)


def _enum(enum: Enum) -> st.SearchStrategy[int]:
    return st.sampled_from([*enum.members.values()] * 4 + [max(enum.members.values()) + 1])


def _numbers(low: int, high: int) -> st.SearchStrategy[int]:
    edges = [low, high, low - 1, high + 1, min(127, high), min(128, high), min(16384, high)]
    return st.integers(low, high) | st.integers(low, min(high, low + 300)) | st.sampled_from(edges)


def _bytes(limit: int | None) -> st.SearchStrategy[bytes]:
    if limit is None or limit > _LARGEST_FILL:
        return st.binary(max_size=300)
    small = st.binary(max_size=min(limit, 200))
    return small | small | small | st.sampled_from([bytes(limit), bytes(limit + 1)])


def _text(limit: int | None) -> st.SearchStrategy[str]:
    odd = ["\ud800", "\u00e9" * 100, "\n"]
    if limit is not None and limit <= _LARGEST_FILL:
        odd += ["a" * limit, "a" * (limit + 1), "a" * (limit - 1)]
    return st.text(max_size=60) | st.text(max_size=20) | st.sampled_from(odd)


def _lists(element: st.SearchStrategy[Any], limit: int | None) -> st.SearchStrategy[list[Any]]:
    return st.lists(element, max_size=4 if limit is None or limit > 20 else limit + 1)
