"""What a peer did in one topic, and what that is worth: P1 to P4 (gossipsub v1.1, "Peer scoring")."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.protocols.gossip.settings import TopicScoreSettings


@dataclass(frozen=True, slots=True)
class TopicParts:
    """A peer's counters in one topic as they stand, and the topic's share of the score, weighted, before any cap."""

    score: float
    in_mesh: bool
    time_in_mesh_s: float
    """P1; 0 outside the mesh."""
    first_deliveries: float
    """P2."""
    mesh_deliveries: float
    """P3 counts what is lacking of these, once `mesh_deliveries_active`."""
    mesh_deliveries_active: bool
    mesh_failure: float
    """P3b."""
    invalid: float
    """P4, not squared."""


class TopicRecord:
    """Counters of one peer in one topic. As in go, time in the mesh is looked at once each decay interval.

    P3 stays switched on after a PRUNE until the next GRAFT, also as in go: who was pruned for delivering too little
    keeps the deficit beside the sticky failure (P3b).
    """

    __slots__ = ("active", "failure", "first", "grafted_at", "in_mesh", "invalid", "mesh", "time_in_mesh_s")

    def __init__(self) -> None:
        self.in_mesh = False
        self.grafted_at = 0.0
        self.time_in_mesh_s = 0.0
        self.active = False
        self.first = 0.0
        self.mesh = 0.0
        self.failure = 0.0
        self.invalid = 0.0

    @property
    def blank(self) -> bool:
        """Whether it says nothing that a new record would not."""
        return not (self.in_mesh or self.active or self.first or self.mesh or self.failure or self.invalid)

    def graft(self, now: float) -> None:
        """The peer came into the mesh; the activation time of P3 starts anew."""
        self.in_mesh = True
        self.grafted_at = now
        self.time_in_mesh_s = 0.0
        self.active = False

    def leave(self, rules: TopicScoreSettings) -> None:
        """The peer is out of the mesh; what it lacked of deliveries sticks (P3b)."""
        if not self.in_mesh:
            return
        self.in_mesh = False
        lack = rules.mesh_deliveries_threshold - self.mesh
        if self.active and lack > 0:
            self.failure += lack * lack

    def count_first(self, rules: TopicScoreSettings) -> None:
        """It was the first to bring a good message."""
        self.first = min(self.first + 1.0, rules.first_deliveries_cap)
        self.count_mesh(rules)

    def count_mesh(self, rules: TopicScoreSettings) -> None:
        """It brought a good message in time; counted of members of the mesh."""
        if self.in_mesh:
            self.mesh = min(self.mesh + 1.0, rules.mesh_deliveries_cap)

    def cap(self, rules: TopicScoreSettings) -> None:
        """Heed caps that were lowered."""
        self.first = min(self.first, rules.first_deliveries_cap)
        self.mesh = min(self.mesh, rules.mesh_deliveries_cap)

    def fade(self, rules: TopicScoreSettings, intervals: int, at: float, to_zero: float) -> None:
        """That many decay intervals have passed, the last at the instant `at`."""
        self.first = faded(self.first, rules.first_deliveries_decay, intervals, to_zero)
        self.mesh = faded(self.mesh, rules.mesh_deliveries_decay, intervals, to_zero)
        self.failure = faded(self.failure, rules.mesh_failure_decay, intervals, to_zero)
        self.invalid = faded(self.invalid, rules.invalid_decay, intervals, to_zero)
        if self.in_mesh:
            self.time_in_mesh_s = max(at - self.grafted_at, 0.0)
            if self.time_in_mesh_s > rules.mesh_deliveries_activation_s:
                self.active = True

    def score(self, rules: TopicScoreSettings) -> float:
        """P1 to P4, each with its weight, times the weight of the topic."""
        total = 0.0
        if self.in_mesh and rules.time_in_mesh_weight:
            quanta = self.time_in_mesh_s // rules.time_in_mesh_quantum_s
            total += min(quanta, rules.time_in_mesh_cap) * rules.time_in_mesh_weight
        if self.first:
            total += self.first * rules.first_deliveries_weight
        if self.active and rules.mesh_deliveries_weight:
            lack = rules.mesh_deliveries_threshold - self.mesh
            if lack > 0:
                total += lack * lack * rules.mesh_deliveries_weight
        if self.failure:
            total += self.failure * rules.mesh_failure_weight
        if self.invalid:
            total += self.invalid * self.invalid * rules.invalid_weight
        return total * rules.weight

    def parts(self, rules: TopicScoreSettings) -> TopicParts:
        """For those who want to see."""
        return TopicParts(
            score=self.score(rules),
            in_mesh=self.in_mesh,
            time_in_mesh_s=self.time_in_mesh_s if self.in_mesh else 0.0,
            first_deliveries=self.first,
            mesh_deliveries=self.mesh,
            mesh_deliveries_active=self.active,
            mesh_failure=self.failure,
            invalid=self.invalid,
        )


def faded(value: float, decay: float, intervals: int, to_zero: float) -> float:
    """A counter after so many intervals; 0 once it is below `to_zero`."""
    if not value:
        return value
    value *= decay if intervals == 1 else decay**intervals
    return value if value >= to_zero else 0.0
