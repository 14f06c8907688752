"""How many peers share an IP address: what P6 is counted by (gossipsub v1.1, "Peer scoring"), with go's details."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Generic, TypeVar

PeerT = TypeVar("PeerT")

Places = tuple[str, ...]
"""Addresses of one peer that count, and the /64 of each IPv6 one; each once."""

_SUBNET_BITS = 64


class Colocation(Generic[PeerT]):
    """Who is at which address. Addresses in `whitelist` (networks in CIDR form) and loopback do not count."""

    __slots__ = ("_at", "_whitelist", "threshold")

    def __init__(self, threshold: int, whitelist: Sequence[str]) -> None:
        self.threshold = threshold
        self._whitelist = [ip_network(each, strict=False) for each in whitelist]
        self._at: dict[str, dict[PeerT, None]] = {}

    def places(self, addresses: Sequence[str]) -> Places:
        """What of a peer's IP addresses counts; text that is no address does not."""
        found: dict[str, None] = {}
        for text in addresses:
            try:
                address = ip_address(text)
            except ValueError:
                continue
            places = _with_subnet(address)
            if places[0].is_loopback:
                continue
            for place in places:
                if not any(place in network for network in self._whitelist):
                    found[str(place)] = None
        return tuple(found)

    def move(self, peer: PeerT, old: Places, new: Places) -> Iterator[PeerT]:
        """A peer is at other places; yields all whose company changed by it, and must be run to its end."""
        for place in old:
            if place not in new:
                there = self._at[place]
                del there[peer]
                if not there:
                    del self._at[place]
                yield from there
        for place in new:
            if place not in old:
                there = self._at.setdefault(place, {})
                there[peer] = None
                yield from there

    def surplus(self, places: Places) -> float:
        """The squares of how many peers are too many at each place."""
        over = [len(self._at[place]) - self.threshold for place in places]
        return float(sum(each * each for each in over if each > 0))


def _with_subnet(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    zoneless = IPv6Address(int(address))
    host_bits = address.max_prefixlen - _SUBNET_BITS
    return [zoneless, IPv6Address(int(address) >> host_bits << host_bits)]
