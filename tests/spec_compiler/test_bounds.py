"""A schema that leaves a length or a count open is refused, with the field's name."""

from __future__ import annotations

from typing import Any

import construct
import pytest

from protocol_specs.catalogue import CATALOGUE
from protocol_specs.grammar import (
    U8,
    U16,
    Bytes,
    Choice,
    Delimited,
    Der,
    Layout,
    Message,
    Repeat,
    Text,
    Tlv,
    UVarint,
    Varint62,
    field,
)
from protocol_specs.module import Module
from tools.spec_compiler import Unbounded, check_bounds, generate_module

OPEN_LEAF = Message("Leaf", field(1, "data", "bytes"), max_bytes=10)

OPEN = {
    r"M\.data: no max_bytes": Message("M", field(1, "data", "bytes"), max_bytes=10),
    r"M\.text: no max_bytes": Message("M", field(1, "text", "string"), max_bytes=10),
    r"M\.list: no max_count": Message("M", field(1, "list", "uint32", presence="repeated"), max_bytes=10),
    r"M: no max_bytes": Message("M", field(1, "one", "uint32"), max_bytes=None),
    r"M\.leaf\.data: no max_bytes": Message("M", field(1, "leaf", OPEN_LEAF), max_bytes=10),
    r"L\.rest: no max_bytes": Layout("L", "rest" / Bytes()),
    r"L\.text: no max_bytes": Layout("L", "first" / U8, "text" / Text(ending="\n")),
    r"L\.part: no max_bytes": Layout("L", "part" / Delimited(None, length=U16)),
    r"L\.octets: no max_bytes": Layout("L", "octets" / Der(0x04, None)),
    r"L\.number: no maximum": Layout("L", "number" / UVarint()),
    r"L\.varint: no maximum": Layout("L", "varint" / Varint62()),
    r"L\.list: no max_count": Layout("L", "list" / Repeat(U8, max_count=None)),
    r"L\.list\[\]: no max_bytes": Layout("L", "list" / Repeat(Delimited(None), max_count=2)),
    r"L\.tlv: no max_bytes": Layout("L", "tlv" / Tlv(kind=U8, length=U8, max_bytes=None, max_count=1)),
    r"L\.tlv: no max_count": Layout("L", "tlv" / Tlv(kind=U8, length=U8, max_bytes=1, max_count=None)),
    r"L\.tlv: no maximum": Layout("L", "tlv" / Tlv(kind=UVarint(), length=U8, max_bytes=1, max_count=1)),
    r"L\.value\[7\]: no max_bytes": Layout("L", "kind" / U8, "value" / Choice("kind", {7: Bytes()})),
    r"L\.raw: GreedyBytes.* is not of the vocabulary": Layout("L", "raw" / construct.GreedyBytes),
    r"L\.inner\.text: no max_bytes": Layout("L", "inner" / Layout("I", "text" / Text())),
}


@pytest.mark.parametrize("message", OPEN)
def test_open_schemas_are_refused(message: str) -> None:
    with pytest.raises(Unbounded, match=f"^{message}"):
        generate_module(Module("m", "M.", "", items={"item": OPEN[message]}))


WIRE_BYTES = 2**25
FILES = {"smsg.container": 2**29, "smsg.box": 2**29, "smsg.blob": 2**30, "tim.payload": 2**30}
"""Containers of bundles, which are files of the operator; on the wire each comes inside a message of the mesh, whose own
limit of 1 MiB is the transport's."""
LEVIN = {"portable_storage.storage": 2**27}
"""What fills a Levin packet, whose limit is 100 MiB."""


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_catalogue_is_bounded(name: str) -> None:
    assert 0 < check_bounds(CATALOGUE[name].schema, name) < {**FILES, **LEVIN}.get(name, WIRE_BYTES)


INTERPRETED = {
    "Choice": Layout("L", "kind" / U8, "value" / Choice("kind", {7: Bytes(3)})),
    "pattern": Layout("L", "text" / Text(5, pattern="a+")),
    "refused_sizes": Layout("L", "data" / Bytes(5, refused_sizes=(3,))),
    "final": Layout("L", "list" / Repeat(Layout("P", "x" / U8), max_count=2, final=("x", 1))),
    "whole list": Layout("L", "list" / Repeat(U8, max_count=2, max_bytes=1)),
}


@pytest.mark.parametrize("what", INTERPRETED)
def test_what_is_interpreted_only_is_refused(what: str) -> None:
    with pytest.raises(Unbounded, match="not compiled"):
        generate_module(Module("m", "M.", "", items={"item": INTERPRETED[what]}))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: field(0, "zero", "bytes"),
        lambda: field(2**29, "large", "bytes"),
        lambda: field(1, "packed", "bytes", presence="repeated", packed=True),
        lambda: field(1, "message", OPEN_LEAF, presence="implicit"),
        lambda: field(1, "kind", "uint31"),
        lambda: Message("M", field(1, "a", "bytes"), field(1, "b", "bytes"), max_bytes=1),
        lambda: Message("M", field(1, "a", "bytes"), field(2, "a", "bytes"), max_bytes=1),
    ],
)
def test_schemas_that_make_no_sense(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        wrong()
