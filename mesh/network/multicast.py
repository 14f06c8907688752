"""Datagrams to everybody on a link: which interfaces to use, and a socket on each for IPv4 and for IPv6.

A socket is bound to the group's own address where the system allows that, so that nothing from beyond the link can
reach it, and takes what arrives over its own interface alone.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import ifaddr

from mesh.multiformats.ip_ranges import is_loopback
from mesh.multiformats.multiaddr import Multiaddr

log = logging.getLogger(__name__)

GROUPS: Final = {socket.AF_INET: "224.0.0.251", socket.AF_INET6: "ff02::fb"}
PORT: Final = 5353
HOPS: Final = 255
CONTAINER_BRIDGES: Final = (
    *("docker*", "br-*", "veth*", "virbr*", "vmnet*", "vboxnet*", "lxcbr*", "lxdbr*"),
    *("cni*", "flannel*", "cali*", "podman*", "kube*"),
)
"""Names of what programs make for their containers and machines; a peer there is this machine's own affair."""
_IP_MULTICAST_ALL: Final = 49
_IPV6_MULTICAST_ALL: Final = 29

Receive = Callable[[bytes, str], None]


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface and its addresses."""

    name: str
    index: int
    four: tuple[str, ...]
    six: tuple[str, ...]

    @property
    def is_loopback(self) -> bool:
        return any(is_loopback(Multiaddr.parse(f"/ip4/{each}")) for each in self.four)

    @property
    def families(self) -> tuple[socket.AddressFamily, ...]:
        """What a socket can be opened for."""
        four = (socket.AF_INET,) if self.four else ()
        return (*four, socket.AF_INET6) if self.six else four


def interfaces() -> list[Interface]:
    """Every interface that has an address and a number."""
    found = []
    for adapter in ifaddr.get_adapters():
        four = tuple(each.ip for each in adapter.ips if isinstance(each.ip, str))
        six = tuple(each.ip[0] for each in adapter.ips if not isinstance(each.ip, str))
        if adapter.index is not None and (four or six):
            found.append(Interface(adapter.name.partition(":")[0], adapter.index, four, six))
    return _merged(found)


def why_not(interface: Interface, wanted: tuple[str, ...]) -> str:
    """Why an interface is left out; empty when it is used. ``wanted`` are names, patterns or addresses; without any, all
    but loopback and the bridges of containers are."""
    if wanted:
        named = {interface.name, *interface.four, *interface.six}
        if any(fnmatch.fnmatchcase(each, pattern) for each in named for pattern in wanted):
            return ""
        return "not among the chosen ones"
    if interface.is_loopback:
        return "loopback"
    if any(fnmatch.fnmatchcase(interface.name, pattern) for pattern in CONTAINER_BRIDGES):
        return "a bridge of containers"
    return ""


class MulticastLink:
    """The sockets on one interface. ``receive`` gets each datagram and its sender's host; ``failures`` says what could
    not be opened or sent, the latest last."""

    def __init__(self, interface: Interface, receive: Receive, port: int = PORT) -> None:
        self.interface = interface
        self.failures: dict[str, str] = {}
        self._receive = receive
        self._port = port
        self._transports: dict[socket.AddressFamily, asyncio.DatagramTransport] = {}

    @property
    def families(self) -> tuple[str, ...]:
        """`ip4`, `ip6`: those that work."""
        return tuple("ip4" if each is socket.AF_INET else "ip6" for each in self._transports)

    async def open(self) -> bool:
        """Open what can be opened; whether that is anything."""
        loop = asyncio.get_running_loop()
        for family in self.interface.families:
            name = "ip4" if family is socket.AF_INET else "ip6"
            try:
                bound = _bound_socket(family, self.interface, self._port)
            except OSError as error:
                self.failures[name] = f"cannot join {GROUPS[family]}: {error.strerror or error}"
                continue
            transport, _ = await loop.create_datagram_endpoint(
                lambda name=name: _Receiver(self, name),  # type: ignore[misc]
                sock=bound,
            )
            self._transports[family] = transport
        return bool(self._transports)

    def send(self, packet: bytes) -> None:
        """Send to the group over each family; what fails is kept in ``failures``."""
        for family, transport in self._transports.items():
            scope = (0, self.interface.index) if family is socket.AF_INET6 else ()
            transport.sendto(packet, (GROUPS[family], self._port, *scope))

    def close(self) -> None:
        """Let go of the sockets, once what was sent has left."""
        for transport in self._transports.values():
            transport.close()
        self._transports.clear()

    def received(self, data: bytes, host: str) -> None:
        self._receive(data, host)


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, link: MulticastLink, family: str) -> None:
        self._link = link
        self._family = family

    def datagram_received(self, data: bytes, address: tuple[str | object, int]) -> None:
        self._link.received(data, str(address[0]))

    def error_received(self, error: Exception) -> None:
        reason = f"cannot send: {getattr(error, 'strerror', None) or error}"
        if self._link.failures.get(self._family) != reason:
            log.info("multicast on %s: %s", self._link.interface.name, reason)
        self._link.failures[self._family] = reason


def _bound_socket(family: socket.AddressFamily, interface: Interface, port: int) -> socket.socket:
    """A socket that sends to the group over one interface and hears it there. Raises OSError."""
    group = GROUPS[family]
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family is socket.AF_INET:
            _join_four(made, group, interface)
            made.bind(("" if os.name == "nt" else group, port))
        else:
            _join_six(made, group, interface)
            made.bind(("::", port) if os.name == "nt" else (group, port, 0, interface.index))
    except BaseException:
        made.close()
        raise
    return made


def _join_four(made: socket.socket, group: str, interface: Interface) -> None:
    packed, local = socket.inet_aton(group), socket.inet_aton(interface.four[0])
    if os.name == "nt":
        member, through = packed + local, local
    else:
        member = struct.pack("4s4si", packed, local, interface.index)
        through = struct.pack("4s4si", bytes(4), local, interface.index)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, through)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    if sys.platform == "linux":
        made.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)


def _join_six(made: socket.socket, group: str, interface: Interface) -> None:
    member = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", interface.index)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
    if sys.platform == "linux":
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)


def _merged(found: list[Interface]) -> list[Interface]:
    """Aliases (`eth0:1`) are the interface itself."""
    by_index: dict[int, Interface] = {}
    for each in found:
        known = by_index.get(each.index)
        four = (*known.four, *each.four) if known else each.four
        six = (*known.six, *each.six) if known else each.six
        by_index[each.index] = Interface(known.name if known else each.name, each.index, four, six)
    return list(by_index.values())
