"""This machine's own addresses, to say where `0.0.0.0` and `::` are reached."""

from __future__ import annotations

from collections.abc import Iterable

import ifaddr

from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import is_unspecified


def interface_addresses() -> tuple[list[str], list[str]]:
    """IPv4 and IPv6 addresses of all interfaces; link-local IPv6 is left out, since it means nothing without a zone."""
    four: list[str] = []
    six: list[str] = []
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            if isinstance(each.ip, str):
                four.append(each.ip)
            elif not each.ip[0].lower().startswith("fe80"):
                six.append(each.ip[0])
    return four, six


def expand_unspecified(addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
    """Replace every address on an unspecified host by one for each interface."""
    expanded: dict[Multiaddr, None] = {}
    interfaces: tuple[list[str], list[str]] | None = None
    for address in addresses:
        if not is_unspecified(address):
            expanded[address] = None
            continue
        interfaces = interfaces or interface_addresses()
        family = address.components[0].name
        rest = str(address).split("/", 3)[3]
        for host in interfaces[0] if family == "ip4" else interfaces[1]:
            expanded[Multiaddr.parse(f"/{family}/{host}/{rest}")] = None
    return list(expanded)
