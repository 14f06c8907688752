"""What the swarm asks of a byte transport; `tcp` and `memory` are the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection


class Listener(Protocol):
    """An open listening address."""

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """Where it is reached, ports filled in, unspecified hosts as they are."""

    async def close(self) -> None: ...


class Transport(Protocol):
    """Makes connections over one kind of address."""

    name: str

    def handles(self, address: Multiaddr) -> bool:
        """Whether addresses of this form are this transport's."""

    async def dial(self, address: Multiaddr, connection: Connection) -> None:
        """Connect, so that the connection's driver starts its upgrade. Raises `OSError`."""

    async def listen(self, address: Multiaddr, accept: Callable[[], Connection]) -> Listener:
        """Listen; ``accept`` makes the connection object of each peer. Raises `OSError` or `AddressInUse`."""
