"""Which addresses the whole internet can reach: the ranges go-multiaddr uses (libp2p digest, section 3).

Only the first component counts, behind an ip6zone: a relayed address is as public as its relay. IPv4 mapped
into IPv6 is judged as the IPv4 address when asked whether it is private or loopback, and is never public.
"""

from __future__ import annotations

from ipaddress import ip_network

from mesh.multiformats.multiaddr import Component, Multiaddr
from mesh.multiformats.multiaddr_table import DNS, DNS4, DNS6, DNSADDR, IP4, IP6, IP6ZONE

_Ranges = tuple[tuple[int, int], ...]


def _ranges(*networks: str) -> _Ranges:
    parsed = [ip_network(network) for network in networks]
    return tuple((int(each.network_address), int(each.broadcast_address)) for each in parsed)


_PRIVATE4 = _ranges(
    "127.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"
)
_UNROUTABLE4 = _ranges(
    "0.0.0.0/8",
    "192.0.0.0/26",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
_PRIVATE6 = _ranges("::1/128", "fc00::/7", "fe80::/10")
_GLOBAL6 = _ranges("2000::/3")
_DOCUMENTATION6 = _ranges("2001:db8::/32")
_NAT64 = _ranges("64:ff9b:1::/48", "64:ff9b::/96")
_LOOPBACK4 = _ranges("127.0.0.0/8")
_LOOPBACK6 = _ranges("::1/128")
_MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"

_NAMES = frozenset({DNS, DNS4, DNS6, DNSADDR})
_LOCALHOST = ".localhost"
_SPECIAL_USE = (_LOCALHOST, ".in-addr.arpa", ".ip6.arpa", ".invalid", ".home.arpa", ".local", ".test")


def is_public(address: Multiaddr) -> bool:
    """Whether anybody could dial it: a routable ip, or a name outside the special-use suffixes."""
    first = _first(address)
    if first is None:
        return False
    if first.code == IP4:
        return not _within(first.value, _PRIVATE4) and not _within(first.value, _UNROUTABLE4)
    if first.code == IP6:
        routable = _within(first.value, _GLOBAL6) and not _within(first.value, _DOCUMENTATION6)
        return routable or _within(first.value, _NAT64)
    return first.code in _NAMES and not any(_under(first.text, suffix) for suffix in _SPECIAL_USE)


def is_private(address: Multiaddr) -> bool:
    """Whether it is of a private network, link-local or loopback, names under localhost included."""
    return _classify(address, _PRIVATE4, _PRIVATE6)


def is_loopback(address: Multiaddr) -> bool:
    """Whether it never leaves the machine: loopback ips and names under localhost."""
    return _classify(address, _LOOPBACK4, _LOOPBACK6)


def _classify(address: Multiaddr, ranges4: _Ranges, ranges6: _Ranges) -> bool:
    first = _first(address)
    if first is None:
        return False
    if first.code == IP4:
        return _within(first.value, ranges4)
    if first.code == IP6:
        if first.value.startswith(_MAPPED):
            return _within(first.value[12:], ranges4)
        return _within(first.value, ranges6)
    return first.code in _NAMES and _under(first.text, _LOCALHOST)


def _first(address: Multiaddr) -> Component | None:
    for component in address.components:
        if component.code != IP6ZONE:
            return component
    return None


def _within(packed: bytes, ranges: _Ranges) -> bool:
    number = int.from_bytes(packed, "big")
    return any(low <= number <= high for low, high in ranges)


def _under(name: str, suffix: str) -> bool:
    name = name.lower().rstrip(".")
    return name.endswith(suffix) or name == suffix[1:]
