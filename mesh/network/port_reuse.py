"""TCP dials that leave from the port this node listens on: who is dialled then sees the address a hole punch needs.

Both sockets say SO_REUSEADDR and SO_REUSEPORT. A listener says the second one only after it was bound, so that a port
which another program has is still an error. What the system will not have (the same four-tuple once more, EADDRNOTAVAIL)
leaves from a port of its own.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from typing import Final

from mesh.network.addresses import TcpEndpoint

Name = tuple[str, int] | tuple[str, int, int, int]
"""Of a socket, as the socket module gives it."""

_TAKEN: Final = frozenset((errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EINVAL))
_ANY: Final = frozenset(("0.0.0.0", "::"))


def can_reuse() -> bool:
    """Whether this system shares a port among sockets that say so."""
    return hasattr(socket, "SO_REUSEPORT") and sys.platform != "win32"


def listening_socket(endpoint: TcpEndpoint) -> socket.socket:
    """A bound socket whose port dials may share; ``endpoint`` has a numeric host. Raises `OSError`."""
    found = socket.getaddrinfo(
        endpoint.host, endpoint.port, endpoint.family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
    )
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def reaches(name: Name, endpoint: TcpEndpoint) -> bool:
    """Whether a dial of ``endpoint`` can leave from a listener of that name."""
    if (":" in name[0]) != (":" in endpoint.host):
        return False
    return name[0] in _ANY or _is_loopback(name[0]) == _is_loopback(endpoint.host)


async def connect_from(name: Name, endpoint: TcpEndpoint) -> socket.socket | None:
    """A socket connected to ``endpoint`` from the listener's address; None where the system will not have that.

    Raises `OSError` for what the peer or the network did.
    """
    try:
        found = socket.getaddrinfo(
            endpoint.host, endpoint.port, endpoint.family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST
        )
    except socket.gaierror:
        return None
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(name)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError as error:
        sock.close()
        if error.errno in _TAKEN:
            return None
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"
