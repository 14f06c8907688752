"""Unsigned varints (multiformats/unsigned-varint). The implementation is part of what the codecs share."""

from __future__ import annotations

from protocol_specs.grammar import UVarint
from protocol_specs.module import Module

UVARINT = UVarint(2**63 - 1)

MODULE = Module(
    "uvarint",
    "Unsigned varints.",
    "multiformats/unsigned-varint",
    items={"uvarint": UVARINT},
    implementation="mesh.codecs.wire",
)
