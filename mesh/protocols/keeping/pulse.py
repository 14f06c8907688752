"""When a peer is probed, and when it counts as dead (Beam digest, sections 5 and 7).

Whoever is heard is alive. Who was silent for an interval is probed; two probes in a row without an answer end it.
"""

from __future__ import annotations

from typing import Final

MISSES: Final = 2
USED_S: Final = 2.0
"""Interval of relays and routes in use."""
IDLE_S: Final = 30.0


class Pulse:
    """Of one peer. Times are seconds of any one clock."""

    __slots__ = ("_asked", "_due_at", "_interval_s", "misses")

    def __init__(self, interval_s: float, now: float) -> None:
        self._interval_s = interval_s
        self._due_at = now + interval_s
        self._asked = False
        self.misses = 0

    @property
    def interval_s(self) -> float:
        """Between what was heard last and the next probe."""
        return self._interval_s

    def set_interval(self, interval_s: float, now: float) -> None:
        """Probe more or less often from now on."""
        due_at = now + interval_s
        self._due_at = min(self._due_at, due_at) if interval_s <= self._interval_s else due_at
        self._interval_s = interval_s

    def deadline(self) -> float | None:
        """When the next probe is due; None while one is under way."""
        return None if self._asked else self._due_at

    def take_due(self, now: float) -> bool:
        """Whether a probe is to be sent now; it is under way then, until `heard` or `missed`."""
        if self._asked or now < self._due_at:
            return False
        self._asked = True
        return True

    def hurry(self, now: float) -> None:
        """The next probe is due at once: something happened."""
        self._due_at = min(self._due_at, now)

    def heard(self, now: float) -> None:
        """The peer answered, or anything else came from it."""
        self._asked = False
        self.misses = 0
        self._due_at = now + self._interval_s

    def missed(self, now: float) -> bool:
        """A probe got no answer in its time, and the next is due at once; whether the peer counts as dead now."""
        self._asked = False
        self.misses += 1
        self._due_at = now
        return self.misses >= MISSES
