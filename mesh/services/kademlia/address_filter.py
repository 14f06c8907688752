"""Which addresses belong to a network (kubo's dual DHT): the public one has no use for private ones, and the reverse.

A relay's address with a peer behind it never makes that peer one to ask, but it is where a peer is found and what a
provider announces: so go-libp2p tells peers apart, and so do nodes behind NATs exist for others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from mesh.multiformats.ip_ranges import is_private, is_public
from mesh.multiformats.multiaddr import Multiaddr

Filter = Callable[[Iterable[Multiaddr]], list[Multiaddr]]


def _public(addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
    return [each for each in addresses if is_public(each) and not each.has("p2p-circuit")]


def _private(addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
    return [each for each in addresses if is_private(each) and not each.has("p2p-circuit")]


FILTERS: Final[dict[str, Filter]] = {"public": _public, "private": _private, "all": list}
_WITH_RELAYED: Final[dict[Filter, Filter]] = {
    _public: lambda addresses: [each for each in addresses if is_public(each)],
    _private: lambda addresses: [each for each in addresses if is_private(each)],
}
_OF_PREFIX: Final = {"/ipfs": "public", "/ipfs/lan": "private"}


def address_filter(name: str, prefix: str) -> Filter:
    """The filter called `name`; `auto` is that of the prefix: public for `/ipfs`, private for `/ipfs/lan`, else all."""
    return FILTERS[_OF_PREFIX.get(prefix, "all") if name == "auto" else name]


def with_relayed(admits: Filter) -> Filter:
    """The same filter for what is told of a peer: its places behind relays count too, where the relay belongs."""
    return _WITH_RELAYED.get(admits, admits)
