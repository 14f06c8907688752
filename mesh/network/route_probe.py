"""The way to an address, asked with datagrams of a short life: which routers answer, and how long packets may be.

Routers tell the sender of a datagram whose life ends with them (RFC 792, RFC 4443), and Linux hands such words to the
socket, whoever runs it. Where the system does not, and where routers are silent, nothing is learnt.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mesh.network.quic.udp_options import report_errors

PORT: Final = 33434
"""Where nobody listens: the far end tells that as well."""
MAX_DISTANCE: Final = 4
WAIT_S: Final = 1.0
LOOK_S: Final = 0.02
SMALL_BYTES: Final = 64
FULL_BYTES: Final = 1280
SHORTER_BYTES: Final = (1200, 1100, 1000)
"""IP packets tried where those of `FULL_BYTES` are lost; QUIC's first ones have at least 1228 bytes."""

_ERRORS: Final = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_LIFE: Final = {socket.AF_INET: (socket.IPPROTO_IP, 2), socket.AF_INET6: (socket.IPPROTO_IPV6, 16)}
_WHOLE: Final = {socket.AF_INET: (socket.IPPROTO_IP, 10, 3), socket.AF_INET6: (socket.IPPROTO_IPV6, 23, 3)}
_HEADERS_BYTES: Final = {socket.AF_INET: 28, socket.AF_INET6: 48}
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
_BY_ICMP: Final = frozenset((2, 3))
_READ_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Route:
    """``routers`` by their distance; ``longest_bytes`` is the longest packet that came beyond the first one, 0 when none
    did."""

    routers: dict[int, str]
    longest_bytes: int

    @property
    def beyond(self) -> bool:
        """Whether a datagram came further than to the first router."""
        return any(distance > 1 for distance in self.routers)


async def probe_route(host: str) -> Route:
    """Ask the way to a numeric address; takes a second or two."""
    if sys.platform != "linux":
        return Route({}, 0)
    asked = [(each, size) for each in range(1, MAX_DISTANCE + 1) for size in (SMALL_BYTES, FULL_BYTES)]
    found = await _ask(host, asked)
    if not any(distance > 1 for distance, _ in found):
        found |= await _ask(host, asked)  # the first may be lost while routers look for each other
    routers = {distance: who for (distance, size), who in sorted(found.items()) if size == SMALL_BYTES}
    beyond = [distance for distance in routers if distance > 1]
    arrived = [size for (distance, size) in found if distance > 1]
    if beyond and FULL_BYTES not in arrived:
        further = await _ask(host, [(distance, size) for distance in beyond[:1] for size in SHORTER_BYTES])
        arrived += [size for _, size in further]
    return Route(routers, max(arrived, default=0))


async def _ask(host: str, asked: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Who answered a datagram, by distance and size. A socket each, since an answer does not say which it is for."""
    waiting: dict[int, tuple[socket.socket, tuple[int, int]]] = {}
    found: dict[tuple[int, int], str] = {}
    poll = select.poll()
    try:
        for each in asked:
            sock = _sent(host, *each)
            if sock is not None:
                waiting[sock.fileno()] = sock, each
                poll.register(sock, select.POLLERR)
        deadline = time.monotonic() + WAIT_S
        while len(found) < len(waiting) and time.monotonic() < deadline:
            for descriptor, _ in poll.poll(0):
                sock, each = waiting[descriptor]
                poll.unregister(descriptor)
                who = _told_by(sock)
                if who:
                    found[each] = who
            await asyncio.sleep(LOOK_S)
        return found
    finally:
        for sock, _ in waiting.values():
            sock.close()


def _sent(host: str, distance: int, size: int) -> socket.socket | None:
    """The socket a datagram left from; None where it could not leave."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        report_errors(sock)
        sock.setsockopt(*_LIFE[family], distance)
        sock.setsockopt(*_WHOLE[family])
        sock.sendto(bytes(size - _HEADERS_BYTES[family]), (host, PORT + distance))
    except OSError:
        sock.close()
        return None
    return sock


def _told_by(sock: socket.socket) -> str:
    """The address of who said something about a datagram."""
    try:
        _, ancillary, _, _ = sock.recvmsg(0, _READ_BYTES, socket.MSG_ERRQUEUE)
    except OSError:
        return ""
    for level, kind, data in ancillary:
        if (level, kind) == _ERRORS[sock.family] and len(data) > _EXTENDED_ERROR.size:
            _, origin, *_ = _EXTENDED_ERROR.unpack_from(data)
            if origin in _BY_ICMP:
                return _host_of(data[_EXTENDED_ERROR.size :])
    return ""


def _host_of(address: bytes) -> str:
    """The host of a socket address as the system writes it."""
    (family,) = struct.unpack_from("=H", address)
    if family == socket.AF_INET and len(address) >= 8:
        return socket.inet_ntop(socket.AF_INET, address[4:8])
    if family == socket.AF_INET6 and len(address) >= 24:
        return socket.inet_ntop(socket.AF_INET6, address[8:24])
    return ""
