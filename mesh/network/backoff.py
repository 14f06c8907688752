"""Which addresses failed lately and are better left alone for a while (go-libp2p: 5 s + n^2 s, at most 5 min)."""

from __future__ import annotations

from mesh.multiformats.multiaddr import Multiaddr

BASE_S = 5.0
MAX_S = 300.0
MAX_ENTRIES = 4096


class Backoff:
    """Failures by address, bounded: the oldest is forgotten first. Times on any one clock, in seconds."""

    __slots__ = ("_failures",)

    def __init__(self) -> None:
        self._failures: dict[Multiaddr, tuple[int, float]] = {}

    def wait(self, address: Multiaddr, now: float) -> float:
        """Seconds until the address may be tried again; 0 when it may."""
        _, until = self._failures.get(address, (0, now))
        return max(0.0, until - now)

    def failures(self, address: Multiaddr) -> int:
        """How often it failed in a row."""
        return self._failures.get(address, (0, 0.0))[0]

    def note_failure(self, address: Multiaddr, now: float) -> None:
        count, _ = self._failures.pop(address, (0, 0.0))
        pause = min(MAX_S, BASE_S + count * count)
        self._failures[address] = (count + 1, now + pause)
        if len(self._failures) > MAX_ENTRIES:
            del self._failures[next(iter(self._failures))]

    def note_success(self, address: Multiaddr) -> None:
        self._failures.pop(address, None)
