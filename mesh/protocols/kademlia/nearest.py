"""Which of many keys are nearest to one: an order by distance, from numbers that lie side by side in memory.

A key of 256 bits is an object of its own somewhere, and a server looks at dozens for every request: fetching them costs
more than comparing. Here a key counts by its leading bits, in 4 bytes with its place, so that the distance from a target
carries the place along. Keys too alike for that are compared whole.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from mesh.protocols.kademlia.key import KEY_BITS

_WORD_BITS: Final = 30
"""What Python compares fastest."""
_SORTED_AT_ONCE: Final = 48
"""Runs up to this are sorted rather than split further."""


class Nearest:
    """An order over ``keys``, which are sorted, each once, and must not change."""

    __slots__ = ("_alike", "_keys", "_place_bits", "_words")

    def __init__(self, keys: Sequence[int]) -> None:
        self._keys = keys
        self._place_bits = bits = len(keys).bit_length()
        shift = KEY_BITS - _WORD_BITS + bits
        tops = [key >> shift for key in keys]
        self._words = array("I", [top << bits | place for place, top in enumerate(tops)])
        self._alike = len(tops) - len(set(tops))

    def places(self, target: int, count: int) -> list[int]:
        """Where up to ``count`` keys nearest to ``target`` stand among the keys, nearest first."""
        bits = self._place_bits
        mask = (1 << bits) - 1
        top = target >> (KEY_BITS - _WORD_BITS + bits) << bits
        found = self._words_near(top, count + self._alike)
        places = [each & mask for each in found]
        if self._alike:
            keys = self._keys
            places.sort(key=lambda place: keys[place] ^ target)
            del places[count:]
        return places

    def _words_near(self, target: int, count: int) -> list[int]:
        """Distances of up to ``count`` words from ``target``, least first.

        A run of words that share a prefix is split at its next bit; the half on the target's side is nearer in whole
        than the other, so it is done first. A half that is small enough is sorted.
        """
        words = self._words
        found: list[int] = []
        low, high, bit, prefix = 0, len(words), 1 << (_WORD_BITS - 1), 0
        rest: list[tuple[int, int, int, int]] = []
        while True:
            size = high - low
            if size <= _SORTED_AT_ONCE or size <= count - len(found):
                run = [each ^ target for each in words[low:high]]
                run.sort()
                found += run
                if len(found) >= count or not rest:
                    del found[count:]
                    return found
                low, high, bit, prefix = rest.pop()
                continue
            middle = bisect_left(words, prefix | bit, low, high)
            if target & bit:
                if middle > low:
                    rest.append((low, middle, bit >> 1, prefix))
                low = middle
                prefix |= bit
            else:
                if middle < high:
                    rest.append((middle, high, bit >> 1, prefix | bit))
                high = middle
            bit >>= 1
