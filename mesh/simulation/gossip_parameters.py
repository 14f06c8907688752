"""What is simulated of GossipSub: everything that the figures depend on, the seed among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from math import isfinite
from types import MappingProxyType

from mesh.errors import UsageError
from mesh.protocols.gossip import (
    MeshSettings,
    RouterSettings,
    ScoreSettings,
    Thresholds,
    TopicScoreSettings,
)

TOPIC = "simulated"


class Attack(StrEnum):
    """What attackers do beside subscribing and grafting themselves into meshes. None of them passes anything on."""

    NONE = "none"
    SPAM = "spam"
    """Messages that validation rejects, and messages with a forged signature, in turn."""
    IHAVE = "ihave"
    """Announces messages that do not exist."""
    GRAFT = "graft"
    """Grafts itself again and again, whatever backoff it was told."""
    SYBIL = "sybil"
    """Very many at one address, which graft themselves once a minute."""
    ECLIPSE = "eclipse"
    """Nine of ten connections of a few victims, each from an address of its own; they graft themselves once a minute."""


@dataclass(frozen=True, slots=True)
class AttackSettings:
    """Defaults of one attack."""

    share: float
    """Attackers, as a share of the honest nodes; an eclipse has `VICTIM_ATTACKERS` for each victim instead."""
    every_ms: int
    """How often an attacker does to every peer what it does."""
    ids: int = 0
    """Made up in one IHAVE."""
    one_address: bool = False


ATTACKS: Mapping[Attack, AttackSettings] = MappingProxyType(
    {
        Attack.NONE: AttackSettings(share=0.0, every_ms=0),
        Attack.SPAM: AttackSettings(share=0.2, every_ms=100),
        Attack.IHAVE: AttackSettings(share=0.2, every_ms=90, ids=200),
        Attack.GRAFT: AttackSettings(share=0.2, every_ms=250),
        Attack.SYBIL: AttackSettings(share=0.5, every_ms=62_000, one_address=True),
        Attack.ECLIPSE: AttackSettings(share=0.0, every_ms=62_000),
    }
)

ATTACKER_DIALS = 24
"""Honest nodes that an attacker connects to, whatever number of connections these have."""

VICTIM_ATTACKERS = 45
VICTIM_PEERS = 5
"""Connections of a victim of an eclipse to attackers and to honest nodes."""

VICTIM_SHARE = 0.01

THRESHOLDS = Thresholds(
    gossip=-10.0, publish=-40.0, graylist=-80.0, accept_exchange=10.0, opportunistic_graft=1.0
)

LACK_COSTS = 16.0
"""What a mesh neighbour that delivers nothing loses by P3, and once more by P3b when it is pruned for it."""


@dataclass(frozen=True, slots=True)
class GossipParameters:
    """One experiment. Raises UsageError for values that make no sense."""

    peers: int = 1000
    """Honest nodes at any time; who leaves is replaced by a newcomer."""

    seed: int = 1
    """The first of them."""
    seeds: int = 1

    seconds: float = 60.0
    """Virtual time in which messages are published, after the meshes have formed."""

    rate: float = 1.0
    """Messages a second in the whole network, each by a random node."""

    size: int = 200
    """Bytes of a message's data."""

    least: int = 20
    most: int = 30
    """Connections of a node. It dials half of the mean, and more while it has too few."""

    latency_ms: float = 100.0
    """Median round trip."""

    spread: float = 0.4
    """Deviation of the logarithm of round trips between pairs."""

    loss: float = 0.0
    """Share of RPCs whose messages and gossip are lost; what they tell of topics and meshes arrives."""

    churn: float = 0.0
    """Share of the nodes that leave in a minute, without a word."""

    partition_s: float = 0.0
    """For so long the network is cut in halves, from a third of the time on."""

    attack: Attack = Attack.NONE

    attackers: float | None = None
    """As a share of the honest nodes; None for the attack's own."""

    scores: bool | None = None
    """Whether nodes keep scores; None for those under attack."""

    form_s: float = 5.0
    """Before the first message: meshes form."""

    drain_s: float = 10.0
    """After the last: messages arrive, also those that have to be asked for."""

    def __post_init__(self) -> None:
        least: dict[str, float] = {
            "peers": 8,
            "seeds": 1,
            "seconds": 1,
            "rate": 0.1,
            "size": 1,
            "least": 1,
            "latency_ms": 2,
            "form_s": 1,
            "drain_s": 1,
        }
        for name, bound in least.items():
            value: float = getattr(self, name)
            if not isfinite(value) or value < bound:
                raise UsageError(f"{name} is {value}, at least {bound:g}")
        for name, top in (("loss", 0.5), ("spread", 1.0), ("churn", 1.0)):
            share: float = getattr(self, name)
            if not 0 <= share <= top:
                raise UsageError(f"{name} is {share}, 0 to {top:g}")
        if self.rate > 1000:
            raise UsageError(f"{self.rate} messages a second, at most 1,000")
        if self.most < self.least:
            raise UsageError(f"at most {self.most} connections, but at least {self.least}")
        if not 0 <= self.partition_s <= self.seconds / 2:
            raise UsageError(f"a partition of {self.partition_s} s, at most half of {self.seconds} s")
        if self.attackers is not None and not 0 <= self.attackers <= 2:
            raise UsageError(f"attackers are {self.attackers} of the honest nodes, 0 to 2")

    @property
    def dials(self) -> int:
        """Connections that a node sets up itself."""
        return (self.least + self.most) // 4

    @property
    def scored(self) -> bool:
        """Whether nodes keep scores."""
        return self.attack is not Attack.NONE if self.scores is None else self.scores

    @property
    def victims(self) -> int:
        """Nodes that an eclipse is about: the first ones."""
        return max(round(self.peers * VICTIM_SHARE), 1) if self.attack is Attack.ECLIPSE else 0

    @property
    def attacker_count(self) -> int:
        """Attackers in all."""
        if self.attack is Attack.ECLIPSE and self.attackers is None:
            return VICTIM_ATTACKERS * self.victims
        share = ATTACKS[self.attack].share if self.attackers is None else self.attackers
        return round(self.peers * share) if ATTACKS[self.attack].every_ms else 0

    @property
    def attacker_numbers(self) -> range:
        """They come behind the first honest nodes, before all newcomers."""
        return range(self.peers, self.peers + self.attacker_count)

    def address_of(self, number: int) -> str:
        """The IP address of a node: its own, or the one that attackers share."""
        if ATTACKS[self.attack].one_address and number in self.attacker_numbers:
            return "198.51.100.7"
        return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"

    @property
    def departures(self) -> int:
        """Nodes that leave while messages are published."""
        return round(self.peers * self.churn * self.seconds / 60)

    @property
    def first_message_ms(self) -> int:
        return round(self.form_s * 1000)

    @property
    def last_message_ms(self) -> int:
        return self.first_message_ms + round(self.seconds * 1000)

    @property
    def end_ms(self) -> int:
        return self.last_message_ms + round(self.drain_s * 1000)

    @property
    def cut_ms(self) -> tuple[int, int] | None:
        """When a partition begins and ends."""
        if not self.partition_s:
            return None
        begin = self.first_message_ms + round(self.seconds * 1000 / 3)
        return begin, begin + round(self.partition_s * 1000)

    def router_settings(self, first_heartbeat_s: float) -> RouterSettings:
        """Of one node: the defaults, but for when its heart begins to beat, and for thresholds where scores are kept."""
        mesh = MeshSettings(first_heartbeat_s=first_heartbeat_s)
        return RouterSettings(mesh=mesh, thresholds=THRESHOLDS if self.scored else Thresholds())

    def score_settings(self) -> ScoreSettings:
        """Of all nodes, when they keep scores.

        P3 expects of a mesh neighbour, within half a second of the first copy, a twentieth of all messages. Alone it
        does not graylist anybody: honest nodes at the edge are often last. P4 and P7 do, and are slow to fade.
        """
        decay = 0.95
        all_messages = self.rate / (1 - decay)
        expected = all_messages / 20
        weight = -LACK_COSTS / expected**2
        topic = TopicScoreSettings(
            time_in_mesh_weight=0.01,
            time_in_mesh_cap=300.0,
            first_deliveries_weight=0.5,
            first_deliveries_decay=decay,
            first_deliveries_cap=20.0,
            mesh_deliveries_weight=weight,
            mesh_deliveries_decay=decay,
            mesh_deliveries_cap=all_messages,
            mesh_deliveries_threshold=expected,
            mesh_deliveries_window_s=0.5,
            mesh_deliveries_activation_s=20.0,
            mesh_failure_weight=weight,
            mesh_failure_decay=0.99,
            invalid_weight=-20.0,
            invalid_decay=0.998,
        )
        return ScoreSettings(
            topics={TOPIC: topic},
            topic_cap=20.0,
            ip_colocation_weight=-5.0,
            ip_colocation_threshold=5,
            behaviour_weight=-5.0,
            behaviour_threshold=6.0,
            behaviour_decay=0.998,
        )

    def with_seed(self, seed: int) -> GossipParameters:
        """The same with one other seed."""
        return replace(self, seed=seed, seeds=1)

    def listed(self) -> dict[str, object]:
        """For a report: what follows from others is filled in."""
        share = self.attacker_count / self.peers
        return {**asdict(self), "attack": str(self.attack), "attackers": share, "scores": self.scored}
