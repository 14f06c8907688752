"""What a multiaddr means to the transports: host and port to dial, and the way back from a socket's names."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from mesh.multiformats.multiaddr import Multiaddr

_FAMILIES = {
    "ip4": socket.AF_INET,
    "ip6": socket.AF_INET6,
    "dns": socket.AF_UNSPEC,
    "dns4": socket.AF_INET,
    "dns6": socket.AF_INET6,
}


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    """Where a TCP socket connects or listens; ``family`` is an address family of the socket module."""

    host: str
    port: int
    family: int


def tcp_endpoint(address: Multiaddr) -> TcpEndpoint | None:
    """The endpoint of `/ip4|ip6|dns*/…/tcp/…`, nothing behind it but a peer id; None for any other address."""
    parts = list(address.without_peer().components)
    zone = parts.pop(0).text if parts and parts[0].name == "ip6zone" else None
    if len(parts) != 2 or parts[0].name not in _FAMILIES or parts[1].name != "tcp":
        return None
    host = parts[0].text if zone is None else f"{parts[0].text}%{zone}"
    return TcpEndpoint(host, int(parts[1].text), _FAMILIES[parts[0].name])


def tcp_address(socket_name: tuple[str, int] | tuple[str, int, int, int]) -> Multiaddr:
    """The multiaddr of an address pair as the socket module gives it."""
    host, _, zone = socket_name[0].partition("%")
    address = Multiaddr.from_tcp(host, socket_name[1])
    return Multiaddr.parse(f"/ip6zone/{zone}{address}") if zone else address


def tcp_ends(transport: asyncio.BaseTransport) -> tuple[Multiaddr, Multiaddr]:
    """Local and remote address of a connected TCP transport. Raises `OSError` when it is gone already."""
    local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
    if not local or not remote:
        raise OSError("the socket was closed before it was used")
    return tcp_address(local), tcp_address(remote)


def is_unspecified(address: Multiaddr) -> bool:
    """Whether it names all interfaces (`0.0.0.0`, `::`)."""
    return address.value("ip4") == "0.0.0.0" or address.value("ip6") == "::"
