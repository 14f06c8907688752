"""A clock for few events over a long time: a heap, where `mesh.simulation.world` has a slot for every millisecond."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from mesh.errors import UsageError


class Agenda:
    """Virtual time from 0 in milliseconds; actions of one instant run in the order in which they were scheduled."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._due: list[tuple[int, int, Callable[[], object]]] = []
        self._scheduled = 0

    @property
    def now_s(self) -> float:
        """The clock as machines want it."""
        return self.now_ms / 1000

    def at(self, when_ms: int, action: Callable[[], object]) -> None:
        """Run an action at an instant; one that has passed means now."""
        self._scheduled += 1
        heappush(self._due, (max(when_ms, self.now_ms), self._scheduled, action))

    def after(self, delay_ms: int, action: Callable[[], object]) -> None:
        """Run an action that many milliseconds from now."""
        self.at(self.now_ms + delay_ms, action)

    def run(self, until_ms: int) -> None:
        """Let time pass up to an instant and including it. Raises `UsageError` for one that has passed."""
        if until_ms < self.now_ms:
            raise UsageError(f"{until_ms} ms has passed, it is {self.now_ms} ms")
        while self._due and self._due[0][0] <= until_ms:
            self.now_ms, _, action = heappop(self._due)
            action()
        self.now_ms = until_ms
