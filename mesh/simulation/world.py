"""The virtual clock: what happens when, in an order that the seed alone decides.

Time is whole milliseconds. Links are tens of milliseconds long, so nothing is lost by it, equal instants are equal
without rounding errors, and an instant is an index: what is due within the next 16 seconds lies in a ring with one slot
a millisecond, at the cost of one append, and only what is due later goes to a heap. Machines, whose clocks are float
seconds, are given `now_s`, and their deadlines are rounded up.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from typing import Any, TypeVarTuple, Unpack

from mesh.errors import UsageError

RING_MS = 1 << 14
_MASK = RING_MS - 1

Arguments = TypeVarTuple("Arguments")
Action = Callable[..., object]


class World:
    """A clock that starts at 0 and a queue of actions. Nothing in it depends on the machine it runs on."""

    __slots__ = ("_far", "_near", "_ring", "_scheduled", "events", "now_ms", "seed")

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed
        self.now_ms = 0
        self.events = 0
        """Actions that were run."""
        self._ring: list[list[tuple[Action, tuple[Any, ...]]]] = [[] for _ in range(RING_MS)]
        self._near = 0
        self._far: list[tuple[int, int, Action, tuple[Any, ...]]] = []
        self._scheduled = 0

    @property
    def now_s(self) -> float:
        """The clock as machines want it."""
        return self.now_ms / 1000

    def random(self, stream: str) -> random.Random:
        """A source of randomness of its own for each name: what one part draws does not move the others."""
        return random.Random(f"{self.seed}/{stream}")

    def at(self, when_ms: int, action: Callable[[Unpack[Arguments]], object], *arguments: *Arguments) -> None:
        """Run an action at an instant; one that has passed means now.

        Of one millisecond, what was scheduled more than 16 seconds ahead runs first, each group in order of scheduling.
        """
        now = self.now_ms
        if when_ms < now:
            when_ms = now
        if when_ms - now < RING_MS:
            self._ring[when_ms & _MASK].append((action, arguments))
            self._near += 1
        else:
            self._scheduled += 1
            heappush(self._far, (when_ms, self._scheduled, action, arguments))

    def after(
        self, delay_ms: int, action: Callable[[Unpack[Arguments]], object], *arguments: *Arguments
    ) -> None:
        """Run an action that many milliseconds from now."""
        self.at(self.now_ms + delay_ms, action, *arguments)

    def run(self, until_ms: int) -> None:
        """Let time pass up to an instant and including it. Raises UsageError for one that has passed."""
        if until_ms < self.now_ms:
            raise UsageError(f"{until_ms} ms has passed, it is {self.now_ms} ms")
        far, ring = self._far, self._ring
        while True:
            now = self.now_ms
            while far and far[0][0] <= now:
                _, _, action, arguments = heappop(far)
                self.events += 1
                action(*arguments)
            slot = ring[now & _MASK]
            if slot:
                for action, arguments in slot:  # grows while it runs: actions for this very millisecond
                    action(*arguments)
                self.events += len(slot)
                self._near -= len(slot)
                slot.clear()
            if now >= until_ms:
                return
            if self._near:
                self.now_ms = now + 1
            else:
                self.now_ms = min(far[0][0], until_ms) if far else until_ms


class Alarm:
    """Wakes a machine at its deadline, however often that moves. At most one action of the queue is in use."""

    __slots__ = ("_due_ms", "_set_ms", "_wake", "_world")

    def __init__(self, world: World, wake: Callable[[], object]) -> None:
        self._world = world
        self._wake = wake
        self._due_ms: int | None = None
        self._set_ms: int | None = None

    def set(self, deadline_s: float | None) -> None:
        """Wake at that instant instead of any before, but not within this millisecond; None for never."""
        if deadline_s is None:
            self._due_ms = None
            return
        due = max(ceil(deadline_s * 1000), self._world.now_ms + 1)
        self._due_ms = due
        if self._set_ms is None or due < self._set_ms:
            self._set_ms = due
            self._world.at(due, self._ring, due)

    def _ring(self, set_ms: int) -> None:
        if set_ms != self._set_ms:
            return
        self._set_ms = None
        due = self._due_ms
        if due is None:
            return
        if due > self._world.now_ms:
            self._set_ms = due
            self._world.at(due, self._ring, due)
        else:
            self._due_ms = None
            self._wake()
