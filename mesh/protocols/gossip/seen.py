"""Which messages came already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import filterfalse

from mesh.errors import UsageError


class SeenCache:
    """Ids of messages in two generations of sets, so that forgetting costs nothing.

    A generation lasts ``ttl_s`` seconds, so an id is known for that long at least and for less than twice as long. A
    generation that has ``max_ids / 2`` ids ends earlier: that bounds memory, at the price that ids are forgotten too
    soon when more come than the owner provided for.
    """

    __slots__ = ("_old", "_room", "_ttl_s", "_turn_at", "_young")

    def __init__(self, ttl_s: float, max_ids: int, now: float) -> None:
        """Raises UsageError for a time that is not above 0, or room for less than two ids."""
        if ttl_s <= 0 or max_ids < 2:
            raise UsageError(f"no cache of {max_ids} ids for {ttl_s} s")
        self._ttl_s = ttl_s
        self._room = max_ids // 2
        self._turn_at = now + ttl_s
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def add(self, id: bytes, now: float) -> bool:
        """Note an id; True when it was not known."""
        if now >= self._turn_at:
            self.wake(now)
        young = self._young
        if id in young or id in self._old:
            return False
        if len(young) >= self._room:
            self._turn(now)
            young = self._young
        young.add(id)
        return True

    def add_all(self, ids: Sequence[bytes], now: float) -> bool:
        """Note many ids; False, and none is noted, when they were not all new and different, or there are too many."""
        if now >= self._turn_at:
            self.wake(now)
        young, new = self._young, set(ids)
        if (
            len(new) < len(ids)
            or len(young) + len(new) > self._room
            or not young.isdisjoint(new)
            or not self._old.isdisjoint(new)
        ):
            return False
        young |= new
        return True

    def unknown(self, ids: Iterable[bytes]) -> list[bytes]:
        """Those of many that are not known, in order."""
        return list(filterfalse(self._old.__contains__, filterfalse(self._young.__contains__, ids)))

    def wake(self, now: float) -> None:
        """Forget what is due; `add` does so by itself, so this is for when nothing comes."""
        if now >= self._turn_at + self._ttl_s:
            self._young = set()
            self._turn(now)
        elif now >= self._turn_at:
            self._turn(self._turn_at)

    def _turn(self, at: float) -> None:
        self._old, self._young = self._young, set()
        self._turn_at = at + self._ttl_s

    def __contains__(self, id: object) -> bool:
        return id in self._young or id in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
