"""What the service wants of the node it runs on."""

from __future__ import annotations

from typing import Protocol

from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.swarm import Swarm


class Host(Protocol):
    """A node, as far as this service knows it."""

    peer_id: PeerId

    @property
    def swarm(self) -> Swarm:
        """All connections."""

    @property
    def listening(self) -> list[Multiaddr]:
        """Where this node listens, unspecified hosts filled in, without its id."""

    def make_stranger(self, scope: Scope) -> Swarm:
        """A swarm of a new identity, with sockets of its own and no listener."""

    def allows(self, peer: PeerId, address: Multiaddr) -> bool:
        """Whether the node's rules let it dial this."""

    def addresses_changed(self) -> None:
        """What others are told of this node's addresses has changed."""

    def reachability_changed(self, public: bool | None) -> None:
        """The verdict on the whole node; None for unknown."""

    def connection_to(self, peer: PeerId) -> Connection | None:
        """The connection that stands, if one does."""
