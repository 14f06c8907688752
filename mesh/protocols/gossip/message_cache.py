"""Messages of the last heartbeats, which peers are told of and may ask for (gossipsub v1.0, "Message Cache")."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

from mesh.errors import UsageError

PeerT = TypeVar("PeerT")

ENTRY_BYTES = 500
"""What a message costs beside its bytes and its id."""

ASKER_BYTES = 100
"""What it costs to know how often a peer was given a message."""


class Cached(Generic[PeerT]):
    """A message that can be asked for: ``field`` is it as it stands in an RPC."""

    __slots__ = ("_given", "_window", "cost", "field", "topic")

    def __init__(self, topic: str, field: bytes, cost: int, window: dict[bytes, None]) -> None:
        self.topic = topic
        self.field = field
        self.cost = cost
        self._window = window
        self._given: dict[PeerT, int] | None = None


class MessageCache(Generic[PeerT]):
    """The messages of ``history`` heartbeats, of which the latest ``gossip`` are told of.

    ``max_bytes`` bounds all that is held, with what it costs to keep account of it; the oldest messages go first. A
    message of more than that is not kept.
    """

    __slots__ = ("_gossip", "_max_bytes", "_messages", "_windows", "held_bytes")

    def __init__(self, history: int, gossip: int, max_bytes: int) -> None:
        """Raises UsageError unless ``history >= gossip >= 1``."""
        if not history >= gossip >= 1:
            raise UsageError(f"{gossip} of {history} heartbeats cannot be told of")
        self._gossip = gossip
        self._max_bytes = max_bytes
        self._messages: OrderedDict[bytes, Cached[PeerT]] = OrderedDict()
        self._windows: deque[dict[str, dict[bytes, None]]] = deque(({} for _ in range(history)), history)
        self.held_bytes = 0

    def put(self, id: bytes, topic: str, field: bytes) -> None:
        """Keep a message; one that is kept already stays as it is."""
        cost = len(field) + len(id) + ENTRY_BYTES
        if id in self._messages or cost > self._max_bytes:
            return
        topics = self._windows[0]
        window = topics.get(topic)
        if window is None:
            window = topics[topic] = {}
        window[id] = None
        self._messages[id] = Cached(topic, field, cost, window)
        self.held_bytes += cost
        if self.held_bytes > self._max_bytes:
            self._shrink()

    def get(self, id: bytes) -> Cached[PeerT] | None:
        """The message with this id, if it is kept."""
        return self._messages.get(id)

    def asked(self, id: bytes, peer: PeerT) -> tuple[Cached[PeerT], int] | None:
        """The message a peer asked for, and how often it has asked for it, this time included."""
        cached = self._messages.get(id)
        if cached is None:
            return None
        given = cached._given
        if given is None:
            given = cached._given = {}
        times = given[peer] = given.get(peer, 0) + 1
        if times == 1:
            cached.cost += ASKER_BYTES
            self.held_bytes += ASKER_BYTES
            self._shrink()
        return cached, times

    def ids(self, topic: str) -> list[bytes]:
        """The messages of a topic to tell of, the latest heartbeat's first."""
        windows = list(self._windows)[: self._gossip]
        return [id for window in windows for id in window.get(topic, ())]

    def shift(self) -> None:
        """A heartbeat has passed: forget its oldest messages, begin a new window."""
        for window in self._windows.pop().values():
            for id in window:
                self.held_bytes -= self._messages.pop(id).cost
        self._windows.appendleft({})

    def _shrink(self) -> None:
        """Forget the oldest messages until what is left is within the limit."""
        while self.held_bytes > self._max_bytes:
            id, cached = self._messages.popitem(last=False)
            del cached._window[id]
            self.held_bytes -= cached.cost

    def __len__(self) -> int:
        return len(self._messages)
