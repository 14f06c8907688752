"""Whether the provider of a service answers (Beam digest, section 8): probed every 30 s, unhealthy after three failures.

A peer is called down only after several peers agree, so a node speaks of what it saw itself alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROBE_S: Final = 30.0
THRESHOLD: Final = 3
HEALTHY, DEGRADED, UNHEALTHY, UNKNOWN = "healthy", "degraded", "unhealthy", "unknown"
_DECAY: Final = 0.8
_SMOOTHING: Final = 0.3


@dataclass(slots=True)
class ServiceHealth:
    """What probes of one provider found. ``success_rate`` decays, so that old failures are forgotten; ``response_s`` is
    smoothed; ``last_seen_s`` is 0 before the first answer."""

    consecutive_failures: int = 0
    response_s: float | None = None
    last_seen_s: float = 0.0
    probes: int = 0
    _weight: float = 0.0
    _succeeded: float = 0.0
    cause: str = ""

    @property
    def status(self) -> str:
        """healthy from 90 % of probes answered on, degraded from 50 % on; unhealthy below, and after three failures in a
        row."""
        if not self.probes:
            return UNKNOWN
        if self.consecutive_failures >= THRESHOLD or self.success_rate < 0.5:
            return UNHEALTHY
        return HEALTHY if self.success_rate >= 0.9 else DEGRADED

    @property
    def success_rate(self) -> float:
        return self._succeeded / self._weight if self._weight else 1.0

    def answered(self, took_s: float, now_s: float) -> None:
        """A probe was answered."""
        self._count(1.0)
        self.consecutive_failures = 0
        self.cause = ""
        self.last_seen_s = now_s
        known = self.response_s
        self.response_s = took_s if known is None else known + _SMOOTHING * (took_s - known)

    def failed(self, cause: str) -> bool:
        """A probe, or a use, failed; whether that is the failure that makes the provider unhealthy."""
        self._count(0.0)
        self.consecutive_failures += 1
        self.cause = cause
        return self.consecutive_failures == THRESHOLD

    @property
    def rank(self) -> tuple[int, float]:
        """The lower the better: whose probes fail least, then who answers soonest."""
        order = {HEALTHY: 0, UNKNOWN: 1, DEGRADED: 1, UNHEALTHY: 3}[self.status]
        return order + min(
            self.consecutive_failures, 2
        ), self.response_s if self.response_s is not None else 1.0

    def _count(self, success: float) -> None:
        self.probes += 1
        self._weight = _DECAY * self._weight + 1.0
        self._succeeded = _DECAY * self._succeeded + success
