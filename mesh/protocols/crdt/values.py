"""How a delta changes the mapping: an add-wins set of (key, block), the highest block of a key is seen.

Tombstones come first, then elements, and each half is compared with what was there before it: of one key twice in a
delta the later is seen if both beat what was there, and the greater counts once others are gone. An element without
bytes is never the best of those that remain. Of two equal ones the block that is last in order is seen, so that the rows
are the same whatever came first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mesh.codecs.crdt import Element
from mesh.ipld.block import store_name
from mesh.multiformats.cid import Cid
from mesh.protocols.crdt.delta import Change, clean_key
from mesh.protocols.crdt.layout import (
    HIDDEN,
    KNOWN,
    NOTHING_SHOWN,
    OTHERS,
    UNKNOWN,
    Layout,
    Shown,
    block_name,
    element_row,
    multihash_of,
    read_element,
    shown_start,
)
from mesh.protocols.crdt.state import Draft

Elements = dict[str, tuple[int, bytes]]
"""Height and value of each element of a key, by the names of their blocks."""


class Mapping:
    """The mapping of a draft."""

    __slots__ = ("_draft", "_layout")

    def __init__(self, draft: Draft, layout: Layout) -> None:
        self._draft = draft
        self._layout = layout

    def get(self, key: str) -> bytes | None:
        """The visible value of a clean key."""
        row = self._draft.get(self._layout.shown(key))
        return None if row is None else Shown.read(row).visible

    def below(self, prefix: str) -> list[tuple[str, bytes]]:
        """Visible keys and values below a clean prefix, in order; `/a` holds `/a` and `/a/b` but not `/ab`."""
        found = []
        start = len(self._layout.all_shown) - 1
        for stored, row in self._draft.below(self._layout.shown(prefix)):
            key, value = stored[start:].decode(), Shown.read(row).visible
            if value is not None and (prefix == "/" or key == prefix or key.startswith(prefix + "/")):
                found.append((key, value))
        return found

    def removal(self, key: str) -> list[Element]:
        """Tombstones for every element of a clean key that has none yet."""
        row = self._draft.get(self._layout.shown(key))
        return [] if row is None else [Element(key=key, id=each) for each in self._elements(key, row)]

    def merge(self, change: Change) -> list[str]:
        """Merge a node; returns the keys whose visible value may be another now."""
        delta = change.delta
        touched = self._bury(delta.tombstones) if delta.tombstones else []
        if delta.elements:
            touched += self._add(delta.elements, change.cid, delta.priority)
        return touched

    # -- tombstones --------------------------------------------------------------------------------------------------

    def _bury(self, tombstones: Iterable[Element]) -> list[str]:
        buried: dict[str, set[str]] = {}
        for each in tombstones:
            buried.setdefault(clean_key(each.key), set()).add(clean_key(each.id))
        layout, draft = self._layout, self._draft
        stored = draft.get_many([layout.shown(key) for key in buried])
        for key, blocks in buried.items():
            row = stored.get(layout.shown(key))
            before = {} if row is None else self._elements(key, row)
            for block in blocks:
                name = layout.tombstone(key, block)
                if block in before:
                    draft.put(name, KNOWN)
                elif draft.get(name) is None:
                    draft.put(name, UNKNOWN)
                    draft.put(layout.foretold(block))
            if row is not None:
                self._leave(key, row, before, {name: before[name] for name in before if name not in blocks})
        return list(buried)

    def _leave(self, key: str, row: bytes, before: Elements, left: Elements) -> None:
        """Write what is left of a key's elements."""
        layout, draft = self._layout, self._draft
        shown = Shown.read(row)
        others = layout.elements(key)
        if shown.flags:
            for block in before:
                if block not in left:
                    draft.delete_from(others, layout.element(key, block))
        if not left:
            draft.delete(layout.shown(key))
            return
        before_seen = "" if shown.flags & HIDDEN else block_name(shown.block)
        seen, height, value = _best(left)
        if value:
            flags = OTHERS if len(left) > 1 else 0
            row = Shown(flags, height, multihash_of(seen).to_bytes(), value).write()
            draft.put(layout.shown(key), row)
            if shown.flags:
                draft.delete_from(others, layout.element(key, seen))
        else:
            draft.put(layout.shown(key), NOTHING_SHOWN)
        if before_seen in left and (before_seen != seen or not value):
            height, value = left[before_seen]
            draft.put_into(others, layout.element(key, before_seen), element_row(key, height, value))

    # -- elements ----------------------------------------------------------------------------------------------------

    def _add(self, elements: Sequence[Element], cid: Cid, height: int) -> list[str]:
        layout, draft = self._layout, self._draft
        block, multihash = store_name(cid), cid.multihash.to_bytes()
        keys = [clean_key(each.key) for each in elements]
        start = layout.shown("")
        names = [start + key.encode() for key in keys]
        stored = draft.get_many(names)
        plain = shown_start(0, height, multihash)
        if not stored and height and len(set(names)) == len(names) and not self._is_foretold(block):
            draft.put_all({name: plain + each.value for name, each in zip(names, elements, strict=True)})
            return keys
        values: dict[str, list[bytes]] = {}
        for key, each in zip(keys, elements, strict=True):
            values.setdefault(key, []).append(each.value)
        foretold = self._is_foretold(block)
        for key, several in values.items():
            tombstone = layout.tombstone(key, block)
            if foretold and draft.get(tombstone) is not None:
                draft.put(tombstone, KNOWN)
                continue
            self._add_one(key, stored.get(start + key.encode()), several, cid, height)
        return list(values)

    def _is_foretold(self, block: str) -> bool:
        return self._draft.get(self._layout.foretold(block)) is not None

    def _add_one(self, key: str, row: bytes | None, values: list[bytes], cid: Cid, height: int) -> None:
        """Add an element with these values, in their order, of a key that has this row."""
        layout, draft = self._layout, self._draft
        old, multihash = Shown.read(row or NOTHING_SHOWN), cid.multihash.to_bytes()
        if old.block == multihash:
            return
        beating = [each for each in values if (height, each) > (old.height, old.value)]
        greatest = max(values)
        same = (height, greatest) == (old.height, old.value) and not old.flags & HIDDEN
        if same and store_name(cid) > block_name(old.block):
            beating = [greatest]
        if beating:
            if not old.flags & HIDDEN:
                self._stand_back(key, old)
            alone = row is None and greatest == beating[-1]
            new = Shown(0 if alone else OTHERS, height, multihash, beating[-1])
            draft.put(layout.shown(key), new.write())
        elif not old.flags & OTHERS:
            new = Shown(old.flags | OTHERS, old.height, old.block, old.value)
            draft.put(layout.shown(key), new.write())
        if not beating or greatest != beating[-1]:
            name = layout.element(key, store_name(cid))
            draft.put_into(layout.elements(key), name, element_row(key, height, greatest))

    def _stand_back(self, key: str, old: Shown) -> None:
        """The element that was seen becomes one of the others, unless its greatest value is there already."""
        layout, draft = self._layout, self._draft
        name = layout.element(key, block_name(old.block))
        if not old.flags & OTHERS or draft.get(name) is None:
            draft.put_into(layout.elements(key), name, element_row(key, old.height, old.value))

    def _elements(self, key: str, row: bytes) -> Elements:
        """The elements of a key that has this row and no tombstone for them."""
        shown, found = Shown.read(row), {}
        if not shown.flags & HIDDEN:
            found[block_name(shown.block)] = (shown.height, shown.value)
        if shown.flags:
            prefix = self._layout.elements(key)
            for stored, each in self._draft.group(prefix):
                element = read_element(key, each)
                if element is not None:
                    found[stored[len(prefix) :].decode()] = element
        return found


def _best(elements: Elements) -> tuple[str, int, bytes]:
    """The block with the greatest value among the highest, its height and that value; the last in order of such."""
    block = max(elements, key=lambda each: (*elements[each], each))
    return block, *elements[block]
