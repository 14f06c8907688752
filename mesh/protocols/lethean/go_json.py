r"""JSON as Go's encoding/json writes and reads it (the Lethean mesh, section 6.2).

Writing: no spaces; control characters as `\b \f \n \r \t` or `\u00xx`; U+2028 and U+2029 escaped; `<`, `>` and `&`
only where the layer asks for it; floats in their shortest form. Reading: the last of repeated keys wins; bytes that are
not UTF-8 and lone surrogates become U+FFFD; NaN, text behind the value and nesting beyond what the stack holds are
refused. Values stay beside the text they were read from, so that raw JSON can be passed on as it came.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, Final, NoReturn

from mesh.errors import Malformed, UsageError

REPLACEMENT: Final = "\ufffd"

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_RAW: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[ \t\n\r]+', re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def write_text(text: str, html: bool = False) -> str:
    """A JSON string. `html` also escapes `<`, `>` and `&`."""
    found = encode_basestring(text)
    if not found.isascii():
        found = found.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        if _SURROGATE.search(found):
            found = _SURROGATE.sub("\\\\ufffd", found)
    return escape_html(found) if html else found


def escape_html(text: str) -> str:
    """JSON text with `<`, `>` and `&` escaped; outside strings JSON has none of them."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def write_float(number: float) -> str:
    """The shortest decimal form; exponents only below 1e-6 and from 1e21 on. Raises UsageError for NaN and infinity."""
    if not isfinite(number):
        raise UsageError(f"JSON has no form for {number}")
    sign, digits, exponent = Decimal(repr(number)).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).rstrip("0")
    minus = "-" if sign else ""
    if not text:
        return minus + "0"
    point = len(digits) + exponent
    if not 1e-6 <= abs(number) < 1e21:
        mantissa = text[0] + ("." + text[1:] if text[1:] else "")
        return f"{minus}{mantissa}e{'-' if point < 1 else '+'}{abs(point - 1)}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    if point >= len(text):
        return minus + text + "0" * (point - len(text))
    return f"{minus}{text[:point]}.{text[point:]}"


def write_raw(raw: str, html: bool = False) -> str:
    """JSON text that someone else made, compacted. Raises UsageError when it is no JSON."""
    try:
        read(raw, "raw JSON")
    except Malformed as error:
        raise UsageError(str(error)) from None

    def shorten(match: re.Match[str]) -> str:
        piece = match[0]
        if piece[0] in " \t\n\r":
            return ""
        piece = piece.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        return escape_html(piece) if html else piece

    return _RAW.sub(shorten, raw)


def decode_utf8(data: bytes | bytearray | memoryview) -> str:
    """Text of any bytes; each byte that belongs to no character becomes U+FFFD."""
    data = bytes(data)
    found = []
    while True:
        try:
            found.append(data.decode())
        except UnicodeDecodeError as error:
            found += [data[: error.start].decode(), REPLACEMENT * (error.end - error.start)]
            data = data[error.end :]
        else:
            return "".join(found)


def whole_surrogates(text: str) -> str:
    """JSON text whose escaped lone surrogates are U+FFFD."""
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return _ESCAPE.sub(lambda match: "\\ufffd" if match[1] else match[0], text)


def read(text: str, field: str) -> Any:
    """The one value of a JSON text; objects are dictionaries in the order of each key's last place.

    Raises Malformed that names `field`.
    """
    value, end = read_at(text, 0, field)
    if end != len(text) and _SPACE.fullmatch(text, end) is None:
        raise Malformed(field, end, "text after the value")
    return value


def read_at(text: str, offset: int, field: str) -> tuple[Any, int]:
    """The value that starts at `offset`, spaces before it skipped: (value, offset after it). Raises Malformed."""
    start = _SPACE.match(text, offset)
    assert start is not None
    try:
        value, end = _DECODER.raw_decode(text, start.end())
    except json.JSONDecodeError as error:
        raise Malformed(field, error.pos, error.msg) from None
    except RecursionError:
        raise Malformed(field, offset, "nested too deep") from None
    except ValueError as error:
        raise Malformed(field, offset, str(error)) from None
    return value, end


def raw_members(text: str, field: str) -> dict[str, str]:
    """The texts of an object's values by key; the last of repeated keys wins. Raises Malformed."""
    match = _SPACE.match(text)
    assert match is not None
    offset = match.end()
    if text[offset : offset + 1] != "{":
        raise Malformed(field, offset, "not an object")
    found: dict[str, str] = {}
    offset = _skip(text, offset + 1)
    if text[offset : offset + 1] == "}":
        return found
    while True:
        key, offset = read_at(text, offset, field)
        offset = _skip(text, offset)
        if not isinstance(key, str) or text[offset : offset + 1] != ":":
            raise Malformed(field, offset, "an object wants a key in quotes and a colon")
        start = _skip(text, offset + 1)
        _, offset = read_at(text, start, field)
        found.pop(key, None)
        found[key] = text[start:offset]
        offset = _skip(text, offset)
        mark = text[offset : offset + 1]
        if mark == "}":
            return found
        if mark != ",":
            raise Malformed(field, offset, "an object wants a comma or its end")
        offset += 1


def _skip(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    assert match is not None
    return match.end()


def _join(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        found = {}
        for key, value in pairs:
            found.pop(key, None)
            found[key] = value
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_join, parse_constant=_refuse_constant)
