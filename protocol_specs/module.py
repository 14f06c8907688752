"""How a file of schemas says what becomes a generated module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol_specs.grammar import Enum, Uint


@dataclass(frozen=True, slots=True)
class Module:
    """One module of `mesh/codecs`, or schemas whose `implementation` is written by hand elsewhere.

    `items` become classes (messages and layouts, named by their title) or pairs of functions (`encode_<key>`,
    `decode_<key>`); `enums` are those to write even if no item needs them; `structs` become `struct.Struct`
    objects.
    """

    name: str
    doc: str
    reference: str
    items: Mapping[str, Any] = field(default_factory=dict)
    enums: tuple[Enum, ...] = ()
    constants: Mapping[str, int] = field(default_factory=dict)
    structs: Mapping[str, Uint] = field(default_factory=dict)
    implementation: str = ""

    @property
    def home(self) -> str:
        """The importable name of the implementation."""
        return self.implementation or f"mesh.codecs.{self.name}"
