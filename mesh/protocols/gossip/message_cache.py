"""Messages of the last heartbeats, which peers are told of and may ask for (gossipsub v1.0, "Message Cache")."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Generic, TypeVar

from mesh.errors import UsageError

PeerT = TypeVar("PeerT")

ENTRY_BYTES = 500
"""What a message costs beside its bytes and its id."""

ASKER_BYTES = 100
"""What it costs to know how often a peer was given a message."""


class _Window(Generic[PeerT]):
    """The messages of one heartbeat, encoded, by id; and the ids of each topic."""

    __slots__ = ("given", "held_bytes", "messages", "topics")

    def __init__(self) -> None:
        self.messages: dict[bytes, bytes] = {}
        self.topics: dict[str, list[bytes]] = {}
        self.given: dict[bytes, dict[PeerT, int]] = {}
        """How often which peer was given a message."""
        self.held_bytes = 0

    def drop(self, count: int) -> None:
        """Forget the oldest messages."""
        for id in list(islice(self.messages, count)):
            askers = len(self.given.pop(id, ()))
            self.held_bytes -= len(self.messages.pop(id)) + len(id) + ENTRY_BYTES + ASKER_BYTES * askers
        self.topics = {
            topic: kept
            for topic, ids in self.topics.items()
            if (kept := [id for id in ids if id in self.messages])
        }


class MessageCache(Generic[PeerT]):
    """The messages of ``history`` heartbeats, of which the latest ``gossip`` are told of.

    ``max_bytes`` bounds all that is held, with what it costs to keep account of it; the oldest messages go first. A
    message of more than that is not kept.
    """

    __slots__ = ("_gossip", "_max_bytes", "_windows", "held_bytes")

    def __init__(self, history: int, gossip: int, max_bytes: int) -> None:
        """Raises UsageError unless ``history >= gossip >= 1``."""
        if not history >= gossip >= 1:
            raise UsageError(f"{gossip} of {history} heartbeats cannot be told of")
        self._gossip = gossip
        self._max_bytes = max_bytes
        self._windows: deque[_Window[PeerT]] = deque((_Window() for _ in range(history)), history)
        self.held_bytes = 0

    def put(self, id: bytes, topic: str, wire: bytes) -> None:
        """Keep a message; one that came in this heartbeat already stays as it is."""
        self.put_all(topic, {id: wire})

    def put_all(self, topic: str, wires: Mapping[bytes, bytes]) -> None:
        """Keep messages of a topic, by their ids."""
        window = self._windows[0]
        cost = sum(map(len, wires)) + sum(map(len, wires.values())) + ENTRY_BYTES * len(wires)
        if cost > self._max_bytes or not window.messages.keys().isdisjoint(wires):
            if len(wires) > 1:
                for id, wire in wires.items():
                    self.put(id, topic, wire)
            return
        window.messages.update(wires)
        known = window.topics.get(topic)
        if known is None:
            known = window.topics[topic] = []
        known += wires
        window.held_bytes += cost
        self.held_bytes += cost
        if self.held_bytes > self._max_bytes:
            self._shrink()

    def get(self, id: bytes) -> bytes | None:
        """The message with this id, encoded, if it is kept."""
        for window in self._windows:
            if id in window.messages:
                return window.messages[id]
        return None

    def asked(self, id: bytes, peer: PeerT) -> tuple[bytes, int] | None:
        """The message a peer asked for, and how often it has asked for it, this time included."""
        for window in self._windows:
            wire = window.messages.get(id)
            if wire is None:
                continue
            given = window.given.setdefault(id, {})
            times = given[peer] = given.get(peer, 0) + 1
            if times == 1:
                window.held_bytes += ASKER_BYTES
                self.held_bytes += ASKER_BYTES
                self._shrink()
            return wire, times
        return None

    def ids(self, topic: str) -> list[bytes]:
        """The messages of a topic to tell of, the latest heartbeat's first."""
        found: list[bytes] = []
        for window in islice(self._windows, self._gossip):
            found += window.topics.get(topic, ())
        return found

    def shift(self) -> None:
        """A heartbeat has passed: forget its oldest messages, begin a new window."""
        self.held_bytes -= self._windows.pop().held_bytes
        self._windows.appendleft(_Window())

    def _shrink(self) -> None:
        """Forget the oldest messages until what is left is within the limit; some more at once where there are many."""
        while self.held_bytes > self._max_bytes:
            oldest = next(window for window in reversed(self._windows) if window.messages)
            before = oldest.held_bytes
            oldest.drop(1 + len(oldest.messages) // 16)
            self.held_bytes -= before - oldest.held_bytes

    def __len__(self) -> int:
        return sum(len(window.messages) for window in self._windows)
