"""The numbers of staying connected, and the words for what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mesh.errors import UsageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.keeping.pulse import IDLE_S, USED_S


class Lifecycle(StrEnum):
    """Where a peer stands, in Beam's words: known and not dialled; being dialled; connected and not measured yet; probed;
    compared with another that it may take the place of; being closed."""

    DISCOVERY = "discovery"
    HANDSHAKE = "handshake"
    CHANNEL = "encrypted channel"
    MONITORING = "monitoring"
    OPTIMISATION = "optimisation"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Settings:
    """Connections wanted at least and at most; seconds otherwise.

    ``used_s`` and ``idle_s``: between probes. ``trial_s``: between two candidates that are tried against those connected.
    ``settled_s``: so long nobody is replaced. ``first_pause_s`` to ``longest_pause_s``: before a lost peer is dialled
    again; the first try comes at once. ``seek_s`` to ``longest_pause_s``: between two searches for more peers.
    """

    low: int = 25
    high: int = 50
    used_s: float = USED_S
    idle_s: float = IDLE_S
    trial_s: float = 60.0
    settled_s: float = 60.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 300.0
    seek_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise UsageError(f"the lower bound {self.low} has to lie between 0 and the upper one {self.high}")


@dataclass(frozen=True, slots=True)
class Probe:
    """Ping this peer; `Keeper.answered` or `Keeper.missed` is told."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Dead:
    """Two probes went unanswered: the connection is good for nothing."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Redial:
    """Dial a peer that was lost; `Keeper.connected` or `Keeper.failed` is told."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Seek:
    """There are too few: ask whoever may know more."""


@dataclass(frozen=True, slots=True)
class Try:
    """A candidate may be dialled, to be compared with those connected."""


@dataclass(frozen=True, slots=True)
class Close:
    """Another is better: ``replaced`` when the peer gave way to a newcomer, else it is a newcomer that was no better."""

    peer: PeerId
    replaced: bool


Event = Probe | Dead | Redial | Seek | Try | Close


@dataclass(frozen=True, slots=True)
class Standing:
    """A peer: ``value`` is its quality (0 to 1) less what its network has of others; ``used`` tells a relay or a route in
    use; ``next_s`` is when it is probed, or dialled again, in seconds from now."""

    peer: PeerId
    lifecycle: Lifecycle
    network: str
    value: float
    latency_s: float | None
    reliability: float
    misses: int
    failures: int
    used: bool
    protected: bool
    next_s: float | None
