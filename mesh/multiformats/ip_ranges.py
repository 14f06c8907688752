"""Which addresses the whole internet can reach: the ranges go-multiaddr uses (libp2p digest, section 3).

Only the first component counts, behind an ip6zone: a relayed address is as public as its relay. IPv4 mapped
into IPv6 is judged as the IPv4 address when asked whether it is private or loopback, and is never public.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network
from typing import NamedTuple

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


class Reach(NamedTuple):
    """From where an address can be dialled."""

    public: bool
    private: bool
    loopback: bool


NOWHERE = Reach(False, False, False)


def is_public(address: Multiaddr) -> bool:
    """Whether anybody could dial it: a routable ip, or a name outside the special-use suffixes."""
    return _reach(address).public


def is_private(address: Multiaddr) -> bool:
    """Whether it is of a private network, link-local or loopback, names under localhost included."""
    return _reach(address).private


def is_loopback(address: Multiaddr) -> bool:
    """Whether it never leaves the machine: loopback ips and names under localhost."""
    return _reach(address).loopback


def _reach(address: Multiaddr) -> Reach:
    first = _first(address)
    if first is None:
        return NOWHERE
    if first.code == IP4:
        return _reach_of_ip4(first.value)
    if first.code == IP6:
        return _reach_of_ip6(first.value)
    if first.code not in _NAMES:
        return NOWHERE
    local = _under(first.text, _LOCALHOST)
    return Reach(not any(_under(first.text, suffix) for suffix in _SPECIAL_USE), local, local)


@lru_cache(maxsize=4096)
def _reach_of_ip4(packed: bytes) -> Reach:
    private = _within(packed, _PRIVATE4)
    return Reach(
        public=not private and not _within(packed, _UNROUTABLE4),
        private=private,
        loopback=_within(packed, _LOOPBACK4),
    )


@lru_cache(maxsize=4096)
def _reach_of_ip6(packed: bytes) -> Reach:
    routable = _within(packed, _GLOBAL6) and not _within(packed, _DOCUMENTATION6)
    mapped = _reach_of_ip4(packed[12:]) if packed.startswith(_MAPPED) else None
    return Reach(
        public=routable or _within(packed, _NAT64),
        private=mapped.private if mapped else _within(packed, _PRIVATE6),
        loopback=mapped.loopback if mapped else _within(packed, _LOOPBACK6),
    )


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
