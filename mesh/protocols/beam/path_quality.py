"""How good a path is, measured on live connections, and the score that comes of it (Beam digest, section 5).

===========  =====================================================================================================
latency      round trips of pings, an exponentially weighted mean
bandwidth    peak of what the byte counters gained a second, over the last 30 s
reliability  successes of all attempts, where an older one counts for less; a prior of one success keeps it from 0 / 0
congestion   bytes that wait, of the window that they wait for
===========  =====================================================================================================

The documents give two formulas for a hop, with ``L = 1 / (1 + ms / 100)``, ``B = min(bytes/s / 1,000,000, 1)``:

- ``seed``: ``0.4 L + 0.3 B + 0.2 R - 0.1 C``, from -0.1 to 0.9. By this one routes are chosen here.
- ``repository``: ``0.4 L + 0.3 B + 0.2 R + 0.1 (1 - C)``, from 0 to 1: always 0.1 more.

A route's score is the mean of its hops' divided by their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LATENCY_SHARE: Final = 0.4
BANDWIDTH_SHARE: Final = 0.3
RELIABILITY_SHARE: Final = 0.2
CONGESTION_SHARE: Final = 0.1
HALVING_MS: Final = 100.0
"""A latency of this much makes half of its share."""
FULL_BANDWIDTH: Final = 1_000_000.0
"""In bytes/s: more than this counts no further."""
SMOOTHING: Final = 0.125
WINDOW_S: Final = 30.0
SAMPLE_S: Final = 1.0
"""Byte counters are compared no more often than this, so that a burst of one reading is no bandwidth."""
HALF_LIFE_S: Final = 120.0
"""After so long an attempt counts half."""
UNKNOWN_LATENCY_S: Final = 0.2
"""Of a path that nobody has measured yet."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Of one hop: latency in seconds, bandwidth in bytes/s, reliability and congestion from 0 to 1."""

    latency_s: float
    bandwidth: float
    reliability: float
    congestion: float

    @property
    def seed(self) -> float:
        """The hop's score by the seed's formula."""
        latency = 1 / (1 + self.latency_s * 1000 / HALVING_MS)
        bandwidth = min(self.bandwidth / FULL_BANDWIDTH, 1.0)
        return (
            LATENCY_SHARE * latency
            + BANDWIDTH_SHARE * bandwidth
            + RELIABILITY_SHARE * self.reliability
            - CONGESTION_SHARE * self.congestion
        )

    @property
    def repository(self) -> float:
        """The hop's score by the repository's formula."""
        return self.seed + CONGESTION_SHARE

    def document(self) -> dict[str, float]:
        return {
            "latency_ms": round(self.latency_s * 1000, 3),
            "bandwidth": round(self.bandwidth),
            "reliability": round(self.reliability, 4),
            "congestion": round(self.congestion, 4),
            "score": round(self.seed, 4),
            "score_repository": round(self.repository, 4),
        }


def route_score(hops: Sequence[float]) -> float:
    """Of a route whose hops have these scores: their mean, divided by their number."""
    return sum(hops) / len(hops) ** 2


def worse(one: Quality, other: Quality) -> Quality:
    """What both ends of a link stand for: of each measure the worse."""
    return Quality(
        max(one.latency_s, other.latency_s),
        min(one.bandwidth, other.bandwidth),
        min(one.reliability, other.reliability),
        max(one.congestion, other.congestion),
    )


class PathMeter:
    """The measures of one path. Times are in seconds of one clock."""

    __slots__ = ("_attempts", "_attempts_at", "_congestion", "_count", "_latency_s", "_rates", "_successes")

    def __init__(self) -> None:
        self._latency_s: float | None = None
        self._successes = self._attempts = 1.0
        self._attempts_at: float | None = None
        self._count: tuple[int, float] | None = None
        self._rates: deque[tuple[float, float]] = deque()
        self._congestion = 0.0

    def answered(self, round_trip_s: float) -> None:
        """A ping came back."""
        held = self._latency_s
        self._latency_s = round_trip_s if held is None else held + SMOOTHING * (round_trip_s - held)

    def tried(self, success: bool, now: float) -> None:
        """Something was attempted over the path: a stream, a ping, a keepalive."""
        self._fade(now)
        self._attempts += 1
        self._successes += success

    def counted(self, total_bytes: int, now: float) -> None:
        """What the byte counters of the path say now; a counter that went back starts anew."""
        held = self._count
        if held is None or total_bytes < held[0]:
            self._count = total_bytes, now
            return
        passed_s = now - held[1]
        if passed_s >= SAMPLE_S:
            self._count = total_bytes, now
            self._rates.append((now, (total_bytes - held[0]) / passed_s))
            self._forget(now)

    def waited(self, queued_bytes: int, window_bytes: int) -> None:
        """So much waits to be sent, where so much may be under way."""
        self._congestion = min(max(queued_bytes, 0) / max(window_bytes, 1), 1.0)

    def quality(self, now: float) -> Quality:
        """As it is now."""
        self._fade(now)
        self._forget(now)
        return Quality(
            UNKNOWN_LATENCY_S if self._latency_s is None else self._latency_s,
            max((rate for _, rate in self._rates), default=0.0),
            self._successes / self._attempts,
            self._congestion,
        )

    def _fade(self, now: float) -> None:
        """Older attempts count for less, the prior does not."""
        if self._attempts_at is not None and now > self._attempts_at:
            share = 0.5 ** ((now - self._attempts_at) / HALF_LIFE_S)
            self._attempts = 1 + (self._attempts - 1) * share
            self._successes = 1 + (self._successes - 1) * share
        self._attempts_at = now

    def _forget(self, now: float) -> None:
        while self._rates and now - self._rates[0][0] > WINDOW_S:
            self._rates.popleft()
