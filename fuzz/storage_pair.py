"""Sections of portable storage as the schema has them: names as bytes, values beside the number of their type."""

from __future__ import annotations

from typing import Any

from mesh.protocols.lethean.portable_storage import ARRAY, Kind, Section, Typed


def plain_section(section: Section) -> dict[bytes, tuple[int, Any]]:
    """The schema's form of a decoded section, in order."""
    found: dict[bytes, tuple[int, Any]] = {}
    for name, typed in section.items():
        value = typed.value
        if typed.kind is Kind.OBJECT:
            value = [plain_section(each) for each in value] if typed.array else plain_section(value)
        tag = int(typed.kind) | (ARRAY if typed.array else 0)
        found[name.encode("utf-8", "surrogateescape")] = (tag, value)
    in_order: dict[bytes, tuple[int, Any]] = ordered(found)
    return in_order


def ordered(plain: Any) -> Any:
    """Sections by ascending names: values that are equal then look equal, also where they hold what is no number."""
    if isinstance(plain, dict):
        return {
            name: (tag, ordered(value))
            for name, (tag, value) in sorted(plain.items(), key=lambda each: each[0])
        }
    return [ordered(each) for each in plain] if isinstance(plain, list) else plain


def typed_section(plain: dict[bytes, tuple[int, Any]]) -> Section:
    """What the code writes, from the schema's form."""
    found: Section = {}
    for name, (tag, value) in plain.items():
        kind, array = Kind(tag & ~ARRAY), bool(tag & ARRAY)
        if kind is Kind.OBJECT:
            value = [typed_section(each) for each in value] if array else typed_section(value)
        found[name.decode("utf-8", "surrogateescape")] = Typed(kind, value, array)
    return found
