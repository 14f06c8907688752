"""What a diagnosis wants of the node it is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from mesh.config import Config
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.swarm import Swarm
from mesh.services.bootstrap import Bootstrap
from mesh.services.dcutr import HolePunching
from mesh.services.discovery import Discovery
from mesh.services.reachability import ReachabilityService
from mesh.services.relay import Relaying
from mesh.storage.peerstore import Peerstore


class Host(Protocol):
    """A running node."""

    config: Config
    peer_id: PeerId
    addresses: Peerstore
    bootstrap: Bootstrap
    reachability: ReachabilityService

    @property
    def swarm(self) -> Swarm:
        """All connections."""

    @property
    def listening(self) -> list[Multiaddr]:
        """Where it listens, unspecified hosts filled in."""

    @property
    def own_addresses(self) -> list[Multiaddr]:
        """What others are told."""

    @property
    def relaying(self) -> Relaying | None:
        """Its part in relaying."""

    @property
    def hole_punching(self) -> HolePunching | None:
        """Its part in hole punching."""

    @property
    def discovery(self) -> Discovery:
        """How it finds peers."""

    async def connect(self, target: PeerId, addresses: Iterable[Multiaddr] = ()) -> Connection:
        """A connection, dialled when there is none."""
