"""Both engines on one seed: how far the compact one is from the one with full nodes."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.simulation.dht_workload import LookupTally
from mesh.simulation.figures import spread_of

TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of both engines."""

    name: str
    nodes: float
    compact: float

    @property
    def difference(self) -> float:
        """Of the compact engine, as a share of the other."""
        return self.compact / self.nodes - 1 if self.nodes else float(self.compact != self.nodes)

    @property
    def agrees(self) -> bool:
        return abs(self.difference) <= TOLERANCE

    def row(self) -> dict[str, object]:
        """For a report."""
        return {
            "figure": self.name,
            "nodes": round(self.nodes, 4),
            "compact": round(self.compact, 4),
            "difference": round(self.difference, 4),
            "agrees": self.agrees,
        }


def compare(nodes: LookupTally, compact: LookupTally) -> list[Compared]:
    """Hops, messages and success of lookups, which must agree within `TOLERANCE`."""

    def mean(samples: list[int]) -> float:
        return spread_of(samples).mean

    return [
        Compared("hops, mean", mean(nodes.hops), mean(compact.hops)),
        Compared("messages, mean", mean(nodes.messages), mean(compact.messages)),
        Compared("requests, mean", mean(nodes.requests), mean(compact.requests)),
        Compared("success", nodes.success, compact.success),
    ]
