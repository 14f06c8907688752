"""What message and layout classes have in common: docstring and constructor."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tools.spec_compiler.writer import Source


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of a constructor: its type and its default as source, None when it must be given."""

    name: str
    type: str
    default: str | None


def needs_names(parameters: list[Parameter]) -> bool:
    """Whether an argument without default follows one that has a default, so that they can only go by name."""
    defaulted = [each.default is not None for each in parameters]
    return defaulted != sorted(defaulted)


def write_docstring(out: Source, doc: str, fields: Iterable[Any] = ()) -> None:
    """Append a docstring with a line for every field that has a doc."""
    notes = [f"{field.name}: {field.doc}" for field in fields if field.doc]
    lines = textwrap.wrap(doc, 105 - 4 * out.depth)
    for note in notes:
        lines += ["", *textwrap.wrap(note, 105 - 4 * out.depth, subsequent_indent="    ")]
    if len(lines) == 1:
        out(f'"""{lines[0]}"""', "")
        return
    out(f'"""{lines[0]}', *lines[1:], '"""', "")


def write_slots(out: Source, parameters: list[Parameter]) -> None:
    """Append `__slots__`."""
    out.call("__slots__ = (", [f'"{each.name}"' for each in parameters])
    out("")


def write_constructor(out: Source, parameters: list[Parameter]) -> None:
    """Append `__init__` with the arguments in order."""
    arguments = ["self", "*"] if needs_names(parameters) else ["self"]
    for each in parameters:
        if each.default is None:
            arguments.append(f"{each.name}: {each.type}")
        elif each.default == "[]":
            arguments.append(f"{each.name}: {each.type} | None = None")
        else:
            arguments.append(f"{each.name}: {each.type} = {each.default}")
    out.call("def __init__(", arguments, ") -> None:")
    out.depth += 1
    for each in parameters:
        value = f"[] if {each.name} is None else {each.name}" if each.default == "[]" else each.name
        out(f"self.{each.name} = {value}")
    out.depth -= 1
