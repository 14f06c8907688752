"""A loop whose clock jumps to the next timer as soon as nothing else is to be done: hours of waiting take no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

START_S = 1000.0
EPOCH_S = 1_800_000_000.0
LONGEST_S = 30 * 86400.0


class VirtualTime:
    """One clock: `monotonic` for timers and `time` for the calendar. Code under test is given it as its `time` module."""

    def __init__(self) -> None:
        self.now = START_S

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return EPOCH_S + self.now - START_S

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``scenario`` to its end in a loop of its own; whatever it leaves running is an error."""
        loop = asyncio.SelectorEventLoop(_Jumping(self))
        loop.time = self.monotonic  # type: ignore[method-assign]
        try:
            loop.run_until_complete(scenario())
            left = asyncio.all_tasks(loop)
            assert not left, f"left running: {left}"
        finally:
            loop.close()


class _Jumping(selectors.DefaultSelector):
    """Waits by moving the clock."""

    def __init__(self, clock: VirtualTime) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everything waits for ever")
        if not ready and timeout:
            self._clock.now += timeout
            assert self._clock.now < START_S + LONGEST_S
        return ready


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.wait([task])
