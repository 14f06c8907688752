"""Rows against the plainest model of the specification (section 5.6), with deltas that no honest replica writes."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.crdt import Delta, Element
from mesh.ipld.block import Block, store_name
from mesh.multiformats.cid import RAW
from mesh.protocols.crdt.delta import Change
from mesh.protocols.crdt.layout import Layout
from mesh.protocols.crdt.state import Draft
from mesh.protocols.crdt.values import Mapping
from tests.protocols.crdt.network import MemoryState, original_rows

KEYS = ["/a", "/a/b", "/b", "/a\0b"]
BLOCKS = [Block.of(b"%d" % number, RAW).cid for number in range(8)]
elements = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from([b"", b"1", b"2", b"22"])), max_size=4)
tombstones = st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, len(BLOCKS) - 1)), max_size=4)
deltas = st.lists(st.tuples(elements, tombstones, st.integers(0, 3)), max_size=len(BLOCKS))


class Model:
    """Sets in dictionaries; a merge compares with what was there before the half of the delta that it is in."""

    def __init__(self) -> None:
        self.elements: dict[str, dict[str, tuple[int, bytes]]] = {}
        self.tombstones: dict[str, set[str]] = {}
        self.values: dict[str, tuple[int, bytes]] = {}

    def merge(self, block: str, delta: Delta) -> None:
        for each in delta.tombstones:
            self.tombstones.setdefault(each.key, set()).add(each.id)
        for key in {each.key for each in delta.tombstones}:
            left = {
                name: one
                for name, one in self.elements.get(key, {}).items()
                if name not in self.tombstones[key]
            }
            best = max(left.values(), default=(0, b""))
            if best[1]:
                self.values[key] = best
            else:
                self.values.pop(key, None)
        before = dict(self.values)
        for each in delta.elements:
            own = self.elements.setdefault(each.key, {})
            own[block] = max(own.get(block, (0, b"")), (delta.priority, each.value))
            new = (delta.priority, each.value)
            buried = block in self.tombstones.get(each.key, ())
            if not buried and new > before.get(each.key, (0, b"")):
                self.values[each.key] = new

    def rows(self) -> dict[str, bytes]:
        found = {f"/n/s/s{key}{block}": b"" for key, blocks in self.elements.items() for block in blocks}
        found |= {f"/n/s/t{key}{block}": b"" for key, blocks in self.tombstones.items() for block in blocks}
        for key, (height, value) in self.values.items():
            found |= {f"/n/s/k{key}/v": value, f"/n/s/k{key}/p": bytes([height + 1])}
        return found


@settings(max_examples=500, deadline=None)
@given(deltas, st.integers(1, 3))
def test_any_deltas_in_any_order(
    todo: list[tuple[list[tuple[str, bytes]], list[tuple[str, int]], int]], written_every: int
) -> None:
    state, model = MemoryState(), Model()
    draft = Draft(state)
    mapping = Mapping(draft, Layout("/n"))
    for number, (added, buried, priority) in enumerate(todo):
        delta = Delta(
            elements=[Element(key=key, value=value) for key, value in added],
            tombstones=[Element(key=key, id=store_name(BLOCKS[at])) for key, at in buried if at != number],
            priority=priority,
        )
        touched = mapping.merge(Change(BLOCKS[number], delta, ()))
        before = dict(model.values)
        model.merge(store_name(BLOCKS[number]), delta)
        assert {key for key in KEYS if before.get(key) != model.values.get(key)} <= set(touched)
        assert {key: mapping.get(key) for key in KEYS} == {
            key: model.values[key][1] if key in model.values else None for key in KEYS
        }
        for key in KEYS:
            alive = model.elements.get(key, {}).keys() - model.tombstones.get(key, set())
            assert {each.id for each in mapping.removal(key)} == alive
        if not number % written_every:
            state.write(draft.take())
    state.write(draft.take())
    assert original_rows("/n", state.entries) == model.rows()
    assert mapping.below("/") == sorted((key, value) for key, (_, value) in model.values.items())


@settings(max_examples=200, deadline=None)
@given(deltas, st.randoms(use_true_random=False))
def test_rows_are_the_same_in_any_order(
    todo: list[tuple[list[tuple[str, bytes]], list[tuple[str, int]], int]], chance: random.Random
) -> None:
    """What the order leaves open in the original, a key twice in one delta, is left out."""
    changes = []
    for number, (added, buried, priority) in enumerate(todo):
        delta = Delta(
            elements=[Element(key=key, value=value) for key, value in dict(added).items() if value],
            tombstones=[Element(key=key, id=store_name(BLOCKS[at])) for key, at in buried if at != number],
            priority=priority + 1,
        )
        changes.append(Change(BLOCKS[number], delta, ()))
    found = []
    for _ in range(2):
        state = MemoryState()
        draft = Draft(state)
        mapping = Mapping(draft, Layout("/n"))
        for change in changes:
            mapping.merge(change)
        state.write(draft.take())
        found.append({key: row for key, row in state.entries.items() if not key.startswith(b"/n/f")})
        chance.shuffle(changes)
    assert found[0] == found[1]
