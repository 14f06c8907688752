"""How often something may happen: a bucket that fills with time. Times are seconds of any steady clock."""

from __future__ import annotations


class Allowance:
    """``burst`` at once, then one every ``1 / per_s`` seconds."""

    __slots__ = ("_at", "_burst", "_left", "_per_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = self._left = float(burst)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Whether it may happen now; if so it counts. Time that runs backwards fills nothing."""
        if self._at is not None and now > self._at:
            self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        if self._at is None or now > self._at:
            self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def left(self, now: float) -> float:
        """How often it may happen at once now."""
        gained = 0.0 if self._at is None else max(0.0, now - self._at) * self._per_s
        return min(self._burst, self._left + gained)

    def full(self, now: float) -> bool:
        """Whether nothing is missing any more: an allowance that can be forgotten."""
        return self._at is None or self._left + max(0.0, now - self._at) * self._per_s >= self._burst
