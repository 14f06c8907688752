"""The agent's events for those who listen: numbered, the last of them kept, each listener with a bounded queue.

An event's JSON begins with the shape that the README of the stock daemon gives messages: from, type, content, timestamp
(section 13, number 18). One task reads the agent; listeners that fall behind lose the oldest and are told how many.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mesh.apps.agent.records import (
    AgentEvent,
    DeliveryChanged,
    DeliveryState,
    Direction,
    DirectoryChanged,
    MessageLogged,
    PeerChanged,
)
from mesh.errors import LimitError

KEPT_EVENTS: Final = 512
KEPT_CHARACTERS: Final = 4 * 1024 * 1024
MAX_WAITING: Final = 256
MAX_LISTENERS: Final = 32
MAX_REMEMBERED_STATES: Final = 4096
NAMES: Final = ("message", "sent", "delivery", "peer", "directory", "lost")


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event; ``number`` counts up from 1 for the life of the daemon."""

    number: int
    name: str
    data: dict[str, Any]

    @property
    def characters(self) -> int:
        """About what it holds."""
        return 256 + len(self.data.get("content", ""))


class Listener:
    """A queue of events; when it is full the oldest goes and is counted in ``lost``."""

    __slots__ = ("_ended", "_events", "_wakeup", "lost", "names")

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self._events: deque[FeedEvent] = deque()
        self._wakeup = asyncio.Event()
        self._ended = False
        self.lost = 0

    def put(self, event: FeedEvent) -> None:
        if self.names and event.name not in self.names:
            return
        if len(self._events) >= MAX_WAITING:
            self._events.popleft()
            self.lost += 1
        self._events.append(event)
        self._wakeup.set()

    def end(self) -> None:
        self._ended = True
        self._wakeup.set()

    async def next(self, limit_s: float) -> FeedEvent | None:
        """The next event; None when none came in time. Raises `StopAsyncIteration` after `end`."""
        if not self._events and not self._ended:
            self._wakeup.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._wakeup.wait()
        if self._events:
            return self._events.popleft()
        if self._ended:
            raise StopAsyncIteration
        return None


class AgentFeed:
    """Reads ``events`` from `start` to `stop`."""

    def __init__(self, events: Callable[[], AsyncGenerator[AgentEvent, None]]) -> None:
        self._events = events
        self._reading: asyncio.Task[None] | None = None
        self._kept: deque[FeedEvent] = deque()
        self._kept_characters = 0
        self._listeners: set[Listener] = set()
        self._states: OrderedDict[str, DeliveryState] = OrderedDict()
        self._awaited: dict[str, asyncio.Future[DeliveryState]] = {}
        self._number = 0

    def start(self) -> None:
        """Begin to read."""
        self._reading = asyncio.create_task(self._read(self._events()), name="agent feed")

    async def stop(self) -> None:
        """Read no more; listeners end once they have what came before. Safe to call twice."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])
        for listener in self._listeners:
            listener.end()

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    async def listen(
        self, names: frozenset[str], after: int | None, limit_s: float
    ) -> AsyncGenerator[FeedEvent | None, None]:
        """Events of these names (none: all) from now on, or those after number ``after`` that are still kept; None
        whenever there was none for ``limit_s``. Raises `LimitError` when 32 listen."""
        if len(self._listeners) >= MAX_LISTENERS:
            raise LimitError("agent API", "listeners", MAX_LISTENERS, "nothing: end another")
        listener = Listener(names)
        self._listeners.add(listener)
        try:
            for event in self._missed(after):
                if not names or event.name in names:
                    yield event
            while True:
                try:
                    event_now = await listener.next(limit_s)
                except StopAsyncIteration:
                    return
                if listener.lost:
                    lost, listener.lost = listener.lost, 0
                    yield FeedEvent(self._number, "lost", {"events": lost})
                yield event_now
        finally:
            self._listeners.discard(listener)

    def _missed(self, after: int | None) -> list[FeedEvent]:
        return [] if after is None else [each for each in self._kept if each.number > after]

    async def progress(self, message_id: str, limit_s: float) -> DeliveryState:
        """How far a message of ours has come, once that is further than queued; `QUEUED` after ``limit_s``."""
        known = self._states.get(message_id)
        if known is not None and known is not DeliveryState.QUEUED:
            return known
        awaited = self._awaited.setdefault(message_id, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.shield(awaited)
        except TimeoutError:
            return DeliveryState.QUEUED
        finally:
            self._awaited.pop(message_id, None)

    # -- within ------------------------------------------------------------------------------------------------------

    async def _read(self, events: AsyncGenerator[AgentEvent, None]) -> None:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, DeliveryChanged):
                    self._note_state(event)
                self._emit(*described(event))

    def _note_state(self, event: DeliveryChanged) -> None:
        self._states[event.message_id] = event.state
        self._states.move_to_end(event.message_id)
        if len(self._states) > MAX_REMEMBERED_STATES:
            self._states.popitem(last=False)
        awaited = self._awaited.get(event.message_id)
        if awaited is not None and not awaited.done() and event.state is not DeliveryState.QUEUED:
            awaited.set_result(event.state)

    def _emit(self, name: str, data: dict[str, Any]) -> None:
        self._number += 1
        event = FeedEvent(self._number, name, data)
        self._kept.append(event)
        self._kept_characters += event.characters
        while len(self._kept) > KEPT_EVENTS or (
            self._kept_characters > KEPT_CHARACTERS and len(self._kept) > 1
        ):
            self._kept_characters -= self._kept.popleft().characters
        for listener in self._listeners:
            listener.put(event)


def described(event: AgentEvent) -> tuple[str, dict[str, Any]]:
    """An event's name and JSON."""
    match event:
        case MessageLogged(record):
            inbound = record.direction is Direction.INBOUND
            whose = {"from": record.peer_id} if inbound else {"to": record.peer_id}
            data = {
                **whose,
                "type": record.message_type,
                "content": record.content,
                "timestamp": iso(record.timestamp),
                "id": record.id,
                "messageId": record.message_id or None,
                "peerName": record.peer_name,
                "state": record.state.value,
            }
            return ("message" if inbound else "sent"), data
        case DeliveryChanged():
            data = {
                "messageId": event.message_id,
                "peerId": event.peer_id,
                "state": event.state.value,
                "timestamp": iso(event.at),
            }
            return "delivery", data
        case PeerChanged(peer):
            return "peer", peer.document()
        case DirectoryChanged(peer_id, found):
            return "directory", {"peerId": peer_id, "found": None if found is None else found.document()}


def iso(instant_ms: int) -> str:
    """`2026-02-20T12:00:00.000Z`; instants beyond any calendar are cut to it."""
    bounded = min(max(instant_ms, 0), 253_402_300_799_999)
    seconds, rest = divmod(bounded, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"
