"""What `Router.events` tells its owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from mesh.codecs.gossip import Extensions
from mesh.protocols.gossip.message import Part, PeerT


@dataclass(frozen=True, slots=True)
class TopicJoined(Generic[PeerT]):
    """A peer says that it is in a topic (any topic, not only ours)."""

    peer: PeerT
    topic: str


@dataclass(frozen=True, slots=True)
class TopicLeft(Generic[PeerT]):
    """A peer left a topic, or is gone."""

    peer: PeerT
    topic: str


@dataclass(frozen=True, slots=True)
class Grafted(Generic[PeerT]):
    """A peer came into our mesh of a topic."""

    peer: PeerT
    topic: str


@dataclass(frozen=True, slots=True)
class Pruned(Generic[PeerT]):
    """A peer left our mesh of a topic, for whatever reason."""

    peer: PeerT
    topic: str


@dataclass(frozen=True, slots=True)
class PeersOffered(Generic[PeerT]):
    """A peer whose score allows it named others to connect to: pairs of peer id and signed record (may be empty)."""

    source: PeerT
    topic: str
    peers: list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class DirectMissing(Generic[PeerT]):
    """A direct peer is not connected: dial it."""

    peer: PeerT


@dataclass(frozen=True, slots=True)
class PeerExtends(Generic[PeerT]):
    """A peer of 1.3 said in its first RPC what it has beyond 1.2."""

    peer: PeerT
    extensions: Extensions


@dataclass(frozen=True, slots=True)
class PartReceived(Generic[PeerT]):
    """A peer sent parts or metadata of a group; see `mesh.protocols.gossip.partial`."""

    peer: PeerT
    topic: str
    group: bytes
    part: Part


@dataclass(frozen=True, slots=True)
class PartsWanted(Generic[PeerT]):
    """Peers that asked for parts would be told of messages now: publish the group for them."""

    topic: str
    group: bytes
    peers: list[PeerT]


@dataclass(frozen=True, slots=True)
class TestExtended(Generic[PeerT]):
    """A peer sent the test extension's RPC."""

    __test__ = False

    peer: PeerT


Event = (
    TopicJoined[PeerT]
    | TopicLeft[PeerT]
    | Grafted[PeerT]
    | Pruned[PeerT]
    | PeersOffered[PeerT]
    | DirectMissing[PeerT]
    | PeerExtends[PeerT]
    | PartReceived[PeerT]
    | PartsWanted[PeerT]
    | TestExtended[PeerT]
)
