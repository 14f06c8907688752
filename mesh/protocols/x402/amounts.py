"""Prices in the token and its atomic units, addresses and fixed-size hexadecimal text (sections 3.2, 3.4, 3.7).

Amounts are whole atomic units (1e-6 of the token); on the wire they are decimal text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import isfinite
from typing import Final

from mesh.errors import Malformed

Keccak = Callable[[bytes], bytes]
"""Keccak-256, as Ethereum uses it: bytes to 32 bytes."""

DECIMALS: Final = 6
MAX_AMOUNT: Final = 10**15
"""The most that one payment may be: a thousand million of the token, so that sums of them fit everywhere."""
MAX_INSTANT_S: Final = 2**63 - 1
_MAX_DIGITS: Final = 78
_DIGITS: Final = frozenset("0123456789")
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def atomic_of_price(price: float) -> int:
    """The amount that a listed price asks for: cut off, not rounded, as the network computes it (8.2 gives 8199999).

    What is no price (negative, infinite, no number) or more than `MAX_AMOUNT` raises `Malformed`.
    """
    if not isfinite(price) or price < 0:
        raise Malformed("price", None, f"{price} is no price")
    amount = int(price * 10**DECIMALS)
    if amount > MAX_AMOUNT:
        raise Malformed("price", None, f"{price:g} is more than a payment can be")
    return amount


def amount_in_words(amount: int) -> str:
    """The amount in units of the token: 1000 is `0.001`."""
    whole, part = divmod(amount, 10**DECIMALS)
    return f"{whole}.{part:0{DECIMALS}}".rstrip("0").rstrip(".")


def read_number(text: str, field: str, most: int = MAX_AMOUNT) -> int:
    """A number in decimal text, from 0 to ``most``. Raises `Malformed`."""
    if not text or len(text) > _MAX_DIGITS or not _DIGITS.issuperset(text):
        raise Malformed(field, None, f"{text[:80]!r} is no decimal number")
    number = int(text)
    if number > most:
        raise Malformed(field, None, f"{text} is more than {most}")
    return number


def read_hex(text: str, size: int, field: str) -> bytes:
    """So many bytes from hexadecimal text, with or without 0x. Raises `Malformed`."""
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    if len(digits) != 2 * size or not _HEX.issuperset(digits):
        raise Malformed(field, None, f"{text[:80]!r} is not {size} bytes in hexadecimal")
    return bytes.fromhex(digits)


@lru_cache(maxsize=4096)
def checksummed(address: bytes, keccak: Keccak) -> str:
    """The text of 20 bytes of address, its letters in the case that EIP-55 gives them."""
    digits = address.hex()
    case = keccak(digits.encode()).hex()
    return "0x" + "".join(
        each.upper() if int(mark, 16) >= 8 else each for each, mark in zip(digits, case, strict=False)
    )
