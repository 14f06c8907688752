"""Names in multiaddrs: `/dns`, `/dns4`, `/dns6` to addresses, `/dnsaddr` to whole multiaddrs (libp2p addressing).

dnsaddr asks for TXT records of `_dnsaddr.<name>` holding `dnsaddr=<multiaddr>`; at most 4 levels deep, at most 100
results; with a wanted peer only entries that end in it count. Addresses without a name pass through untouched.

Host names go through the system's own resolver, which knows the hosts file and its search rules; TXT records through
dnspython, loaded when the first one is wanted.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from mesh.errors import DecodeError, NetworkError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver as DnsResolver

MAX_DEPTH = 4
MAX_ADDRESSES = 100
LOOKUP_S = 5.0
_FAMILIES = {"dns": socket.AF_UNSPEC, "dns4": socket.AF_INET, "dns6": socket.AF_INET6}
_NAMES = {socket.AF_INET: "ip4", socket.AF_INET6: "ip6"}


class Resolver:
    """Looks names up, but for those of relays, which are looked up when the relay is dialled.

    ``nameservers`` (`host` or `host:port`) replaces the system's own list; tests use it.
    """

    __slots__ = ("_nameservers", "_resolver")

    def __init__(self, nameservers: tuple[str, ...] = ()) -> None:
        self._nameservers = nameservers
        self._resolver: DnsResolver | None = None

    async def resolve(self, address: Multiaddr, peer: PeerId | None = None) -> list[Multiaddr]:
        """Addresses without names, and without peer ids. Raises `NetworkError` when a name leads nowhere."""
        found: dict[Multiaddr, None] = {}
        await self._expand(address, peer, MAX_DEPTH, found)
        if not found:
            raise NetworkError(f"{address}: no usable address was found")
        return list(found)

    async def _expand(
        self, address: Multiaddr, peer: PeerId | None, depth: int, found: dict[Multiaddr, None]
    ) -> None:
        first = address.components[0] if address else None
        if first is None or len(found) >= MAX_ADDRESSES:
            return
        if address.has("p2p-circuit"):
            found[address.without_peer()] = None
        elif first.name == "dnsaddr":
            if depth == 0:
                raise NetworkError(f"{address}: dnsaddr records lead more than {MAX_DEPTH} levels deep")
            wanted = peer.to_bytes() if peer is not None else address.peer_id_bytes()
            for entry in await self._dnsaddr(first.text):
                if wanted is None or entry.peer_id_bytes() == wanted:
                    await self._expand(entry, peer, depth - 1, found)
        elif first.name in _FAMILIES:
            rest = "/".join(str(address.without_peer()).split("/")[3:])
            tail = _with_name(rest, first.text)
            for family, host in await _hosts(first.text, _FAMILIES[first.name]):
                if len(found) < MAX_ADDRESSES:
                    found[Multiaddr.parse(f"/{_NAMES[family]}/{host}/{tail}")] = None
        else:
            found[address.without_peer()] = None

    async def _dnsaddr(self, name: str) -> list[Multiaddr]:
        entries: list[Multiaddr] = []
        for text in await self._texts(f"_dnsaddr.{name}"):
            if text.startswith("dnsaddr=") and len(entries) < MAX_ADDRESSES:
                try:
                    entries.append(Multiaddr.parse(text.removeprefix("dnsaddr=")))
                except DecodeError:
                    continue
        return entries

    async def _texts(self, name: str) -> list[str]:
        from dns.exception import DNSException
        from dns.resolver import NXDOMAIN, NoAnswer

        try:
            answer = await self._dns().resolve(name, "TXT", lifetime=LOOKUP_S)
        except (NoAnswer, NXDOMAIN):
            return []
        except DNSException as error:
            raise NetworkError(f"lookup of the TXT records of {name}: {error}") from error
        return [b"".join(each.strings).decode("utf-8", "replace") for each in answer]

    def _dns(self) -> DnsResolver:
        if self._resolver is None:
            from dns.asyncresolver import Resolver as DnsResolver

            resolver = DnsResolver(configure=not self._nameservers)
            if self._nameservers:
                hosts = [each.rpartition(":") for each in self._nameservers]
                resolver.nameservers = [host or port for host, _, port in hosts]
                ports = {int(port) for host, _, port in hosts if host}
                resolver.port = ports.pop() if len(ports) == 1 else 53
            self._resolver = resolver
        return self._resolver


async def _hosts(name: str, family: int) -> list[tuple[socket.AddressFamily, str]]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_S):
            found = await loop.getaddrinfo(name, None, family=family, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise NetworkError(f"lookup of {name}: no answer within {LOOKUP_S:g} s") from None
    except (OSError, UnicodeError) as error:
        raise NetworkError(f"lookup of {name}: {getattr(error, 'strerror', None) or error}") from error
    known = {(each[0], str(each[4][0])): None for each in found if each[0] in _NAMES}
    return [(socket.AddressFamily(kind), host) for kind, host in known if "%" not in host]


def _with_name(rest: str, name: str) -> str:
    """TLS behind a name must know that name: `/tls/ws` becomes `/tls/sni/<name>/ws`, `/wss` likewise."""
    parts = rest.split("/")
    if "wss" in parts:
        at = parts.index("wss")
        parts[at : at + 1] = ["tls", "sni", name, "ws"]
    elif "tls" in parts and "sni" not in parts:
        parts.insert(parts.index("tls") + 1, f"sni/{name}")
    return "/".join(parts)
