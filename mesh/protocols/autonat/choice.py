"""What a server dials for a client, and what it must be paid before (libp2p autonat specifications, both versions)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.errors import DecodeError
from mesh.multiformats.ip_ranges import is_public
from mesh.multiformats.multiaddr import Component, Multiaddr
from mesh.multiformats.multiaddr_table import IP4, IP6

V1_MOST: Final = 16
V2_MOST: Final = 50
MIN_DATA_BYTES: Final = 30_000
MAX_DATA_BYTES: Final = 100_000

CanDial = Callable[[Multiaddr], bool]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The address at place ``index`` of a request; ``priced``: its host is not the asker's, so data come first."""

    index: int
    address: Multiaddr
    priced: bool


def candidates_v1(
    observed: Multiaddr, addresses: Iterable[bytes], can_dial: CanDial, *, anywhere: bool = False
) -> list[Multiaddr]:
    """What version 1 dials: the asker's own host alone, as it is seen, at the ports that it names.

    The observed address comes first; every host that is named gives way to the observed one. Nothing for a relayed asker
    or a private one (unless ``anywhere``).
    """
    host = _host(observed)
    if host is None or observed.has("p2p-circuit") or not (anywhere or is_public(observed)):
        return []
    found: dict[Multiaddr, None] = {}
    for address in [observed, *_parsed(addresses)]:
        if len(found) == V1_MOST:
            break
        if address.has("p2p-circuit") or len(address.components) < 2:
            continue
        moved = Multiaddr.of(*((each.code, each.value) for each in (host, *address.components[1:])))
        if can_dial(moved):
            found[moved] = None
    return list(found)


def choose_v2(
    observed: Multiaddr, addresses: Sequence[bytes], can_dial: CanDial, *, anywhere: bool = False
) -> Chosen | None:
    """The one address that version 2 dials: the first of 50 that is a public host's, by number, and not relayed.

    A name is not dialled: whose address it stands for, and whether that is public, would show too late.
    """
    asker = _host(observed)
    for index, data in enumerate(addresses[:V2_MOST]):
        address = next(_parsed((data,)), None)
        if address is None or address.has("p2p-circuit"):
            continue
        host = _host(address)
        if host is None or not (anywhere or is_public(address)) or not can_dial(address):
            continue
        relayed = observed.has("p2p-circuit") or asker is None
        return Chosen(index, address, relayed or host != asker)
    return None


def price_bytes(draw: float) -> int:
    """What a dial to another host costs; ``draw`` is random, from [0, 1)."""
    return MIN_DATA_BYTES + int((MAX_DATA_BYTES - MIN_DATA_BYTES) * draw)


def _host(address: Multiaddr) -> Component | None:
    first = address.components[0] if address.components else None
    return first if first is not None and first.code in (IP4, IP6) else None


def _parsed(addresses: Iterable[bytes]) -> Iterator[Multiaddr]:
    for data in addresses:
        try:
            address = Multiaddr.from_bytes(data).without_peer()
        except DecodeError:
            continue
        if address:
            yield address
