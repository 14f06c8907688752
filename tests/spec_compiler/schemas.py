"""Schemas that use every part of the vocabulary, compiled when the tests run."""

from __future__ import annotations

from typing import Any

from fuzz.pairs import Pair, function_pair, record_pair
from protocol_specs.grammar import (
    U8,
    U16,
    U32,
    U64,
    Bytes,
    Constant,
    Delimited,
    Der,
    DerLength,
    Enum,
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
    field,
)
from protocol_specs.module import Module
from tools.spec_compiler import generate_module

COLOUR = Enum("Colour", {"RED": 0, "GREEN": 2, "BLUE": 300})
MOOD = Enum("Mood", {"CALM": 0, "WILD": 1}, closed=False)
SIGN = Enum("Sign", {"MINUS": -1, "PLUS": 1})

LEAF = Message(
    "Leaf",
    field(1, "name", "string", presence="required", max_bytes=20),
    field(2, "weight", "uint32", presence="required", maximum=1000),
    max_bytes=64,
)
BRANCH = Message(
    "Branch",
    field(1, "leaf", LEAF),
    field(2, "leaves", LEAF, presence="repeated", max_count=3),
    field(3, "sure", LEAF, presence="required"),
    field(20, "note", "bytes", max_bytes=5),
    max_bytes=200,
)
NUMBERS = Message(
    "Numbers",
    field(1, "u32", "uint32"),
    field(2, "i32", "int32", presence="implicit"),
    field(3, "u64", "uint64", minimum=5, maximum=2**63),
    field(4, "i64", "int64"),
    field(5, "s32", "sint32", minimum=-100, maximum=100),
    field(6, "s64", "sint64"),
    field(7, "flag", "bool", presence="implicit"),
    field(8, "f32", "fixed32"),
    field(9, "sf32", "sfixed32", presence="implicit"),
    field(10, "f64", "fixed64", presence="required"),
    field(11, "sf64", "sfixed64", minimum=-10),
    field(12, "real", "double"),
    field(13, "colour", COLOUR),
    field(14, "mood", MOOD, presence="implicit"),
    field(15, "sign", SIGN),
    field(16, "paint", COLOUR, presence="implicit"),
    max_bytes=500,
)
LISTS = Message(
    "Lists",
    field(1, "packed", "uint64", presence="repeated", packed=True, max_count=4),
    field(2, "plain", "sint32", presence="repeated", max_count=3),
    field(3, "words", "fixed32", presence="repeated", packed=True, max_count=3),
    field(4, "reals", "double", presence="repeated", max_count=2),
    field(5, "colours", COLOUR, presence="repeated", packed=True, max_count=5),
    field(6, "moods", MOOD, presence="repeated", max_count=5),
    field(7, "flags", "bool", presence="repeated", packed=True, max_count=5),
    field(8, "texts", "string", presence="repeated", max_count=2, max_bytes=10),
    field(2000, "steps", "int32", presence="repeated", packed=True, max_count=3, minimum=-3, maximum=3),
    max_bytes=400,
)
EMPTY = Message("Empty", max_bytes=32)
VARINTS = Message("Varints", field(1, "only", "uint64"), max_bytes=32)

TLV = Tlv(kind=U8, length=U16, max_bytes=12, max_count=3)
ALIGNED_TLV = Tlv(kind=U16, length=U16, max_bytes=9, max_count=4, align=4)
VARINT_TLV = Tlv(kind=UVarint(500), length=UVarint(), max_bytes=300, max_count=4)

PACKET = Layout(
    "Packet",
    "magic" / FixedBytes(2),
    Constant(b"\x01\x02"),
    "port" / Uint(16, minimum=1),
    "small" / Uint(32, little=True, maximum=10),
    "kind" / Uint(8, enum=MOOD),
    "name" / Delimited(6, Text(), length=U8),
    "blob" / Delimited(9, length=U16, min_bytes=2),
    "long" / Delimited(300, length=U32),
    "count" / UVarint(2**20, minimum=1),
    "time" / U64,
    "entries" / Delimited(40, TLV, length=U16),
    "rest" / Bytes(7),
)
POINT = Layout(
    "Point", "x" / U8, "y" / Uint(16, little=True), "kind" / Uint(8, enum=Enum("Shape", {"DOT": 1, "BOX": 9}))
)
FRAME = Layout(
    "Frame",
    "origin" / POINT,
    "points" / Delimited(20, Repeat(POINT, max_count=4, min_count=1)),
    "leaf" / Delimited(30, LEAF),
    Constant(b"end"),
    "tags" / VARINT_TLV,
)
SIGNED = Layout(
    "Signed",
    "key" / Der(0x04, 300),
    "point" / Der(0x30, 4, POINT),
    "number" / Delimited(70_000, length=DerLength(), min_bytes=3),
)
ALIGNED = Layout("Aligned", "id" / U8, "entries" / ALIGNED_TLV)
LABEL = Layout("Label", "id" / UVarint(127), "text" / Text(10, ending="\r\n"))

CLASSES: list[Any] = [
    LEAF,
    BRANCH,
    NUMBERS,
    LISTS,
    EMPTY,
    VARINTS,
    PACKET,
    POINT,
    FRAME,
    SIGNED,
    ALIGNED,
    LABEL,
]
FUNCTIONS: dict[str, Any] = {
    "line": Delimited(200, Text(ending="\n"), min_bytes=1),
    "byte_block": Delimited(10, length=U8),
    "word_block": Delimited(10, length=U16, min_bytes=1),
    "long_block": Delimited(10, length=Uint(32, little=True)),
    "small": UVarint(300, minimum=3),
    "tiny": UVarint(5),
    "quic_number": Varint62(2**62 - 1),
    "quic_small": Varint62(70, minimum=5),
    "quic_block": Delimited(20_000, length=Varint62(), min_bytes=1),
    "pair": FixedBytes(2),
    "wide": Uint(64, little=True, maximum=2**60),
    "entries": Delimited(30, TLV),
    "aligned": Delimited(40, ALIGNED_TLV),
    "point_box": Delimited(4, POINT, length=U8),
    "leaf_box": Delimited(40, LEAF),
    "points": Repeat(POINT, max_count=3),
    "octets": Der(0x04, 200),
    "signed_box": Der(0x30, 71_000, SIGNED),
}

MODULE = Module(
    "samples",
    "Samples.",
    "",
    items={**{schema.title: schema for schema in CLASSES}, **FUNCTIONS},
)
SOURCE = generate_module(MODULE)


def compiled(source: str) -> dict[str, Any]:
    """The names a generated module defines."""
    namespace: dict[str, Any] = {"__name__": "samples"}
    exec(compile(source, "samples.py", "exec"), namespace)
    return namespace


NAMESPACE = compiled(SOURCE)


def sample_pairs() -> dict[str, tuple[Any, Pair]]:
    """Schema and pair of every sample."""
    found = {}
    for schema in CLASSES:
        found[schema.title] = (schema, record_pair(schema.title, schema, NAMESPACE))
    for key, schema in FUNCTIONS.items():
        found[key] = (bare(schema), function_pair(key, bare(schema), NAMESPACE, key))
    return found
