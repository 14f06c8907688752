"""Connection ids that were in use a moment ago: what still carries them is late, not a stranger's."""

from __future__ import annotations

from typing import Final

LINGER_S: Final = 3.0
MAX_LINGERING: Final = 16_384


class Lingering:
    """Ids of the last ``LINGER_S`` to twice as many seconds, in two generations; at most twice ``MAX_LINGERING``."""

    __slots__ = ("_new", "_old", "_turn_at")

    def __init__(self) -> None:
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turn_at = 0.0

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def add(self, connection_id: bytes, now: float) -> None:
        self._turn(now)
        self._new.add(connection_id)

    def holds(self, connection_id: bytes, now: float) -> bool:
        """Whether the id was added a short time ago."""
        self._turn(now)
        return connection_id in self._new or connection_id in self._old

    def _turn(self, now: float) -> None:
        if now < self._turn_at and len(self._new) < MAX_LINGERING:
            return
        self._old = self._new if now < self._turn_at + LINGER_S else set()
        self._new = set()
        self._turn_at = now + LINGER_S
