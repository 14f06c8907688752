"""What a multiaddr means to the transports: host and port to dial, and the way back from a socket's names."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from functools import lru_cache

from mesh.multiformats.multiaddr import Component, Multiaddr
from mesh.multiformats.multiaddr_table import IP4, IP6, TCP

MAX_TCP_COMPONENTS = 4
"""Zone, host, port and peer. Longer addresses, of which a peer may send any number, are not remembered."""
MAX_QUIC_COMPONENTS = 5
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


@dataclass(frozen=True, slots=True)
class QuicEndpoint:
    """Where a QUIC connection is dialled to or listened for; ``family`` is an address family of the socket module."""

    host: str
    port: int
    family: int


@dataclass(frozen=True, slots=True)
class WebSocketEndpoint:
    """What WebSocket runs over: ``secure`` is TLS, ``name`` the host to ask for and whose certificate is due, ``sni``
    the name if the address says one."""

    tcp: TcpEndpoint
    secure: bool
    name: str
    sni: str

    @property
    def suffix(self) -> str:
        """What stands behind the port in the canonical form, so that a certificate's name is not lost with the host's."""
        named = self.sni or (self.name if self.tcp.host == self.name and not _is_numeric(self.name) else "")
        return f"/tls/sni/{named}/ws" if self.secure and named else self.plain_suffix

    @property
    def listen_suffix(self) -> str:
        """The same for a listener, whose name is known only if the address said it."""
        return f"/tls/sni/{self.sni}/ws" if self.sni else self.plain_suffix

    @property
    def plain_suffix(self) -> str:
        """The same without a name."""
        return "/tls/ws" if self.secure else "/ws"


_ANY = {IP4: bytes(4), IP6: bytes(16)}
_WEBSOCKET = {("ws",): False, ("wss",): True, ("tls", "ws"): True, ("tls", "sni", "ws"): True}


def tcp_endpoint(address: Multiaddr) -> TcpEndpoint | None:
    """The endpoint of `/ip4|ip6|dns*/…/tcp/…`, nothing behind it but a peer id; None for any other address."""
    return _tcp_endpoint(address) if len(address.components) <= MAX_TCP_COMPONENTS else None


@lru_cache(maxsize=1024)
def _tcp_endpoint(address: Multiaddr) -> TcpEndpoint | None:
    endpoint, rest = _split_tcp(address)
    return None if rest else endpoint


def quic_endpoint(address: Multiaddr) -> QuicEndpoint | None:
    """The endpoint of `/ip4|ip6|dns*/…/udp/…/quic-v1`, nothing behind it but a peer id; None for any other address, also
    for the draft's `/quic`, which nobody speaks any more."""
    return _quic_endpoint(address) if len(address.components) <= MAX_QUIC_COMPONENTS else None


@lru_cache(maxsize=1024)
def _quic_endpoint(address: Multiaddr) -> QuicEndpoint | None:
    front, rest = _split(address, "udp")
    if front is None or [each.name for each in rest] != ["quic-v1"]:
        return None
    return QuicEndpoint(*front)


def websocket_endpoint(address: Multiaddr) -> WebSocketEndpoint | None:
    """The endpoint of a TCP address followed by `/ws`, `/wss`, `/tls/ws` or `/tls/sni/<name>/ws`; None for others."""
    tcp, rest = _split_tcp(address)
    secure = _WEBSOCKET.get(tuple(each.name for each in rest))
    if tcp is None or secure is None:
        return None
    sni = next((each.text for each in rest if each.name == "sni"), "")
    return WebSocketEndpoint(tcp, secure, sni or tcp.host.partition("%")[0], sni)


def _split_tcp(address: Multiaddr) -> tuple[TcpEndpoint | None, tuple[Component, ...]]:
    """Host and port at the front and the components behind them; no endpoint when there is no such front."""
    front, rest = _split(address, "tcp")
    return None if front is None else TcpEndpoint(*front), rest


def _split(address: Multiaddr, carrier: str) -> tuple[tuple[str, int, int] | None, tuple[Component, ...]]:
    """Host, port and family at the front, if ``carrier`` is what the port is of, and the components behind them."""
    parts = address.without_peer().components
    zone = parts[0].text if parts and parts[0].name == "ip6zone" else ""
    parts = parts[1:] if zone else parts
    if len(parts) < 2 or parts[0].name not in _FAMILIES or parts[1].name != carrier:
        return None, ()
    host = f"{parts[0].text}%{zone}" if zone else parts[0].text
    return (host, int(parts[1].text), _FAMILIES[parts[0].name]), parts[2:]


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def tcp_address(socket_name: tuple[str, int] | tuple[str, int, int, int]) -> Multiaddr:
    """The multiaddr of an address pair as the socket module gives it."""
    return _tcp_address(socket_name[0], socket_name[1])


@lru_cache(maxsize=256)
def _tcp_address(text: str, port: int) -> Multiaddr:
    """One end of most connections is the same: where this node listens, or what it dials."""
    host, _, zone = text.partition("%")
    family, code = (socket.AF_INET6, IP6) if ":" in host else (socket.AF_INET, IP4)
    address = Multiaddr.of((code, socket.inet_pton(family, host)), (TCP, port.to_bytes(2, "big")))
    return Multiaddr.parse(f"/ip6zone/{zone}{address}") if zone else address


def udp_address(socket_name: tuple[str, int] | tuple[str, int, int, int]) -> Multiaddr:
    """`/ip4|ip6/…/udp/…` of an address as the socket module gives it, the zone of a link-local one by name."""
    host, port = socket_name[:2]
    if len(socket_name) == 4 and socket_name[3] and "%" not in host:
        host = f"{host}%{_zone(socket_name[3])}"
    return Multiaddr.from_udp(host, port)


def quic_address(socket_name: tuple[str, int] | tuple[str, int, int, int]) -> Multiaddr:
    """`/ip4|ip6/…/udp/…/quic-v1` of an address as the socket module gives it."""
    return Multiaddr.parse(f"{udp_address(socket_name)}/quic-v1")


def _zone(scope_id: int) -> str:
    """An interface's name, or its number when it is gone."""
    try:
        return socket.if_indextoname(scope_id)
    except OSError:
        return str(scope_id)


def tcp_ends(transport: asyncio.BaseTransport) -> tuple[Multiaddr, Multiaddr]:
    """Local and remote address of a connected TCP transport. Raises `OSError` when it is gone already."""
    local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
    if not local or not remote:
        raise OSError("the socket was closed before it was used")
    return tcp_address(local), tcp_address(remote)


def is_unspecified(address: Multiaddr) -> bool:
    """Whether it names all interfaces (`0.0.0.0`, `::`)."""
    return any(each.value == _ANY.get(each.code) for each in address.components[:2])
