"""When something that is said again and again is said next: every interval, sooner when asked, never too soon."""

from __future__ import annotations

import asyncio
import time


class Pulse:
    """``gap_s`` is the shortest time between two beats."""

    def __init__(self, interval_s: float, gap_s: float) -> None:
        self._interval_s = interval_s
        self._gap_s = min(gap_s, interval_s)
        self._hurried = asyncio.Event()
        self._beat = time.monotonic()

    def hurry(self) -> None:
        """Beat as soon as the gap allows."""
        self._hurried.set()

    async def due(self, limit_s: float) -> bool:
        """Wait for the next beat, ``limit_s`` at most; whether it is due. A beat is due once."""
        began = time.monotonic()
        next_beat = self._beat + (self._gap_s if self._hurried.is_set() else self._interval_s)
        wait_s = max(0.0, min(next_beat - began, limit_s))
        if not self._hurried.is_set():
            try:
                async with asyncio.timeout(wait_s):
                    await self._hurried.wait()
            except TimeoutError:
                pass
        else:
            await asyncio.sleep(wait_s)
        now = time.monotonic()
        if now < self._beat + (self._gap_s if self._hurried.is_set() else self._interval_s):
            return False
        self._hurried.clear()
        self._beat = now
        return True
