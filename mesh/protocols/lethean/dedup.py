"""Which message ids were seen: one table a node, for all its connections (section 8)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, Protocol

WINDOW_S: Final = 300.0
MAX_IDS: Final = 200_000
_LONGEST_ID: Final = 64


class SeenTable(Protocol):
    """What `intake` asks: a table in memory, or one that outlives the process."""

    def note(self, id: str, now: float) -> bool: ...


class SeenMessages:
    """Ids seen within `window_s`. Times are Unix seconds, so that the table can be kept in a file.

    With `max_ids` in the table, the oldest id makes room: a flood then costs the memory of earlier ids, not ours.
    """

    __slots__ = ("_max_ids", "_seen", "_window_s", "forgotten_early")

    def __init__(self, window_s: float = WINDOW_S, max_ids: int = MAX_IDS) -> None:
        self._window_s = window_s
        self._max_ids = max_ids
        self._seen: dict[str, float] = {}
        self.forgotten_early = 0

    def note(self, id: str, now: float) -> bool:
        """Enters an id; True when it is new. An empty id is an id like any other."""
        if len(id) > _LONGEST_ID:
            id = hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()
        seen = self._seen
        before = seen.get(id)
        if before is not None:
            if now - before < self._window_s:
                return False
            del seen[id]
        if len(seen) >= self._max_ids:
            self.expire(now)
            if len(seen) >= self._max_ids:
                del seen[next(iter(seen))]
                self.forgotten_early += 1
        seen[id] = now
        return True

    def expire(self, now: float) -> None:
        """Forgets what is older than the window; to be called every minute or so."""
        limit = now - self._window_s
        old = []
        for id, when in self._seen.items():
            if when > limit:
                break
            old.append(id)
        for id in old:
            del self._seen[id]

    def snapshot(self) -> list[tuple[str, float]]:
        """Ids and the times they came, oldest first."""
        return list(self._seen.items())

    def restore(self, seen: Iterable[tuple[str, float]], now: float) -> None:
        """Takes what an earlier `snapshot` gave; too old entries and times in the future are left out."""
        known = {**dict(seen), **self._seen}
        fresh = sorted(
            ((when, id) for id, when in known.items() if now - self._window_s < when <= now),
            key=lambda entry: entry[0],
        )
        self._seen = {id: when for when, id in fresh[-self._max_ids :]}

    def __len__(self) -> int:
        return len(self._seen)
