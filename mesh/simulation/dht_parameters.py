"""What is simulated: everything that the figures depend on, the seed among them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite

from mesh.errors import UsageError
from mesh.protocols.kademlia import LookupSettings, TableSettings


@dataclass(frozen=True, slots=True)
class DhtParameters:
    """One experiment. Raises UsageError for values that make no sense."""

    peers: int = 1000
    """Nodes at any time; who leaves is replaced by a newcomer."""

    seed: int = 1

    k: int = 20
    alpha: int = 10
    beta: int = 3

    loss: float = 0.0
    """Share of messages that never arrive, for each direction."""

    churn: float = 0.2
    """Share of the nodes that leave in an hour, without a word."""

    latency_ms: float = 50.0
    """Median round trip."""

    spread: float = 0.25
    """Deviation of the logarithm of round trips between pairs."""

    setup_round_trips: int = 4
    """Before the first request on a new connection: TCP, negotiation, Noise, muxer."""

    keep_warm: bool = True
    """Whether nodes keep connections to the members of their tables, and so notice who has gone."""

    keepalive_s: float = 15.0
    """How often a kept connection is probed."""

    keepalive_limit_s: float = 5.0
    """How long the answer to a probe may take."""

    idle_s: float = 30.0
    """Other connections are closed after this."""

    request_limit_s: float = 10.0

    lookups: int = 1000
    """Lookups that are measured; a quarter as many registrations, half as many discoveries."""

    minutes: float = 30.0
    """Virtual time that is measured, after everyone has joined and settled."""

    settle_s: float = 300.0

    join_interval_ms: int = 100
    """Between newcomers while the network is built."""

    bootstrap_peers: int = 4
    """Nodes that everyone knows and that never leave."""

    ttl_s: float = 3600.0
    """How long a registration counts; it is repeated after half of that."""

    def __post_init__(self) -> None:
        least: dict[str, float] = {
            "peers": 8,
            "k": 1,
            "alpha": 1,
            "beta": 1,
            "lookups": 1,
            "minutes": 0.1,
            "setup_round_trips": 0,
            "bootstrap_peers": 1,
            "join_interval_ms": 1,
            "latency_ms": 1,
            "keepalive_s": 0.1,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if not isfinite(value) or value < bound:
                raise UsageError(f"{name} is {value}, at least {bound:g}")
        if not 0 <= self.loss <= 0.5:
            raise UsageError(f"loss is {self.loss}, a share of 0 to 0.5")
        if not 0 <= self.churn <= 4:
            raise UsageError(f"churn is {self.churn}, a share of 0 to 4 an hour")
        if self.beta > self.k:
            raise UsageError(f"beta is {self.beta}, at most k ({self.k})")
        if not 0 <= self.spread <= 1:
            raise UsageError(f"spread is {self.spread}, 0 to 1")
        if self.bootstrap_peers >= self.peers:
            raise UsageError(f"{self.bootstrap_peers} bootstrap peers of {self.peers}")

    @property
    def registrations(self) -> int:
        return max(self.lookups // 4, 1)

    @property
    def discoveries(self) -> int:
        return max(self.lookups // 2, 1)

    @property
    def notice_s(self) -> float:
        """The longest that a kept connection hides that its peer has gone."""
        return self.keepalive_s + self.keepalive_limit_s

    def table_settings(self) -> TableSettings:
        """Of every node; the peers have no addresses, so none are too many of one network."""
        return TableSettings(bucket_size=self.k, diverse=False)

    def lookup_settings(self, follow_up: bool = True) -> LookupSettings:
        return LookupSettings(
            k=self.k,
            alpha=self.alpha,
            beta=self.beta,
            follow_up=follow_up,
            request_limit_s=self.request_limit_s,
            max_per_answer=self.k + 1,
        )

    def listed(self) -> dict[str, object]:
        """For a report."""
        return asdict(self)


def name_of(seed: int, number: int) -> bytes:
    """The bytes whose SHA-256 is a node's key; the same in both engines."""
    return b"mesh simulated peer %d/%d" % (seed, number)
