"""What the service wants of the node it runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol

from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import Cid
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.protocols.kademlia.providers import Provider

Spawn = Callable[[Coroutine[Any, Any, Any], str], asyncio.Task[None]]
"""Runs a coroutine, under a name for logs, as a task of the service. Raises `UsageError` when that has been stopped."""


class Announced(Protocol):
    """What became of an announcement."""

    @property
    def reached(self) -> bool:
        """Whether others hold it."""


class Directory(Protocol):
    """Where topics are announced and looked up: `Kademlia`."""

    async def provide(self, key: bytes | Cid) -> Announced:
        """Announce this node, now and again later. Raises `MeshError`."""

    async def withdraw(self, key: bytes | Cid) -> None:
        """Announce it no more."""

    def find_providers(self, key: bytes | Cid, count: int) -> AsyncGenerator[Provider, None]:
        """Who announced the key. Raises `MeshError`."""


class Host(Protocol):
    """A node, as far as this service knows it."""

    peer_id: PeerId

    def connection_to(self, peer: PeerId) -> Connection | None:
        """The connection that stands, if one does."""

    async def connect(self, target: PeerId, addresses: Iterable[Multiaddr]) -> Connection:
        """A connection, dialled if there is none. Raises `DialError`."""

    def protect(self, peer: PeerId, tag: str) -> None:
        """Have the connection manager spare a peer until `unprotect`: it is a neighbour in a mesh."""

    def unprotect(self, peer: PeerId, tag: str) -> None:
        """Spare it no more for that."""

    @property
    def own_addresses(self) -> Sequence[Multiaddr]:
        """Where others are told that this node is."""

    def record_of(self, peer: PeerId) -> bytes | None:
        """A peer's newest signed record, checked, in its envelope."""

    @property
    def directory(self) -> Directory | None:
        """The DHT, if it runs."""
