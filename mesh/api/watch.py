"""What happens to a node's connections, for those who listen: events to subscribers, counts for metrics."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

from mesh.network.connection import Connection
from mesh.node import Node
from mesh.services.identify import PeerInfo
from mesh.telemetry.loop_lag import LoopLag
from mesh.telemetry.metrics import ConnectionKind

MAX_WAITING: Final = 256
MAX_SUBSCRIBERS: Final = 32


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; ``number`` counts up from 1 for the life of the API."""

    number: int
    name: str
    data: dict[str, Any]


class Subscriber:
    """A bounded queue of events; when it is full the oldest goes and is counted in ``lost``."""

    __slots__ = ("_closed", "_events", "_wakeup", "lost")

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._wakeup = asyncio.Event()
        self._closed = False
        self.lost = 0

    def put(self, event: Event) -> None:
        if len(self._events) >= MAX_WAITING:
            self._events.popleft()
            self.lost += 1
        self._events.append(event)
        self._wakeup.set()

    def close(self) -> None:
        self._closed = True
        self._wakeup.set()

    async def next(self, limit_s: float) -> Event | None:
        """The next event; None when none came in time. Raises `StopAsyncIteration` after `close`."""
        if not self._events and not self._closed:
            self._wakeup.clear()
            try:
                async with asyncio.timeout(limit_s):
                    await self._wakeup.wait()
            except TimeoutError:
                return None
        if self._events:
            return self._events.popleft()
        raise StopAsyncIteration


class Watch:
    """Observes one running node from `start` to `stop`."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.lag = LoopLag()
        self.started_at = time.monotonic()
        self.opened: Counter[ConnectionKind] = Counter()
        self.closed: Counter[ConnectionKind] = Counter()
        self.identified = 0
        self._subscribers: set[Subscriber] = set()
        self._number = 0
        self._stopped = True

    def start(self) -> None:
        """Begin to observe; connections that exist count as opened."""
        self._stopped = False
        self.lag.start()
        for connection in self.node.connections:
            self.opened[kind_of(connection)] += 1
        self.node.swarm.observers.connected.append(self._connected)
        self.node.swarm.observers.disconnected.append(self._disconnected)

    def stop(self) -> None:
        """Observe no more; whoever listens is told the end."""
        if self._stopped:
            return
        self._stopped = True
        self.lag.stop()
        self.node.swarm.observers.connected.remove(self._connected)
        self.node.swarm.observers.disconnected.remove(self._disconnected)
        for subscriber in self._subscribers:
            subscriber.close()

    @property
    def subscribers(self) -> int:
        """How many listen now."""
        return len(self._subscribers)

    async def listen(self, limit_s: float) -> AsyncGenerator[Event | None, None]:
        """Events from now on, None whenever there was none for ``limit_s``; ends with `stop`."""
        subscriber = Subscriber()
        self._subscribers.add(subscriber)
        try:
            while not self._stopped:
                try:
                    event = await subscriber.next(limit_s)
                except StopAsyncIteration:
                    return
                if subscriber.lost:
                    lost, subscriber.lost = subscriber.lost, 0
                    yield Event(self._number, "lost", {"events": lost})
                yield event
        finally:
            self._subscribers.discard(subscriber)

    # -- the swarm's side --------------------------------------------------------------------------------------------

    def _connected(self, connection: Connection) -> None:
        self.opened[kind_of(connection)] += 1
        self._emit("connected", _described(connection))
        if connection.identified is not None:
            connection.identified.add_done_callback(lambda _done: self._asked(connection))

    def _disconnected(self, connection: Connection) -> None:
        self.closed[kind_of(connection)] += 1
        reason = connection.close_reason
        self._emit(
            "disconnected", _described(connection) | {"code": reason.code if reason is not None else ""}
        )

    def _asked(self, connection: Connection) -> None:
        info = connection.remote_info
        if not isinstance(info, PeerInfo) or self._stopped:
            return
        self.identified += 1
        protocols = list(info.protocols)
        self._emit(
            "identified",
            {"peer": str(info.peer), "agent_version": info.agent_version, "protocols": protocols},
        )

    def _emit(self, name: str, data: dict[str, Any]) -> None:
        self._number += 1
        if self._subscribers:
            event = Event(self._number, name, data | {"time": time.time()})
            for subscriber in self._subscribers:
                subscriber.put(event)


def kind_of(connection: Connection) -> ConnectionKind:
    """The labels of a connection in metrics."""
    return direction_of(connection), transport_of(connection), connection.security, connection.muxer


def direction_of(connection: Connection) -> str:
    return "inbound" if connection.inbound else "outbound"


def transport_of(connection: Connection) -> str:
    """The outermost transport in its remote address."""
    remote = connection.remote
    name = next((name for name in ("wss", "ws", "memory", "tcp") if remote.has(name)), "other")
    return "wss" if name == "ws" and remote.has("tls") else name


def _described(connection: Connection) -> dict[str, Any]:
    return {"peer": str(connection.peer), "addr": str(connection.remote), "dir": direction_of(connection)}
