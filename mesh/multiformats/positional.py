"""Numbers written in a base that is no power of two: base58 and base36.

The bytes are one big-endian number; each leading zero byte becomes one leading zero digit. The cost grows
with the square of the length, so that both forms are limited.
"""

from __future__ import annotations

from mesh.errors import Malformed, UsageError

MAX_CHARACTERS = 6400
MAX_BYTES = 4096

_BASE58_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE36_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class PositionalBase:
    """One alphabet; two digits are handled per step of the big-number arithmetic."""

    __slots__ = ("_digits", "_pair_of", "_value_of", "_zero", "name")

    def __init__(self, name: str, alphabet: str) -> None:
        self.name = name
        self._digits = {digit: value for value, digit in enumerate(alphabet)}
        self._pair_of = [high + low for high in alphabet for low in alphabet]
        self._value_of = {pair: value for value, pair in enumerate(self._pair_of)}
        self._zero = alphabet[0]

    def encode(self, data: bytes) -> str:
        """The text of `data`. Raises UsageError above MAX_BYTES."""
        if len(data) > MAX_BYTES:
            raise UsageError(f"{self.name} is for at most {MAX_BYTES} bytes, not {len(data)}")
        zeros = len(data) - len(data.lstrip(b"\0"))
        number = int.from_bytes(data, "big")
        step, pair_of = len(self._pair_of), self._pair_of
        pairs: list[str] = []
        while number:
            number, pair = divmod(number, step)
            pairs.append(pair_of[pair])
        pairs.reverse()
        return self._zero * zeros + "".join(pairs).lstrip(self._zero)

    def decode(self, text: str) -> bytes:
        """The bytes of `text`. Raises Malformed at a character outside the alphabet, or when too long."""
        if len(text) > MAX_CHARACTERS:
            raise Malformed(self.name, None, f"longer than {MAX_CHARACTERS} characters")
        significant = text.lstrip(self._zero)
        padded = significant if len(significant) % 2 == 0 else self._zero + significant
        step, value_of, number = len(self._pair_of), self._value_of, 0
        try:
            for at in range(0, len(padded), 2):
                number = number * step + value_of[padded[at : at + 2]]
        except KeyError:
            at = next(i for i, character in enumerate(text) if character not in self._digits)
            raise Malformed(self.name, at, f"character {text[at]!r} is not in the alphabet") from None
        zeros = len(text) - len(significant)
        size = zeros + (number.bit_length() + 7) // 8
        if size > MAX_BYTES:
            raise Malformed(self.name, None, f"{size} bytes, the maximum is {MAX_BYTES}")
        return number.to_bytes(size, "big")


BASE58 = PositionalBase("base58", _BASE58_ALPHABET)
BASE36 = PositionalBase("base36", _BASE36_ALPHABET)

b58encode = BASE58.encode
b58decode = BASE58.decode
