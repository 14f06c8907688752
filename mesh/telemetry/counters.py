"""What happened, as integers: one table per node, read by metrics, the console and tests.

Names are `area.event`, with a reason behind a colon where one event has several: `upgrade.failed:noise handshake`.
Peer ids and addresses are never part of a name, so that the table stays small.
"""

from __future__ import annotations

from collections import Counter

MAX_NAMES = 1024


class Counters:
    """Counts by name, bounded in names."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, name: str, amount: int = 1) -> None:
        if name in self._counts or len(self._counts) < MAX_NAMES:
            self._counts[name] += amount

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def total(self, prefix: str) -> int:
        """Sum of all counts whose name begins with ``prefix``."""
        return sum(value for name, value in self._counts.items() if name.startswith(prefix))

    def snapshot(self) -> dict[str, int]:
        """All counts by name, in order of name."""
        return dict(sorted(self._counts.items()))
