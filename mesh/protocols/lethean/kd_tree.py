"""A balanced k-d tree of four dimensions, built once, in arrays (for `selection`).

The median of the longest side splits. A query keeps the n nearest so far and visits the far half only where it can hold a
nearer point. Equal distances are ordered by key.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from math import dist
from typing import Final

Point = tuple[float, float, float, float]
Entry = tuple[Point, str]

LEAF_ENTRIES: Final = 16


class _Last:
    """A key in a heap whose greatest is at the top."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key

    def __lt__(self, other: _Last) -> bool:
        return self.key > other.key


class _Split:
    __slots__ = ("above", "at", "axis", "below")

    def __init__(self, axis: int, at: float, below: _Node, above: _Node) -> None:
        self.axis = axis
        self.at = at
        self.below = below
        self.above = above


_Node = _Split | list[Entry]


class KdTree:
    """Entries are (point, key); keys are unique."""

    __slots__ = ("_root", "_size")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._size = len(entries)
        self._root = _build(list(entries))

    def __len__(self) -> int:
        return self._size

    def nearest(self, query: Point, count: int) -> list[str]:
        """The keys of the `count` nearest entries, nearest first; none when `count` is 0 or less."""
        if count <= 0 or not self._size:
            return []
        found: list[tuple[float, _Last]] = []
        _visit(self._root, query, count, found)
        return [last.key for _, last in sorted(found, key=lambda each: (-each[0], each[1].key))]


def _build(entries: list[Entry]) -> _Node:
    if len(entries) <= LEAF_ENTRIES:
        return entries
    points = [place for place, _ in entries]
    sides = [max(each[axis] for each in points) - min(each[axis] for each in points) for axis in range(4)]
    axis = sides.index(max(sides))
    entries.sort(key=lambda entry: (entry[0][axis], entry[1]))
    middle = len(entries) // 2
    return _Split(axis, entries[middle][0][axis], _build(entries[:middle]), _build(entries[middle:]))


def _visit(node: _Node, query: Point, count: int, found: list[tuple[float, _Last]]) -> None:
    if isinstance(node, list):
        for place, key in node:
            entry = (-dist(place, query), _Last(key))
            if len(found) < count:
                heapq.heappush(found, entry)
            else:
                heapq.heappushpop(found, entry)
        return
    away = query[node.axis] - node.at
    near, far = (node.below, node.above) if away < 0 else (node.above, node.below)
    _visit(near, query, count, found)
    if len(found) < count or abs(away) <= -found[0][0]:
        _visit(far, query, count, found)
