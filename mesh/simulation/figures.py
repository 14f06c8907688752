"""Samples and what is told of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution in five numbers; all 0 when there are no samples."""

    samples: int
    mean: float
    median: float
    p99: float
    most: float

    def rounded(self, digits: int = 3) -> dict[str, float | int]:
        """For a report."""
        return {
            "samples": self.samples,
            "mean": round(self.mean, digits),
            "median": round(self.median, digits),
            "p99": round(self.p99, digits),
            "max": round(self.most, digits),
        }


def spread_of(samples: Iterable[float]) -> Spread:
    """Mean and percentiles by nearest rank."""
    ordered = sorted(samples)
    if not ordered:
        return Spread(0, 0.0, 0.0, 0.0, 0.0)
    return Spread(
        len(ordered),
        sum(ordered) / len(ordered),
        percentile(ordered, 50),
        percentile(ordered, 99),
        ordered[-1],
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of the sorted samples that at least `percent` of them do not exceed."""
    return ordered[max(ceil(len(ordered) * percent / 100) - 1, 0)]


def share(part: int, whole: int) -> float:
    """A part of a whole between 0 and 1; 1 of nothing."""
    return part / whole if whole else 1.0
