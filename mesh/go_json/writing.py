"""Texts of values, byte for byte as Go writes them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from mesh.errors import UsageError

_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPED: Final = re.compile('["\\\\\x00-\x1f<>&\u2028\u2029\ud800-\udfff]')
_PLAIN_FROM: Final = 1e-6
_PLAIN_BELOW: Final = 1e21


def write_json(value: Any) -> bytes:
    """The text of a tree of mappings (keys in their order), lists, texts, bytes (base64), numbers, booleans and None.

    Raises `UsageError` for what JSON has no form for.
    """
    return _write(value).encode()


def write_string(text: str) -> str:
    """A text in quotes. Half of a surrogate pair, which stands for bytes that are no UTF-8, becomes U+FFFD."""
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def write_float(number: float) -> str:
    """The shortest form that reads back as the same number. Raises `UsageError` for NaN and infinities."""
    if not isfinite(number):
        raise UsageError(f"JSON has no form for {number}")
    size = abs(number)
    if size and not _PLAIN_FROM <= size < _PLAIN_BELOW:
        digits, _, exponent = f"{Decimal(repr(number)).normalize():e}".partition("e")
        return f"{digits}e{exponent}"
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if "\ud800" <= character <= "\udfff":
        return "\\ufffd"
    return _SHORT.get(character) or f"\\u{ord(character):04x}"


def _write_list(values: Any) -> str:
    return "[" + ",".join(map(_write, values)) + "]"


def _write_mapping(value: Mapping[str, Any]) -> str:
    return "{" + ",".join(f"{write_string(key)}:{_write(each)}" for key, each in value.items()) + "}"


_WRITERS: Final[Mapping[type, Callable[[Any], str]]] = {
    str: write_string,
    bool: lambda value: "true" if value else "false",
    int: str,
    float: write_float,
    bytes: lambda value: f'"{base64.b64encode(value).decode()}"',
    type(None): lambda value: "null",
    list: _write_list,
    tuple: _write_list,
    dict: _write_mapping,
}


def _write(value: Any) -> str:
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise UsageError(f"JSON has no form for a {type(value).__name__}")
    return writer(value)
