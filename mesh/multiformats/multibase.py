"""Bytes as text behind one character that names the base (multibase specification).

The bases: `base16` f, `base16upper` F, `base32` b, `base32upper` B, `base36` k, `base36upper` K, `base58btc`
z, `base64` m, `base64url` u, and with padding `base64pad` M, `base64urlpad` U. Bases 16, 32 and 36 are read
in either case. Identity (a NUL character) is not text and refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import NamedTuple

from mesh.errors import Malformed, UsageError
from mesh.multiformats.positional import BASE36, BASE58

MAX_CHARACTERS = 64 * 1024


class Base(NamedTuple):
    """One row of the table; the functions see the text after the prefix."""

    prefix: str
    name: str
    encode: Callable[[bytes], str]
    decode: Callable[[str], bytes]


def _encode_base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def _decode_base32(text: str) -> bytes:
    if "=" in text:
        raise ValueError("padding is not part of this base")
    upper = text.upper()
    data = base64.b32decode(upper + "=" * (-len(upper) % 8))
    if base64.b32encode(data).decode().rstrip("=") != upper:
        raise ValueError("bits are left over at the end")
    return data


def _decode_base64(text: str, *, padded: bool, url: bool) -> bytes:
    if not padded:
        if "=" in text:
            raise ValueError("padding is not part of this base")
        text += "=" * (-len(text) % 4)
    data = base64.b64decode(text, b"-_" if url else None, validate=True)
    if (base64.urlsafe_b64encode(data) if url else base64.b64encode(data)).decode() != text:
        raise ValueError("bits are left over at the end, or the padding is wrong")
    return data


def _decode_base16(text: str) -> bytes:
    return binascii.unhexlify(text)


_TABLE = (
    Base("f", "base16", lambda data: data.hex(), _decode_base16),
    Base("F", "base16upper", lambda data: data.hex().upper(), _decode_base16),
    Base("b", "base32", _encode_base32, _decode_base32),
    Base("B", "base32upper", lambda data: _encode_base32(data).upper(), _decode_base32),
    Base("k", "base36", BASE36.encode, lambda text: BASE36.decode(text.lower())),
    Base(
        "K", "base36upper", lambda data: BASE36.encode(data).upper(), lambda text: BASE36.decode(text.lower())
    ),
    Base("z", "base58btc", BASE58.encode, BASE58.decode),
    Base(
        "m",
        "base64",
        lambda data: base64.b64encode(data).decode().rstrip("="),
        lambda text: _decode_base64(text, padded=False, url=False),
    ),
    Base(
        "M",
        "base64pad",
        lambda data: base64.b64encode(data).decode(),
        lambda text: _decode_base64(text, padded=True, url=False),
    ),
    Base(
        "u",
        "base64url",
        lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
        lambda text: _decode_base64(text, padded=False, url=True),
    ),
    Base(
        "U",
        "base64urlpad",
        lambda data: base64.urlsafe_b64encode(data).decode(),
        lambda text: _decode_base64(text, padded=True, url=True),
    ),
)
_BY_NAME = {base.name: base for base in _TABLE}
_BY_PREFIX = {base.prefix: base for base in _TABLE}

NAMES = tuple(_BY_NAME)


def encode(name: str, data: bytes) -> str:
    """`data` in the base called `name`, prefix first. Raises UsageError for a name that is not in NAMES."""
    base = _BY_NAME.get(name)
    if base is None:
        raise UsageError(f"multibase {name!r} is not known; the bases are {', '.join(NAMES)}")
    return base.prefix + base.encode(data)


def decode(text: str) -> bytes:
    """The bytes behind `text`, whose first character names the base. Raises Malformed.

    Bits that are set beyond the last whole byte are refused, so that bytes have one spelling in each base
    (letter case aside).
    """
    if not text:
        raise Malformed("multibase", 0, "empty")
    if len(text) > MAX_CHARACTERS:
        raise Malformed("multibase", None, f"longer than {MAX_CHARACTERS} characters")
    base = _BY_PREFIX.get(text[0])
    if base is None:
        known = "identity is not text" if text[0] == "\0" else f"no base has the prefix {text[0]!r}"
        raise Malformed("multibase", 0, known)
    if not text.isascii():
        raise Malformed("multibase", None, "not ASCII")
    try:
        return base.decode(text[1:])
    except Malformed as error:
        at = None if error.offset is None else error.offset + 1
        raise Malformed(f"multibase {base.name}", at, error.reason) from None
    except ValueError as error:
        raise Malformed(f"multibase {base.name}", None, str(error)) from None
