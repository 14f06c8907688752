"""Changes of a mapping as they come, for a program that reads them."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Final, Self

from mesh.protocols.crdt.replica import Changed

BUFFERED: Final = 1024


class Watch:
    """``with crdt.watch(prefix) as changes: async for change in changes``; ends when the replica is stopped.

    A reader that is slower than the changes misses the oldest: ``missed`` counts them. One task may read at a time.
    ``ended`` once the replica was stopped.
    """

    def __init__(self, prefix: str, watches: set[Watch]) -> None:
        self._prefix = "" if prefix == "/" else prefix
        self._watches = watches
        self._held: deque[Changed] = deque()
        self._ready = asyncio.Event()
        self.ended = False
        self.missed = 0

    def put(self, change: Changed) -> None:
        """Hand a change to the reader if it is below the prefix."""
        if self._prefix and change.key != self._prefix and not change.key.startswith(self._prefix + "/"):
            return
        if len(self._held) == BUFFERED:
            self._held.popleft()
            self.missed += 1
        self._held.append(change)
        self._ready.set()

    def end(self) -> None:
        """There will be no more; what is held can still be read."""
        self.ended = True
        self._watches.discard(self)
        self._ready.set()

    def __enter__(self) -> Self:
        self._watches.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Changed:
        while not self._held:
            if self.ended:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        return self._held.popleft()
