"""The figures of the last day, one sample a minute, and how they move (Beam digest, section 8): means over a period, and
against the day's mean, where five percent either way count as stable."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

SAMPLE_S: Final = 60.0
KEPT_S: Final = 24 * 3600.0
STABLE: Final = 0.05
PERIODS: Final = {"5m": 300.0, "1h": 3600.0, "24h": KEPT_S}

Figures = Mapping[str, float]


class History:
    """At most a day of samples. ``totals`` only grow, and are told as what they grew by a minute; ``levels`` go up and
    down. Instants are seconds of any steady clock."""

    __slots__ = ("_samples", "_totals", "_totals_at")

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, float]]] = deque(maxlen=int(KEPT_S / SAMPLE_S))
        self._totals: Figures | None = None
        self._totals_at = 0.0

    def note(self, totals: Figures, levels: Figures, now: float) -> None:
        """One sample. A total that went back, as of connections that ended, counts as nothing."""
        held, passed_s = self._totals, now - self._totals_at
        self._totals, self._totals_at = dict(totals), now
        if held is None or passed_s <= 0:
            return
        grown = {
            name: max(0.0, value - held.get(name, 0.0)) * 60 / passed_s for name, value in totals.items()
        }
        self._samples.append((now, grown | dict(levels)))

    def stats(self, period_s: float, now: float) -> dict[str, dict[str, Any]]:
        """By figure: the mean over a period, the least and the most, and `rising`, `falling` or `stable`."""
        day = [sample for at, sample in self._samples if now - at < KEPT_S]
        lately = [sample for at, sample in self._samples if now - at < period_s]
        names = dict.fromkeys(name for sample in lately for name in sample)
        found = {}
        for name in names:
            values = [sample[name] for sample in lately if name in sample]
            usual = [sample[name] for sample in day if name in sample]
            mean = sum(values) / len(values)
            found[name] = {
                "mean": round(mean, 3),
                "least": round(min(values), 3),
                "most": round(max(values), 3),
                "trend": _trend(mean, sum(usual) / len(usual)),
            }
        return found


def _trend(mean: float, usual: float) -> str:
    if abs(mean - usual) <= STABLE * abs(usual):
        return "stable"
    return "rising" if mean > usual else "falling"
