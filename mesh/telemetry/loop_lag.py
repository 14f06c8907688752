"""How late the loop is: one timer that asks to be called at an instant, and remembers how long after it the call came."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque

INTERVAL_S = 0.25
WINDOW_S = 60.0
SAMPLES = int(WINDOW_S / INTERVAL_S)


class LoopLag:
    """Lateness over the last minute in seconds. Measures from `start` to `stop`."""

    __slots__ = ("_due", "_loop", "_samples", "_timer")

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to measure the running loop; again does nothing."""
        if self._timer is None:
            self._loop = asyncio.get_running_loop()
            self._arm(self._loop)

    def stop(self) -> None:
        """Let the timer go; what was measured stays."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def max_s(self) -> float:
        return max(self._samples, default=0.0)

    @property
    def p99_s(self) -> float:
        """The lateness that 99 of 100 calls did not exceed."""
        if not self._samples:
            return 0.0
        ordered = sorted(self._samples)
        return ordered[max(0, math.ceil(len(ordered) * 0.99) - 1)]

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = time.monotonic() + INTERVAL_S
        self._timer = loop.call_later(INTERVAL_S, self._called)

    def _called(self) -> None:
        if self._loop is not None:
            self._samples.append(max(0.0, time.monotonic() - self._due))
            self._arm(self._loop)
