"""How much dialling for others a server does (go-libp2p's figures; libp2p digest, section 18)."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

WINDOW_S: Final = 60.0

V1_PER_WINDOW: Final = 30
V1_PER_PEER: Final = 3
V1_JITTER_S: Final = 15.0

V2_PER_MINUTE: Final = 60
V2_PER_PEER: Final = 12
V2_WITH_DATA: Final = 12
V2_AT_ONCE_PER_PEER: Final = 2

Peer = bytes


class WindowLimits:
    """Version 1: so many requests between two resets, a minute and a random bit apart. ``jitter`` draws from [0, 1)."""

    __slots__ = ("_ends_at", "_jitter", "_peers", "_total")

    def __init__(self, jitter: Callable[[], float], now: float) -> None:
        self._jitter = jitter
        self._peers: Counter[Peer] = Counter()
        self._total = 0
        self._ends_at = self._next_end(now)

    def accept(self, peer: Peer, now: float) -> bool:
        """Whether one more request is taken; it counts if it is."""
        if now >= self._ends_at:
            self._peers.clear()
            self._total = 0
            self._ends_at = self._next_end(now)
        if self._total >= V1_PER_WINDOW or self._peers[peer] >= V1_PER_PEER:
            return False
        self._total += 1
        self._peers[peer] += 1
        return True

    def _next_end(self, now: float) -> float:
        return now + WINDOW_S + V1_JITTER_S * self._jitter()


class RollingLimits:
    """Version 2: requests of the last minute, in all, by peer and of those with data, and those under way by peer."""

    __slots__ = ("_data", "_recent", "_running")

    def __init__(self) -> None:
        self._recent: deque[tuple[float, Peer]] = deque()
        self._data: deque[float] = deque()
        self._running: Counter[Peer] = Counter()

    def begin(self, peer: Peer, now: float) -> bool:
        """Whether one more request is taken; if so `end` must follow."""
        self._forget(now)
        if (
            self._running[peer] >= V2_AT_ONCE_PER_PEER
            or len(self._recent) >= V2_PER_MINUTE
            or sum(each == peer for _, each in self._recent) >= V2_PER_PEER
        ):
            if not self._running[peer]:
                del self._running[peer]
            return False
        self._recent.append((now, peer))
        self._running[peer] += 1
        return True

    def end(self, peer: Peer) -> None:
        """A request is over."""
        self._running[peer] -= 1
        if self._running[peer] <= 0:
            del self._running[peer]

    def accept_data(self, now: float) -> bool:
        """Whether one more request may send data; it counts if it may."""
        self._forget(now)
        if len(self._data) >= V2_WITH_DATA:
            return False
        self._data.append(now)
        return True

    @property
    def running(self) -> int:
        """Requests under way."""
        return self._running.total()

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] <= now - WINDOW_S:
            self._recent.popleft()
        while self._data and self._data[0] <= now - WINDOW_S:
            self._data.popleft()
