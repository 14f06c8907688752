"""What every section of the configuration is made of: the rule of a field, and the check of all fields."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

from mesh.config.values import KIB, MIB, Setting
from mesh.errors import ConfigError

SHORTEST_S = 0.001
LONGEST_S = 86_400.0

_RULES: dict[str, dict[str, Setting]] = {}


def seconds(text: str) -> Setting:
    """A time."""
    return Setting(text, "seconds", minimum=SHORTEST_S, maximum=LONGEST_S)


def switch(text: str) -> Setting:
    """Yes or no."""
    return Setting(text, "switch")


def count(text: str, minimum: int = 1, maximum: int = 1_000_000, flag: str = "") -> Setting:
    """A whole number."""
    return Setting(text, "count", minimum=minimum, maximum=maximum, flag=flag)


def size(text: str) -> Setting:
    """A number of bytes."""
    return Setting(text, "size", minimum=KIB, maximum=1024 * 1024 * MIB)


class Section:
    """Checks every field against its rule: values made in Python are held to what a file is held to."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, rule in settings_of(type(self)).items():
            try:
                typed = rule.accept(getattr(self, name))
            except ValueError as error:
                raise ConfigError(f"{type(self).__name__}.{name}: {error}") from None
            object.__setattr__(self, name, typed)


def settings_of(section: type[Any]) -> dict[str, Setting]:
    """The rule of each field of a section, in order."""
    rules = _RULES.get(section.__name__)
    if rules is None:
        hints = get_type_hints(section, include_extras=True)
        rules = {entry.name: hints[entry.name].__metadata__[0] for entry in fields(section)}
        _RULES[section.__name__] = rules
    return rules
