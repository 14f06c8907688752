"""JSON text as the stock daemons read and write it (ECMAScript's `JSON`): what has no form in it never gets further.

Reading: bytes that are not UTF-8 and lone surrogates become U+FFFD, a byte order mark is skipped, the last of repeated
keys wins, numbers too large for a double become null as they would be written again; NaN, text behind the value and
nesting deeper than `MAX_DEPTH` are refused. Writing: no spaces, characters beyond ASCII as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, NoReturn

from mesh.errors import Malformed, UsageError

MAX_DEPTH: Final = 100
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def whole(text: str) -> str:
    """The text with U+FFFD in place of each lone surrogate, so that it has a UTF-8 form."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def read_object(data: bytes, field: str) -> dict[str, Any]:
    """The object that is all of ``data``. Raises `Malformed` that names ``field``."""
    text = data.decode("utf-8-sig", "replace")
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise Malformed(field, None, f"nested deeper than {MAX_DEPTH}")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Malformed(field, error.pos, error.msg) from None
    except ValueError as error:
        raise Malformed(field, None, str(error)) from None
    if type(value) is not dict:
        raise Malformed(field, None, "no object")
    return _whole_object(value) if "\\u" in text else value


def write_object(value: Mapping[str, Any]) -> str:
    """The text of an object. Raises `UsageError` for what JSON has no form for."""
    try:
        return whole(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"not a JSON object: {error}") from None


def _depth(text: str) -> int:
    """How deep brackets nest, counted up to one more than is allowed."""
    depth = deepest = 0
    for match in _BRACKETS.finditer(text):
        mark = match[0]
        if mark in ("[", "{"):
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MAX_DEPTH:
                break
        elif mark in ("]", "}"):
            depth -= 1
    return deepest


def _whole_object(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {whole(name): _whole_object(each) for name, each in value.items()}
    return [_whole_object(each) for each in value] if isinstance(value, list) else value


def _read_double(text: str) -> float | None:
    number = float(text)
    return number if isfinite(number) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER: Final = json.JSONDecoder(parse_float=_read_double, parse_constant=_refuse_constant)
