"""How a delta changes the mapping: an add-wins set of (key, block), the highest block of a key is seen.

Tombstones come first, then elements, and each half is compared with what was there before it: of one key twice in a
delta the later stays if both beat the state. An element without bytes is never the best of those that remain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mesh.codecs.crdt import Delta, Element
from mesh.protocols.crdt.delta import clean_key
from mesh.protocols.crdt.layout import Layout, read_number, write_number
from mesh.protocols.crdt.state import Draft


class Mapping:
    """The mapping of a draft. `delta_of` finds the delta of a merged block by its name."""

    __slots__ = ("_delta_of", "_draft", "_layout")

    def __init__(self, draft: Draft, layout: Layout, delta_of: Callable[[str], Delta]) -> None:
        self._draft = draft
        self._layout = layout
        self._delta_of = delta_of

    def get(self, key: str) -> bytes | None:
        """The visible value of a clean key."""
        return self._draft.get(self._layout.value(key))

    def below(self, prefix: str) -> list[tuple[str, bytes]]:
        """Visible keys and values below a clean prefix, in order; `/a` holds `/a` and `/a/b` but not `/ab`."""
        found = []
        for stored, value in self._draft.below(self._layout.values("" if prefix == "/" else prefix)):
            key = self._layout.mapping_key(stored)
            if key is not None and (prefix == "/" or key == prefix or key.startswith(prefix + "/")):
                found.append((key, value))
        return found

    def removal(self, key: str) -> list[Element]:
        """Tombstones for every element of a clean key that has none yet."""
        return [
            Element(key=key, id=block)
            for block in self._elements(key)
            if self._draft.get(self._layout.tombstone(key, block)) is None
        ]

    def merge(self, delta: Delta, block: str) -> list[str]:
        """Merge the delta of a block; returns the keys whose visible value may be another now."""
        touched = dict.fromkeys(self._bury(delta.tombstones))
        touched.update(dict.fromkeys(self._add(delta.elements, block, delta.priority)))
        return list(touched)

    def _bury(self, tombstones: Iterable[Element]) -> list[str]:
        buried: dict[str, set[str]] = {}
        for each in tombstones:
            buried.setdefault(clean_key(each.key), set()).add(clean_key(each.id))
        for key, blocks in buried.items():
            value, priority = self._best(key, blocks)
            if value:
                self._show(key, value, priority)
            else:
                self._draft.delete(self._layout.value(key))
                self._draft.delete(self._layout.priority(key))
            for block in blocks:
                self._draft.put(self._layout.tombstone(key, block))
        return list(buried)

    def _add(self, elements: Sequence[Element], block: str, priority: int) -> list[str]:
        layout, draft = self._layout, self._draft
        keys = [clean_key(each.key) for each in elements]
        names = {key: (layout.tombstone(key, block), layout.priority(key), layout.value(key)) for key in keys}
        stored = draft.get_many([name for three in names.values() for name in three[:2]])
        shown: dict[str, bytes] = {}
        for key, each in zip(keys, elements, strict=True):
            tombstone, held, value = names[key]
            if tombstone in stored:
                continue
            number = stored.get(held)
            height = 0 if number is None else read_number(number) - 1
            if priority > height or (priority == height and each.value > (draft.get(value) or b"")):
                shown[key] = each.value
        for key in names:
            draft.put(layout.element(key, block))
        number = write_number(priority + 1)
        for key, shown_value in shown.items():
            _, held, value = names[key]
            draft.put(value, shown_value)
            draft.put(held, number)
        return list(shown)

    def _best(self, key: str, buried: set[str]) -> tuple[bytes, int]:
        """The greatest value of the highest block of a key that is not buried; no bytes when there is none."""
        best, height = b"", 0
        for block in self._elements(key):
            if block in buried or self._draft.get(self._layout.tombstone(key, block)) is not None:
                continue
            delta = self._delta_of(block)
            if delta.priority < height:
                continue
            greatest = max((each.value for each in delta.elements if clean_key(each.key) == key), default=b"")
            best = greatest if delta.priority > height else max(best, greatest)
            height = delta.priority
        return best, height

    def _elements(self, key: str) -> list[str]:
        prefix = self._layout.elements(key)
        start = len(prefix) - 1
        found = (stored[start:].decode() for stored, _ in self._draft.below(prefix))
        return [each for each in found if "/" not in each[1:]]

    def _show(self, key: str, value: bytes, priority: int) -> None:
        self._draft.put(self._layout.value(key), value)
        self._draft.put(self._layout.priority(key), write_number(priority + 1))
