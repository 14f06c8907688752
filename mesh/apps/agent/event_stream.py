"""What happens in the agent, for all who want to hear of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Final

from mesh.apps.agent.records import AgentEvent

MAX_BEHIND: Final = 1024


class EventStream:
    """Hands events to every reader, each with a buffer of its own."""

    def __init__(self) -> None:
        self._readers: list[_Reader] = []
        self._closed = False

    def tell(self, events: Iterable[AgentEvent]) -> None:
        """Hand events to all readers."""
        if not self._readers:
            return
        told = list(events)
        for reader in self._readers:
            reader.put(told)

    def close(self) -> None:
        """End all readers, after what they have not read yet."""
        self._closed = True
        for reader in self._readers:
            reader.awake.set()

    def read(self) -> AsyncGenerator[AgentEvent, None]:
        """Events from now on, until the end; the oldest are lost to a reader that is too slow."""
        reader = _Reader()
        self._readers.append(reader)
        return self._read(reader)

    async def _read(self, reader: _Reader) -> AsyncGenerator[AgentEvent, None]:
        try:
            while True:
                while reader.held:
                    yield reader.held.popleft()
                if self._closed:
                    return
                reader.awake.clear()
                await reader.awake.wait()
        finally:
            self._readers.remove(reader)


class _Reader:
    def __init__(self) -> None:
        self.held: deque[AgentEvent] = deque(maxlen=MAX_BEHIND)
        self.awake = asyncio.Event()

    def put(self, events: list[AgentEvent]) -> None:
        self.held.extend(events)
        self.awake.set()
