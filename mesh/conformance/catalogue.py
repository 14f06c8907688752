"""All cases there are, and the choice of them by id.

A case is found by standing in a module of `mesh.conformance.cases` that has a `SECTION` (or `SECTIONS`): there is no list
to add it to. Mirrored cases come last.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from functools import cache
from importlib import import_module

from mesh.conformance import cases as package
from mesh.conformance.case import Case, Section
from mesh.errors import UsageError

SUITES = (
    "multistream",
    "noise",
    "tls",
    "yamux",
    "identify",
    "ping",
    "kad",
    "gossipsub",
    "relay",
    "dcutr",
    "autonat",
    "quic",
    "perf",
    "any",
)
"""In the order of the catalogue."""


@cache
def sections() -> tuple[Section, ...]:
    """Every section, in the order of the catalogue."""
    names = [each.name for each in pkgutil.iter_modules(package.__path__)]
    modules = [import_module(f"{package.__name__}.{name}") for name in names]
    found: list[Section] = [module.SECTION for module in modules if hasattr(module, "SECTION")]
    found += [each for module in modules for each in getattr(module, "SECTIONS", ())]
    return tuple(sorted(found, key=_place))


def _place(section: Section) -> tuple[bool, int, int]:
    suite, _, number = section.id.partition("/")
    return section.mirrored, SUITES.index(suite), int(number)


@cache
def cases() -> tuple[Case, ...]:
    """Every case, section by section."""
    found = [case for section in sections() for case in sorted(section.cases, key=lambda each: each.order)]
    names = [each.id for each in found]
    twice = {each for each in names if names.count(each) > 1}
    if twice:
        raise UsageError(f"several cases are called {', '.join(sorted(twice))}")
    return tuple(found)


def title_of(section_id: str) -> str:
    """The title of a section."""
    return next((each.title for each in sections() if each.id == section_id), "")


def select(prefixes: Sequence[str], *, mirrored: bool = False) -> list[Case]:
    """Cases whose id a prefix names: a suite, a section or one case; all for no prefix. ``mirrored``: those of mirror
    mode alone. Raises `UsageError` for a prefix that names nothing."""
    chosen = [each for each in cases() if each.mirrored is mirrored]
    for prefix in prefixes:
        if not any(_names(prefix, each.id) for each in chosen):
            raise UsageError(f"no case is called {prefix}, or begins so; `mesh conform --list` has them all")
    return [each for each in chosen if not prefixes or any(_names(prefix, each.id) for prefix in prefixes)]


def _names(prefix: str, case_id: str) -> bool:
    return case_id == prefix or case_id.startswith((f"{prefix}/", f"{prefix}."))
