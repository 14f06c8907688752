"""Who brought which message, and what became of it: what P3 and P4 are counted by (gossipsub v1.1, "Peer scoring")."""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar

PeerT = TypeVar("PeerT")

RECORD_TTL_S = 120.0
"""go's: as long as ids count as seen."""

MAX_RECORDS = 131_072
"""Beyond that the oldest are forgotten sooner: duplicates that late earn and cost nothing."""


class Status(Enum):
    """What validation said of a message."""

    UNKNOWN = "unknown"
    """It is being validated."""
    VALID = "valid"
    INVALID = "invalid"
    IGNORED = "ignored"


class Delivery(Generic[PeerT]):
    """One message. `peers` sent it besides the first: all while it is validated, then those within the window."""

    __slots__ = ("peers", "status", "validated_at")

    def __init__(self) -> None:
        self.status = Status.UNKNOWN
        self.validated_at = 0.0
        self.peers: dict[PeerT, None] = {}


class DeliveryRecords(Generic[PeerT]):
    """Messages of the last two minutes in two generations: one is known for between `ttl_s` and twice that.

    A generation ends sooner when it holds half of `max_records`.
    """

    __slots__ = ("_current", "_half", "_previous", "_ttl_s", "_turns_at")

    def __init__(self, now: float, ttl_s: float = RECORD_TTL_S, max_records: int = MAX_RECORDS) -> None:
        self._ttl_s = ttl_s
        self._half = max(max_records // 2, 1)
        self._current: dict[bytes, Delivery[PeerT]] = {}
        self._previous: dict[bytes, Delivery[PeerT]] = {}
        self._turns_at = now + ttl_s

    def __len__(self) -> int:
        return len(self._current) + len(self._previous)

    def of(self, message_id: bytes, now: float) -> Delivery[PeerT]:
        """The record of a message, a new one if it has none."""
        if now >= self._turns_at:
            self.wake(now)
        found = self._current.get(message_id) or self._previous.get(message_id)
        if found is None:
            if len(self._current) >= self._half:
                self._previous, self._current = self._current, {}
            found = self._current[message_id] = Delivery()
        return found

    def deadline(self) -> float | None:
        """When the older generation ends; None with nothing to forget."""
        return self._turns_at if self._current or self._previous else None

    def wake(self, now: float) -> None:
        """Forget what is old enough."""
        if now < self._turns_at:
            return
        turns = int((now - self._turns_at) / self._ttl_s) + 1
        self._previous = self._current if turns == 1 else {}
        self._current = {}
        self._turns_at += turns * self._ttl_s
