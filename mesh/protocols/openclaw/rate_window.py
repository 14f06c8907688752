"""How many messages a peer may send: so many in a window that begins with its first message (section 5.1)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

LIMIT: Final = 100
WINDOW_S: Final = 60.0
MAX_PEERS: Final = 4096

K = TypeVar("K", bound=Hashable)


class RateWindow(Generic[K]):
    """Counts by peer. With `MAX_PEERS` windows open, the one that has been open longest makes room. Times are seconds of
    any steady clock."""

    __slots__ = ("_limit", "_open", "_window_s", "refused")

    def __init__(self, limit: int = LIMIT, window_s: float = WINDOW_S) -> None:
        self._limit = limit
        self._window_s = window_s
        self._open: dict[K, tuple[float, int]] = {}
        self.refused = 0
        """Messages that were too many."""

    def take(self, peer: K, now: float) -> float:
        """Count one more message: 0 when it may pass, else the seconds until the next window."""
        began, count = self._open.get(peer, (now, 0))
        if now - began >= self._window_s or now < began:
            began, count = now, 0
        if count >= self._limit:
            self.refused += 1
            return max(began + self._window_s - now, 0.001)
        if count == 0:
            self._open.pop(peer, None)
            if len(self._open) >= MAX_PEERS:
                del self._open[next(iter(self._open))]
        self._open[peer] = (began, count + 1)
        return 0.0

    def sweep(self, now: float) -> None:
        """Forget windows that are over; to be called every minute or so."""
        over = [peer for peer, (began, _) in self._open.items() if not began <= now < began + self._window_s]
        for peer in over:
            del self._open[peer]

    def __len__(self) -> int:
        return len(self._open)
