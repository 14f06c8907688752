"""Changing one line of this project's source in a process of its own: nothing in the product knows of it.

A change names a module, a text that stands in it exactly once, and what stands there instead. The module is compiled from
the changed text when it is first imported; so `apply` comes before the first import.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType


class StaleChange(Exception):  # noqa: N818
    """The text to be changed stands in its module not once: the source has moved on."""


@dataclass(frozen=True, slots=True)
class Change:
    """``told`` says in words what is different; ``cases`` are ids or prefixes that are about it."""

    name: str
    told: str
    module: str
    old: str
    new: str
    cases: tuple[str, ...] = ()

    def applied(self, source: str) -> str:
        """The module's source with the change. Raises `StaleChange`."""
        if source.count(self.old) != 1:
            raise StaleChange(
                f"{self.name}: {self.old!r} stands {source.count(self.old)} times in {self.module}"
            )
        return source.replace(self.old, self.new)


class _Loader(SourceFileLoader):
    """Compiles the changed source, and leaves no trace of it on the disk."""

    def __init__(self, change: Change, path: str) -> None:
        super().__init__(change.module, path)
        self._change = change

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        return self.source_to_code(self._change.applied(source).encode(), self.path)


class _Finder:
    """Finds the one module that is changed."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._change.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(self._change, spec.origin)
            spec.cached = None
        return spec


def apply(change: Change) -> None:
    """Change the module for this process. Raises `StaleChange` when it was imported already."""
    if change.module in sys.modules:
        raise StaleChange(f"{change.name}: {change.module} is imported already")
    sys.meta_path.insert(0, _Finder(change))
