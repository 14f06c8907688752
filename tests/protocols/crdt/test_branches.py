"""Branches that share nodes, given up and followed again: nothing is ready before all below it is merged."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.codecs.crdt import Delta
from mesh.ipld.block import Block
from mesh.multiformats.cid import Cid
from mesh.protocols.crdt.branches import CHANGE_BYTES, Branches
from mesh.protocols.crdt.delta import Change, make_block, read_block


class Dag:
    """Nodes that link to earlier ones, and a replica's branches into them."""

    def __init__(self, links: list[list[int]]) -> None:
        self.blocks: list[Block] = []
        for number, below in enumerate(links):
            delta = Delta(priority=number + 1)
            self.blocks.append(make_block(delta, [self.blocks[each].cid for each in below]))
        self.links = [sorted({self.blocks[each].cid for each in below}, key=str) for below in links]
        self.merged: list[Cid] = []
        self.branches = Branches(lambda cid: cid in self.merged)

    def __getitem__(self, number: int) -> Cid:
        return self.blocks[number].cid

    def change(self, number: int) -> Change:
        return read_block(self.blocks[number])

    def come(self, number: int) -> None:
        """A node that is waited for arrives."""
        if self.branches.wants(self[number]):
            self.branches.add(self.change(number), 1, 0.0)

    def follow(self, number: int) -> None:
        if self[number] not in self.merged:
            self.branches.start(self[number], b"", 0.0)

    def merge(self) -> None:
        while (found := self.branches.next_ready()) is not None:
            cid = found[0]
            number = next(each for each, block in enumerate(self.blocks) if block.cid == cid)
            assert all(link in self.merged for link in self.links[number]), "merged before what is below it"
            assert cid not in self.merged
            self.merged.append(cid)
            self.branches.merged(cid)


def test_small_changes_count_for_what_they_take_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.protocols.crdt.branches.KEPT_BYTES", 2 * (CHANGE_BYTES + 1))
    dag = Dag([[], [0], [1], [2]])
    dag.follow(3)
    for number in (3, 2, 1, 0):
        dag.come(number)
    held = []
    while (found := dag.branches.next_ready()) is not None:
        held.append(found[1] is not None)
        dag.branches.merged(found[0])
    assert held == [False, False, True, True]  # the two that came first, which are merged last


def test_a_long_branch_leaves_nothing_behind() -> None:
    dag = Dag([[], *([each] for each in range(999))])
    empty = sys.getsizeof(dag.branches._nodes)
    dag.follow(999)
    for number in reversed(range(1000)):
        dag.come(number)
    assert sys.getsizeof(dag.branches._nodes) > 100 * empty
    while (found := dag.branches.next_ready()) is not None:
        dag.branches.merged(found[0])
    assert sys.getsizeof(dag.branches._nodes) == empty


def test_a_node_that_is_asked_for_again_waits_for_all_below_it() -> None:
    dag = Dag([[], [0], [], [1, 2], [3], [3, 1]])
    dag.follow(5)
    dag.come(5)  # node 5 wants 3 and 1
    dag.follow(4)
    dag.come(4)  # node 4 wants 3, which the branch of 5 waits for
    dag.come(3)  # node 3 wants 2 and, as 5 does, 1
    dag.follow(1)
    dag.branches.give_up(dag[5], 0.0)
    for number in (3, 4, 5):
        dag.follow(number)
    for number in (3, 1, 0):
        dag.come(number)
    dag.merge()
    assert dag[3] not in dag.merged
    dag.come(2)
    dag.merge()
    for number in (4, 5, 3):
        dag.come(number)
    dag.merge()
    assert set(dag.merged) == {block.cid for block in dag.blocks}
    assert len(dag.branches) == dag.branches.waiting == 0


@st.composite
def shapes(draw: st.DrawFn) -> list[list[int]]:
    size = draw(st.integers(2, 9))
    return [
        draw(st.lists(st.integers(0, number - 1), max_size=3)) if number else [] for number in range(size)
    ]


STEPS = st.lists(
    st.tuples(st.sampled_from(["follow", "come", "give up", "merge"]), st.integers(0, 8)), max_size=60
)


@settings(max_examples=400)
@given(shapes(), STEPS)
def test_whatever_is_given_up(links: list[list[int]], steps: list[tuple[str, int]]) -> None:
    dag = Dag(links)
    for step, number in steps:
        number %= len(links)
        if step == "follow":
            dag.follow(number)
        elif step == "come":
            dag.come(number)
        elif step == "give up":
            dag.branches.give_up(dag[number], 0.0)
        else:
            dag.merge()
    for number in range(len(links)):
        dag.follow(number)
    while dag.branches.waiting:
        before = dag.branches.waiting, len(dag.merged)
        for number in range(len(links)):
            dag.come(number)
        dag.merge()
        assert (dag.branches.waiting, len(dag.merged)) != before or not dag.branches.waiting
    assert set(dag.merged) == {block.cid for block in dag.blocks}
    assert len(dag.branches) == 0
