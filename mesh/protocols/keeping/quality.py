"""How good a peer is, from what its probes came to (Beam digest, section 5: the terms for latency and reliability).

Latency is weighed 0.4 and reliability 0.2, as in Beam's score of a route, and brought to 0 to 1: no probe tells bandwidth
and congestion, which a route is judged by besides.
"""

from __future__ import annotations

from typing import Final

LATENCY_WEIGHT: Final = 0.4
RELIABILITY_WEIGHT: Final = 0.2
LATENCY_SCALE_S: Final = 0.1
"""At this round trip the term for latency is a half."""
SHARE: Final = 0.25
"""Of the newest round trip in the smoothed one."""
DECAY: Final = 0.9
"""What is left of each probe's weight after the next."""


class Quality:
    """``latency_s`` is the smoothed round trip of the probes that were answered."""

    __slots__ = ("_answered", "_asked", "latency_s")

    def __init__(self) -> None:
        self.latency_s: float | None = None
        self._asked = self._answered = 0.0

    def note(self, round_trip_s: float | None) -> None:
        """A probe was answered after so long; None when it was lost."""
        self._asked = self._asked * DECAY + 1.0
        self._answered *= DECAY
        if round_trip_s is None:
            return
        self._answered += 1.0
        before = self.latency_s
        self.latency_s = round_trip_s if before is None else before + SHARE * (round_trip_s - before)

    @property
    def reliability(self) -> float:
        """The share of answered probes, 0 to 1, the latest weighing most; 1 before the first."""
        return self._answered / self._asked if self._asked else 1.0

    @property
    def score(self) -> float:
        """0 to 1; 0 before the first answer."""
        if self.latency_s is None:
            return 0.0
        latency = LATENCY_SCALE_S / (LATENCY_SCALE_S + self.latency_s)
        weights = LATENCY_WEIGHT + RELIABILITY_WEIGHT
        return (LATENCY_WEIGHT * latency + RELIABILITY_WEIGHT * self.reliability) / weights
