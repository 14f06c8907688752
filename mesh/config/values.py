"""What a setting is: its help, its kind, its limits, and how text becomes its value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

N = TypeVar("N", int, float)
Kind = Literal["text", "switch", "count", "size", "seconds", "list", "levels", "path"]

KIB = 1024
MIB = 1024 * KIB
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

_SWITCHES = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
_QUANTITY = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*([A-Za-zµ]*)")
_BYTE_UNITS = {
    "": 1,
    "b": 1,
    "kib": KIB,
    "mib": MIB,
    "gib": 1024 * MIB,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
}
_TIME_UNITS = {"": 1.0, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Setting:
    """The rule of one configuration field; it is the field's annotation, so help and check have one source.

    ``minimum`` and ``maximum`` bound numbers (inclusive), ``choices`` bounds text or each element of a list,
    and ``shape`` judges text that no list of choices describes: it returns what is wrong, or an empty string.
    """

    help: str
    kind: Kind = "text"
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    shape: Callable[[str], str] | None = None
    flag: str = ""

    def from_text(self, text: str) -> object:
        """The value that environment or command line text stands for; ``ValueError`` when it is wrong."""
        if self.kind == "count":
            try:
                return self.accept(int(text))
            except ValueError as error:
                raise (
                    error if "invalid literal" not in str(error) else _wrong("a whole number", text)
                ) from None
        if self.kind == "list":
            return self.accept(tuple(part.strip() for part in text.split(",") if part.strip()))
        if self.kind == "levels":
            pairs = [part.partition("=") for part in text.split(",") if part.strip()]
            return self.accept(tuple((name.strip(), level.strip()) for name, _, level in pairs))
        return self.accept(text)

    def accept(self, value: object) -> object:
        """The checked, typed form of a value from a file or from Python; ``ValueError`` when it is wrong."""
        match self.kind:
            case "text":
                return self._text(value)
            case "switch":
                return _switch(value)
            case "count":
                return self._bounded(_whole(value))
            case "size":
                return self._bounded(parse_size(value) if isinstance(value, str) else _whole(value))
            case "seconds":
                return self._bounded(parse_seconds(value) if isinstance(value, str) else _number(value))
            case "list":
                if not isinstance(value, list | tuple):
                    raise _wrong("a list", value)
                return tuple(self._text(element) for element in value)
            case "levels":
                return self._levels(value)
            case "path":
                if value is not None and not isinstance(value, str | Path):
                    raise _wrong("a path", value)
                return Path(value).expanduser() if value else None

    def _text(self, value: object) -> str:
        if not isinstance(value, str):
            raise _wrong("text", value)
        if self.choices and value not in self.choices:
            raise ValueError(f"{value!r} is not one of {', '.join(self.choices)}{near(value, self.choices)}")
        if self.shape is not None and (fault := self.shape(value)):
            raise ValueError(f"{value!r} {fault}")
        return value

    def _levels(self, value: object) -> tuple[tuple[str, str], ...]:
        pairs = list(value.items()) if isinstance(value, Mapping) else value
        if not isinstance(pairs, list | tuple) or not all(
            isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
        ):
            raise _wrong("a table of subsystem = level", value)
        for name, _ in pairs:
            if not isinstance(name, str) or not name:
                raise _wrong("a subsystem name", name)
        return tuple((name, self._text(level)) for name, level in pairs)

    def _bounded(self, number: N) -> N:
        if self.minimum is not None and number < self.minimum:
            raise ValueError(f"{number:g} is below the least value {self.minimum:g}")
        if self.maximum is not None and number > self.maximum:
            raise ValueError(f"{number:g} is above the greatest value {self.maximum:g}")
        return number


def parse_size(text: str) -> int:
    """``"64 MiB"``, ``"64MiB"`` or ``"67108864"`` in bytes."""
    number, factor = _quantity(text, _BYTE_UNITS, "a size such as 64 MiB")
    size = number * factor
    if not math.isfinite(size) or size != int(size):
        raise _wrong("a whole number of bytes", text)
    return int(size)


def parse_seconds(text: str) -> float:
    """``"1.5"``, ``"250ms"`` or ``"30 s"`` in seconds."""
    number, factor = _quantity(text, _TIME_UNITS, "a time such as 1.5, 250ms or 30s")
    return _number(number * factor)


def near(word: str, known: tuple[str, ...] | list[str], alike: float = 0.6) -> str:
    """A hint `` (did you mean ...?)`` when ``word`` looks like one of ``known``, else nothing."""
    from difflib import get_close_matches

    found = get_close_matches(word, known, n=1, cutoff=alike)
    return f" (did you mean {found[0]}?)" if found else ""


def shape_of_api_listen(text: str) -> str:
    """``off`` or ``HOST:PORT``, an IPv6 host in brackets."""
    if text == "off":
        return ""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if host in ("", "[]") or (":" in host and not bracketed) or "/" in host:
        return "is neither off nor HOST:PORT"
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        return "has no port between 0 and 65535"
    return ""


def shape_of_address(text: str) -> str:
    """A first look at a multiaddr; the network floor parses it."""
    return "" if text.startswith("/") else "is not a multiaddr: it must start with /"


def _quantity(text: str, units: Mapping[str, float], expected: str) -> tuple[float, float]:
    found = _QUANTITY.fullmatch(text.strip())
    factor = units.get(found[2].lower()) if found else None
    if found is None or factor is None:
        raise _wrong(expected, text)
    return float(found[1].replace("_", "")), factor


def _switch(value: object) -> bool:
    if isinstance(value, str):
        value = _SWITCHES.get(value.lower(), value)
    if not isinstance(value, bool):
        raise _wrong("true or false", value)
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong("a whole number", value)
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong("a number", value)
    return float(value)


def _wrong(expected: str, value: object) -> ValueError:
    return ValueError(f"expected {expected}, got {value!r}")
