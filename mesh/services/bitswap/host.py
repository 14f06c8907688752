"""What the service wants of the node it runs on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.services.content_routing import Directory


class Host(Protocol):
    """A node, as far as this service knows it."""

    peer_id: PeerId

    def connection_to(self, peer: PeerId) -> Connection | None:
        """The connection that stands, if one does."""

    async def connect(self, target: PeerId, addresses: Iterable[Multiaddr]) -> Connection:
        """A connection, dialled if there is none. Raises `DialError`."""

    def addresses_of(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        """Where a peer was last known to be."""

    @property
    def directory(self) -> Directory | None:
        """The DHT, if it runs."""
