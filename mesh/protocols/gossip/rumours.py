"""Rumours and how far each kind goes (Beam's gossip: announcements, departures, heartbeats, route updates)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Generic, TypeVar

PeerT = TypeVar("PeerT")

MAX_TTL = 255


class Kind(Enum):
    """What a rumour is about; values are the names Beam writes."""

    ANNOUNCE = "ANNOUNCE"
    DEPARTURE = "DEPARTURE"
    HEARTBEAT = "HEARTBEAT"
    ROUTE_UPDATE = "ROUTE_UPDATE"


@dataclass(frozen=True, slots=True)
class Reach:
    """How a kind of rumour is passed on."""

    fanout: int
    """Neighbours that each node passes it to, once."""
    hops: int
    """Hops it makes at most, from its origin."""
    repaired: bool
    """Whether who missed it is told of it and may ask."""


REACH = MappingProxyType(
    {
        Kind.ANNOUNCE: Reach(6, 8, True),
        Kind.DEPARTURE: Reach(6, 8, True),
        Kind.HEARTBEAT: Reach(3, 5, False),
        Kind.ROUTE_UPDATE: Reach(6, 8, True),
    }
)
"""Beam's numbers. A heartbeat is meant for the surroundings and soon followed by the next, so nobody makes up for it."""


@dataclass(frozen=True, slots=True)
class Rumour(Generic[PeerT]):
    """What is passed on. Only `ttl` changes on the way, so it stands outside of what the origin signed."""

    id: bytes
    origin: PeerT
    kind: Kind
    body: bytes
    ttl: int = MAX_TTL
    """Hops it may still make; more than its kind makes counts as that."""


@dataclass(slots=True)
class _Held(Generic[PeerT]):
    rumour: Rumour[PeerT]
    since: float


class RumourStore(Generic[PeerT]):
    """The latest rumours, oldest first; what exceeds number, bytes or age goes, the oldest first."""

    __slots__ = ("_bytes", "_held", "_max_bytes", "_max_rumours", "_max_s")

    def __init__(self, max_rumours: int, max_bytes: int, max_s: float) -> None:
        self._max_rumours = max_rumours
        self._max_bytes = max_bytes
        self._max_s = max_s
        self._held: OrderedDict[bytes, _Held[PeerT]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, rumour_id: bytes) -> Rumour[PeerT] | None:
        """A rumour as it may be sent."""
        held = self._held.get(rumour_id)
        return held.rumour if held is not None else None

    def put(self, rumour: Rumour[PeerT], now: float) -> None:
        """Keep a new one; it stays even if it is larger than everything may be."""
        self._held[rumour.id] = _Held(rumour, now)
        self._bytes += len(rumour.id) + len(rumour.body)
        while len(self._held) > 1 and (len(self._held) > self._max_rumours or self._bytes > self._max_bytes):
            self._drop_oldest()
        self.forget(now)

    def forget(self, now: float) -> None:
        """Drop what is too old."""
        held = self._held
        while held and now - next(iter(held.values())).since >= self._max_s:
            self._drop_oldest()

    def latest(self) -> Iterator[Rumour[PeerT]]:
        """All of them, the newest first."""
        for held in reversed(self._held.values()):
            yield held.rumour

    def _drop_oldest(self) -> None:
        _, oldest = self._held.popitem(last=False)
        self._bytes -= len(oldest.rumour.id) + len(oldest.rumour.body)
