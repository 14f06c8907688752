"""What the service wants of the node it runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
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
    """Where content is announced and looked up: `Kademlia`."""

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

    def addresses_of(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        """Where a peer was last known to be."""

    @property
    def directory(self) -> Directory | None:
        """The DHT, if it runs."""
