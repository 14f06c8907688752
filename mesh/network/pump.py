"""When what a connection has to say leaves, and what is counted on the way; every carrier is one.

A write after a pause leaves at once (a ping must not wait), one that follows another waits for the turn's end, so that
both leave together, unless much has gathered or the turn goes on.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from typing import Any

from mesh.network.carrier import Muxer
from mesh.network.memory_counter import MemoryCounter
from mesh.network.wakefulness import Wakefulness, wakefulness

FLUSH_BYTES = 48 * 1024
COALESCE_S = 30e-6
"""A write this soon after another waits for the turn's end; asking the loop to call back for every lone write would cost
it another round through the selector."""
SLICE_S = 100e-6
"""When a turn goes on for this long, what it has to say so far leaves: the peer works on it meanwhile."""


class Pump:
    """``memory`` is the node's counter of held bytes. ``near`` is set by the owner for a peer on this machine."""

    __slots__ = (
        "_asked",
        "_deferred",
        "_drained",
        "_flush_scheduled",
        "_flushed_at",
        "_held_bytes",
        "_loop",
        "_lost",
        "_memory",
        "_processing",
        "_scheduled_at",
        "near",
        "paused",
        "received_bytes",
        "sent_bytes",
        "wakefulness",
    )

    session: Muxer[Any]

    def __init__(self, memory: MemoryCounter) -> None:
        self._loop = asyncio.get_running_loop()
        self._memory = memory
        self._held_bytes = 0
        self._flush_scheduled = False
        self._flushed_at = 0.0
        self._scheduled_at = 0.0
        self._deferred = False
        self._asked = False
        self._processing = False
        self._drained: list[asyncio.Future[None]] | None = None
        self._lost = False
        self.wakefulness: Wakefulness = wakefulness()
        self.near = False
        self.paused = False
        self.received_bytes = 0
        self.sent_bytes = 0

    def waiter(self) -> asyncio.Future[None]:
        """A future of this loop, which asking for the running one would cost a system call more."""
        return self._loop.create_future()

    @abstractmethod
    def flush(self) -> None:
        """Send everything that is queued, as far as what is below takes it."""

    def request_flush(self) -> None:
        """Send soon: at once after a pause, at the turn's end when the last write was just now."""
        if self._processing:
            self._asked = True
            return
        if self._flush_scheduled:
            if self.session.queued_bytes >= FLUSH_BYTES or time.monotonic() - self._scheduled_at > SLICE_S:
                self.flush()
                self._scheduled_at = time.monotonic()
        elif time.monotonic() - self._flushed_at < COALESCE_S:
            self.schedule_flush()
        else:
            self._flush_small()

    def defer_flush(self) -> None:
        """A task was started that will answer within this turn: what `settle` has to send leaves with its answer."""
        self._deferred = True

    def schedule_flush(self) -> None:
        """Send at the end of this turn, so that what follows leaves in the same record."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._scheduled_at = time.monotonic()
            self._loop.call_soon(self._flush_turn)

    def count_held(self) -> None:
        """Report the change in held bytes to the node's counter; shed load when it grew while the node holds too much.

        It grows only by what `settle` counts, which also tells the streams that were shed, and counts once all is done.
        """
        if not self._processing:
            self._count_held()

    def _count_held(self) -> None:
        session = self.session
        grown = session.held_bytes > self._held_bytes
        while (held := session.held_bytes) != self._held_bytes:
            self._memory.add(held - self._held_bytes)
            self._held_bytes = held
            if grown and held and self._memory.exceeded:
                session.shed()

    async def drained(self) -> None:
        """Wait until the transport's buffer is below its low-water mark or the connection is lost."""
        if not self.paused or self._lost:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        if self._drained is None:
            self._drained = []
        self._drained.append(waiter)
        await waiter

    def _flush_processed(self) -> None:
        """Send what processing has left; an answer among it is awaited like one that was written by itself."""
        if self._asked:
            self._asked = False
            self._flush_small()
        else:
            self.flush()

    def _flush_turn(self) -> None:
        self._flush_scheduled = False
        self._flush_small()

    def _flush_small(self) -> None:
        """Send, and when the peer is near, keep the loop awake for its answer."""
        self.flush()
        self._flushed_at = time.monotonic()
        if self.near:
            self.wakefulness.wrote(self._flushed_at)

    def _release_writers(self) -> None:
        waiters, self._drained = self._drained, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
