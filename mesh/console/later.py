"""Verbs that are loaded when they are asked for, so that help and other verbs stay quick."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup


def later(module: str, help: str) -> typer.Typer:
    """A group of verbs; ``module`` holds them as its `app` and is imported on first use."""

    class Later(TyperGroup):
        """Builds its commands when somebody looks at them."""

        _built: dict[str, Any] | None = None

        @property
        def commands(self) -> dict[str, Any]:
            if self._built is None:
                self._built = dict(typer.main.get_group(import_module(module).app).commands)
            return self._built

        @commands.setter
        def commands(self, _none: object) -> None:
            """The group is made with no commands of its own."""

    return typer.Typer(cls=Later, help=help, no_args_is_help=True, rich_markup_mode=None)
