"""How many messages a connection may bring: a bucket that is refilled by whole seconds (section 8)."""

from __future__ import annotations

from typing import Final

BURST: Final = 100
PER_SECOND: Final = 50


class TokenBucket:
    """Starts full. The clock of its refill moves only when at least one whole second has passed, and then to now."""

    __slots__ = ("_burst", "_per_second", "_refilled", "_tokens")

    def __init__(self, now: float, burst: int = BURST, per_second: int = PER_SECOND) -> None:
        self._burst = burst
        self._per_second = per_second
        self._tokens = burst
        self._refilled = now

    def take(self, now: float) -> bool:
        """Whether there is a token for one more message."""
        seconds = int(now - self._refilled)
        if seconds > 0:
            self._tokens = min(self._burst, self._tokens + seconds * self._per_second)
            self._refilled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
