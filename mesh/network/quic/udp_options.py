"""What UDP sockets can be told, by platform; everything here is optional but `bind`.

The socket module lacks most of these numbers. They are part of each system's binary interface and never change.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from typing import Final, cast

from mesh.network.quic.engine import Address

SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
ANCILLARY_BYTES: Final = 128
SOCKET_BUFFER_BYTES: Final = 4 * 1024 * 1024

_ERROR_BYTES: Final = 512
_ALL: Final = frozenset(("0.0.0.0", "::"))
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_ORIGINS: Final = frozenset((2, 3))
"""Errors that came over the network, by ICMP or ICMPv6."""

_NO_FRAGMENTS: Final[dict[tuple[str, int], tuple[int, int, int]]] = {
    ("linux", socket.AF_INET): (socket.IPPROTO_IP, 10, 3),  # IP_MTU_DISCOVER, IP_PMTUDISC_PROBE
    ("linux", socket.AF_INET6): (socket.IPPROTO_IPV6, 23, 3),
    ("darwin", socket.AF_INET): (socket.IPPROTO_IP, 28, 1),  # IP_DONTFRAG
    ("darwin", socket.AF_INET6): (socket.IPPROTO_IPV6, 62, 1),
    ("win32", socket.AF_INET): (socket.IPPROTO_IP, 14, 1),
    ("win32", socket.AF_INET6): (socket.IPPROTO_IPV6, 14, 1),
}
_TELL_LOCAL: Final[dict[tuple[str, int], tuple[int, int, int]]] = {
    ("linux", socket.AF_INET): (socket.IPPROTO_IP, 8, 1),  # IP_PKTINFO
    ("linux", socket.AF_INET6): (socket.IPPROTO_IPV6, 49, 1),  # IPV6_RECVPKTINFO
}
_REPORT_ERRORS: Final[dict[tuple[str, int], tuple[int, int, int]]] = {
    ("linux", socket.AF_INET): (socket.IPPROTO_IP, 11, 1),  # IP_RECVERR
    ("linux", socket.AF_INET6): (socket.IPPROTO_IPV6, 25, 1),
}


async def resolve(host: str, port: int, family: int) -> tuple[int, Address]:
    """The first address of a name or number, with its family, as `Endpoint.send` wants it. Raises `OSError`.

    Numbers, with a zone or without, are read at once; names are looked up by the system.
    """
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
    return found[0][0], cast(Address, found[0][4])


async def bind(host: str, port: int, family: int) -> socket.socket:
    """A non-blocking UDP socket bound to ``host`` and ``port`` (0 for any), that never sends fragments.

    An IPv6 socket is for IPv6 alone. Raises `OSError`.
    """
    family, address = await resolve(host, port, family)
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            _set(sock, (socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES))
        _set(sock, _NO_FRAGMENTS.get((sys.platform, family)))
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def can_segment(sock: socket.socket) -> bool:
    """Whether one call may send several datagrams (Linux 4.18)."""
    if sys.platform != "linux":
        return False
    try:
        sock.getsockopt(SOL_UDP, UDP_SEGMENT)
    except OSError:
        return False
    return True


def coalesce(sock: socket.socket) -> bool:
    """Ask for datagrams to be joined on arrival (Linux 5.0); whether they will be."""
    return sys.platform == "linux" and _set(sock, (SOL_UDP, UDP_GRO, 1))


def tell_local(sock: socket.socket) -> bool:
    """Ask for the local address that each datagram came to, if the socket is bound to all; whether it will be told."""
    return sock.getsockname()[0] in _ALL and _set(sock, _TELL_LOCAL.get((sys.platform, sock.family)))


def report_errors(sock: socket.socket) -> bool:
    """Ask for ICMP errors with their address; whether `take_error` will give them."""
    return _set(sock, _REPORT_ERRORS.get((sys.platform, sock.family)))


def take_error(sock: socket.socket) -> tuple[Address, OSError] | None:
    """The next error that waits: where a datagram went and what the network said about it.

    None for one of this machine's own. Raises `OSError` when there is no more.
    """
    _, ancillary, _, address = sock.recvmsg(0, _ERROR_BYTES, socket.MSG_ERRQUEUE)
    level, kind, _ = _REPORT_ERRORS[sys.platform, sock.family]
    for found_level, found_kind, data in ancillary:
        if (found_level, found_kind) == (level, kind) and len(data) >= _EXTENDED_ERROR.size:
            number, origin, *_ = _EXTENDED_ERROR.unpack_from(data)
            if origin in _ORIGINS and address:
                return address, OSError(number, os.strerror(number))
    return None


def _set(sock: socket.socket, option: tuple[int, int, int] | None) -> bool:
    """Whether the system took an option."""
    if option is None:
        return False
    try:
        sock.setsockopt(*option)
    except OSError:
        return False
    return True
