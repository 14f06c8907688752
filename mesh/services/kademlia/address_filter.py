"""Which addresses belong to a network (kubo's dual DHT): the public one has no use for private ones, and the reverse."""

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
_OF_PREFIX: Final = {"/ipfs": "public", "/ipfs/lan": "private"}


def address_filter(name: str, prefix: str) -> Filter:
    """The filter called `name`; `auto` is that of the prefix: public for `/ipfs`, private for `/ipfs/lan`, else all."""
    return FILTERS[_OF_PREFIX.get(prefix, "all") if name == "auto" else name]
