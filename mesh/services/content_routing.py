"""Where services announce what this node has and look up who else has it: the DHT, as far as they know it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from mesh.multiformats.cid import Cid
from mesh.protocols.kademlia.providers import Provider


class Announced(Protocol):
    """What became of an announcement."""

    @property
    def reached(self) -> bool:
        """Whether others hold it."""


class Directory(Protocol):
    """`Kademlia`."""

    async def provide(self, key: bytes | Cid) -> Announced:
        """Announce this node, now and again later. Raises `MeshError`."""

    async def withdraw(self, key: bytes | Cid) -> None:
        """Announce it no more."""

    def find_providers(self, key: bytes | Cid, count: int) -> AsyncGenerator[Provider, None]:
        """Who announced the key. Raises `MeshError`."""
