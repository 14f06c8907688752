"""A way to ask a router, whichever protocol it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from mesh.protocols.port_mapping.leases import Lease
from mesh.protocols.port_mapping.mapping import Port, Refused, Silent

Changed = Callable[[], None]
"""Told that the outside addresses are others."""


class Way(Protocol):
    """`protocol` is the one that is spoken, or tried; `contact` whether the router has answered in it."""

    @property
    def protocol(self) -> str: ...

    @property
    def contact(self) -> bool: ...

    @property
    def rows(self) -> list[Lease]:
        """Each port that is wanted, and what the router says to it."""

    def want(self, ports: Iterable[Port]) -> None:
        """Hold these ports, and no others."""

    async def run(self) -> Refused | Silent:
        """Hold them until the router speaks the protocol no more, or does not at all: its last word."""

    async def give_back(self) -> None:
        """Give all ports back; whoever waits for it says for how long."""

    def close(self) -> None:
        """Close what is open."""
