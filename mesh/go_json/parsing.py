"""Text to a tree, as Go's decoder takes it; what is no JSON is refused in Go's words where they are simple.

A tree is made of `Members` (pairs in their order, repeated keys too), lists, texts, `Number` (a number as it was
written), booleans and None. Bytes that are no UTF-8 and halves of surrogate pairs become U+FFFD.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from mesh.errors import Malformed

MAX_DEPTH: Final = 100
"""Go takes 10,000."""
MAX_VALUES: Final = 1_000_000
"""Elements and members in one text; Go has no limit. An `info` of 8 MiB has 500,000."""
TREE: Final = "JSON"

_MARKS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)
_HALVES: Final = re.compile("[\ud800-\udfff]")
_LITERALS: Final = ("true", "false", "null", "-")
_PLACES: Final = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after a value",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
}


class Number(str):
    """A number as it was written."""

    __slots__ = ()


class Members(list[tuple[str, Any]]):
    """The members of an object."""

    __slots__ = ()


def parse(data: bytes) -> Any:
    """The tree that is all of ``data``. Raises `Malformed`."""
    text = data.decode("utf-8", "surrogateescape")
    if not text.isascii():
        text = _HALVES.sub("\ufffd", text)
    check_bounds(text)
    try:
        tree = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Malformed(TREE, error.pos, _reason(text, error)) from None
    except ValueError as error:
        raise Malformed(TREE, None, str(error)) from None
    return whole(tree) if "\\u" in text else tree


def whole(tree: Any) -> Any:
    """The tree with U+FFFD in place of halves of surrogate pairs that escapes spelled."""
    if type(tree) is str:
        return _HALVES.sub("\ufffd", tree)
    if type(tree) is Members:
        return Members((_HALVES.sub("\ufffd", key), whole(each)) for key, each in tree)
    return [whole(each) for each in tree] if type(tree) is list else tree


def check_bounds(text: str) -> None:
    """Raises `Malformed` for text that nests too deep or holds too many values; commas and brackets in texts are none."""
    openings = text.count("[") + text.count("{")
    if openings <= MAX_DEPTH and text.count(",") + openings <= MAX_VALUES:
        return
    depth = values = 0
    for found in _MARKS.finditer(text):
        mark = found[0]
        if mark in ("]", "}"):
            depth -= 1
        elif len(mark) == 1:
            values += 1
            depth += mark != ","
            if depth > MAX_DEPTH:
                raise Malformed(TREE, found.start(), f"nested deeper than {MAX_DEPTH}")
            if values > MAX_VALUES:
                raise Malformed(TREE, found.start(), f"more than {MAX_VALUES} values")


def _reason(text: str, error: json.JSONDecodeError) -> str:
    rest = text[error.pos :]
    unfinished = error.msg.startswith(("Unterminated", "Invalid \\uXXXX")) and '"' not in rest[1:]
    if unfinished or not rest.strip(" \t\r\n") or any(each.startswith(rest) for each in _LITERALS):
        return "unexpected end of JSON input"
    at = error.pos + len(rest) - len(rest.lstrip(" \t\r\n"))
    character = text[at]
    shown = {"'": "'\\''", '"': "'\"'"}.get(character) or (
        f"'{character}'" if character.isprintable() else repr(character)
    )
    return f"invalid character {shown} {_PLACES.get(error.msg.removesuffix(':'), error.msg)}"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"invalid character '{name.lstrip('-')[0]}' looking for beginning of value")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=Members, parse_float=Number, parse_int=Number, parse_constant=_refuse_constant
)
