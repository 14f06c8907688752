"""A connection to a peer: the one that stands, else by known addresses, announced ones and our relays, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from mesh.errors import DecodeError, MeshError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.agent_delivery.offering import PROTOCOL_ID as DELIVERY
from mesh.protocols.openclaw.message import PROTOCOL_ID as MESSAGE

if TYPE_CHECKING:
    from mesh.node import Node

DIALS_AT_ONCE: Final = 16
MAX_ADDRESSES: Final = 24
USED_UP_BYTES: Final = 4096
"""With less left of what a relay lets pass, a circuit carries no message; a new one does."""


class Reaching:
    """``announced`` gives the addresses that a peer announced."""

    def __init__(self, node: Node, announced: Callable[[str], Sequence[str]]) -> None:
        self._node = node
        self._announced = announced
        self._dials = asyncio.Semaphore(DIALS_AT_ONCE)

    async def reach(self, peer: PeerId, first: str = "") -> Connection:
        """A connection to a peer; ``first`` is an address that somebody named: it is dialled where the connection that
        stands leads through a relay. Raises `DialError`, `UsageError`."""
        present = self._node.swarm.connection_to(peer)
        if present is not None and not _used_up(present):
            named = address_of(first, peer) if first and present.relay is not None else None
            return present if named is None else await self._closer(peer, named, present)
        if present is not None:
            await present.close()
        async with self._dials:
            return await self._node.connect(peer, self._addresses(peer, first))

    async def _closer(self, peer: PeerId, named: Multiaddr, present: Connection) -> Connection:
        """A connection at the named address, or the one that stands."""
        try:
            async with self._dials:
                return await self._node.connect(peer, [named])
        except MeshError:
            return present

    def check(self, address: str, peer: PeerId) -> None:
        """Whether an address may lead to a peer. Raises `UsageError`."""
        if address_of(address, peer) is None:
            raise UsageError(f"{address[:200]} is no address of {peer}")

    async def open(self, connection: Connection) -> Stream:
        """A stream of our protocol where the peer speaks it, else of the stock one. Raises `MeshError`."""
        return await self._node.open(connection, [DELIVERY, MESSAGE], allow_limited=True)

    def _addresses(self, peer: PeerId, first: str) -> list[Multiaddr]:
        relays = [f"{each}/p2p-circuit" for each in self._node.config.relay.relays]
        found: dict[Multiaddr, None] = {}
        for text in ([first] if first else []) + [*self._announced(str(peer)), *relays]:
            address = address_of(text, peer)
            if address is not None:
                found[address] = None
        return list(found)[:MAX_ADDRESSES]


def address_of(text: str, peer: PeerId) -> Multiaddr | None:
    """A peer's address without its id; None for what is no address, or another peer's."""
    try:
        address = Multiaddr.parse(text)
        named = address.peer_id_bytes()
    except MeshError:
        return None
    if named is None:
        return address or None
    try:
        return (address.without_peer() or None) if PeerId.from_bytes(named) == peer else None
    except DecodeError:
        return None


def _used_up(connection: Connection) -> bool:
    limited = connection.limited
    left = None if limited is None else limited.remaining_send_bytes
    return left is not None and left < USED_UP_BYTES
