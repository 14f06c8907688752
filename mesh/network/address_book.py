"""Addresses of peers that are not connected: what they said of themselves, and what the program added."""

from __future__ import annotations

from collections.abc import Iterable

from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr

MAX_PEERS = 10_000
MAX_ADDRESSES = 64


class AddressBook:
    """Addresses by peer, without peer ids. Bounded: the peer longest untouched is forgotten first."""

    __slots__ = ("_addresses",)

    def __init__(self) -> None:
        self._addresses: dict[PeerId, tuple[Multiaddr, ...]] = {}

    def add(self, peer: PeerId, addresses: Iterable[Multiaddr]) -> None:
        """Remember addresses of a peer, newest first, at most 64."""
        known = self._addresses.pop(peer, ())
        merged = dict.fromkeys([*(each.without_peer() for each in addresses if each.without_peer()), *known])
        self._addresses[peer] = tuple(merged)[:MAX_ADDRESSES]
        while len(self._addresses) > MAX_PEERS:
            del self._addresses[next(iter(self._addresses))]

    def of(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        return self._addresses.get(peer, ())
