"""How many of the peers that were asked to store must agree (Beam: write quorum Majority).

libp2p has no write quorum: go reports success when one peer stored. Beam wants a majority of its 20 replicas, which is
11; in a network with fewer peers a majority of those asked.
"""

from __future__ import annotations

from enum import Enum

from mesh.errors import UsageError


class Outcome(Enum):
    """Where a vote stands."""

    OPEN = "open"
    REACHED = "reached"
    MISSED = "missed"


def majority(asked: int) -> int:
    """How many make a majority: 11 of 20, 2 of 3, 1 of 1."""
    return asked // 2 + 1


class Acknowledgements:
    """Counts what became of one write at `asked` peers; `needed` defaults to their majority.

    With nobody asked, or more needed than asked, the quorum is missed from the start. Raises UsageError for a needed
    number below 1 and for more outcomes than peers.
    """

    __slots__ = ("accepted", "asked", "needed", "refused")

    def __init__(self, asked: int, needed: int | None = None) -> None:
        if asked < 0 or (needed is not None and needed < 1):
            raise UsageError(f"a quorum of {needed} among {asked} peers")
        self.asked = asked
        self.needed = majority(asked) if needed is None else needed
        self.accepted = 0
        self.refused = 0

    def accept(self) -> Outcome:
        """One peer stored it."""
        self._check()
        self.accepted += 1
        return self.outcome

    def refuse(self) -> Outcome:
        """One peer refused, failed or did not answer in time."""
        self._check()
        self.refused += 1
        return self.outcome

    @property
    def outcome(self) -> Outcome:
        """Reached or missed as soon as nothing can change it; the other peers may still answer."""
        if self.accepted >= self.needed:
            return Outcome.REACHED
        if self.asked - self.refused < self.needed:
            return Outcome.MISSED
        return Outcome.OPEN

    def _check(self) -> None:
        if self.accepted + self.refused >= self.asked:
            raise UsageError(f"all {self.asked} peers have answered")
