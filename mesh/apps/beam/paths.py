"""By which connection a new stream to a peer goes.

Everything of Beam that opens a stream to a peer asks a `Paths`; `OrdinaryPaths` takes the node's own connection, dialling
one where there is none. Whoever routes by quality, or over a session that outlives connections, puts another in its place
(`Beam.paths`) and hands inbound streams to `TunnelServer.serve_from` with the peer that it authenticated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.machine import Buffer

if TYPE_CHECKING:
    from mesh.node import Node


class PathStream(Protocol):
    """A byte stream to a peer, as `mesh.network.stream.Stream` has it."""

    async def read_chunk(self, max_bytes: int = ...) -> Buffer:
        """At least one byte, or nothing at the end."""
        ...

    async def read_message(self, max: int) -> bytes:
        """A message behind its length."""
        ...

    async def write(self, data: Buffer) -> None:
        """Send all of it."""
        ...

    async def write_message(self, message: Buffer) -> None:
        """Send a message behind its length."""
        ...

    async def close_write(self) -> None:
        """Half close."""
        ...

    async def close(self) -> None:
        """Close in order."""
        ...

    def reset(self) -> None:
        """End at once."""
        ...


class Paths(Protocol):
    """Who chooses."""

    async def open(self, peer: PeerId, addresses: Sequence[Multiaddr], protocol: str) -> PathStream:
        """A new stream. ``addresses`` are what is known of the peer besides. Raises `MeshError`."""
        ...

    def describe(self, peer: PeerId) -> str:
        """The way to a peer in words: `direct`, `punched`, `relayed by PEER`, `none`."""
        ...


class OrdinaryPaths:
    """The node's own connections."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def open(self, peer: PeerId, addresses: Sequence[Multiaddr], protocol: str) -> PathStream:
        connection = await self._node.connect(peer, addresses)
        return await self._node.open(connection, protocol)

    def describe(self, peer: PeerId) -> str:
        connection = self._node.swarm.connection_to(peer)
        if connection is None:
            return "none"
        if connection.relay is not None:
            return f"relayed by {connection.relay}"
        return "punched" if connection.punched else "direct"
