"""Is a quantity flat? The least-squares line through its samples, without the first fifth, tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

WARM_UP = 0.2
"""Part of the samples that is left out: caches and pools fill at first."""
DOUBT = 2.0
"""A slope is above its bound when it is so by this many standard errors: load that comes and goes is not growth."""
FEWEST = 4


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is sampled: its member in a sample, and how much it may grow in a minute."""

    name: str
    member: str
    unit: str
    scale: float
    bound_per_minute: float


QUANTITIES = (
    Quantity("resident memory", "rss_bytes", "KiB", 1024, 256),
    Quantity("tasks", "tasks", "", 1, 0.5),
    Quantity("descriptors", "descriptors", "", 1, 0.5),
    Quantity("bytes held for peers", "held_bytes", "KiB", 1024, 16),
)


@dataclass(frozen=True, slots=True)
class Trend:
    """A quantity's line; slope and its standard error in units a minute. ``flat`` is None for too few samples."""

    quantity: Quantity
    least: float
    most: float
    last: float
    slope: float
    error: float
    flat: bool | None


def trend(quantity: Quantity, samples: Sequence[tuple[float, float]]) -> Trend:
    """Of (second, raw value) pairs in order of time."""
    kept = [(at / 60, value / quantity.scale) for at, value in samples[int(len(samples) * WARM_UP) :]]
    values = [value for _, value in kept]
    slope, error = _line(kept) if len(kept) >= FEWEST else (0.0, 0.0)
    flat = slope - DOUBT * error <= quantity.bound_per_minute if len(kept) >= FEWEST else None
    return Trend(quantity, min(values), max(values), values[-1], slope, error, flat)


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and its standard error."""
    size = len(points)
    middle_x = sum(x for x, _ in points) / size
    middle_y = sum(y for _, y in points) / size
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in points) / spread
    rest = sum((y - middle_y - slope * (x - middle_x)) ** 2 for x, y in points)
    return slope, sqrt(rest / (size - 2) / spread)
