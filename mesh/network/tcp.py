"""TCP over IPv4 and IPv6 (`/ip4/…/tcp/…`, `/ip6/…/tcp/…`, and names)."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable

from mesh.errors import AddressInUse, UsageError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import TcpEndpoint, tcp_address, tcp_endpoint, tcp_ends
from mesh.network.connection import Connection


class TcpListener:
    """A listening socket; closing it leaves its connections alone."""

    __slots__ = ("_server", "addresses")

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        self.addresses: tuple[Multiaddr, ...] = tuple(
            tcp_address(each.getsockname()) for each in server.sockets
        )

    async def close(self) -> None:
        self._server.close()


class TcpTransport:
    """Dials and listens. ``backlog`` is what the system may queue for a listener."""

    __slots__ = ("_backlog",)

    name = "tcp"

    def __init__(self, backlog: int) -> None:
        self._backlog = backlog

    def handles(self, address: Multiaddr) -> bool:
        return tcp_endpoint(address) is not None

    async def dial(self, address: Multiaddr, connection: Connection) -> None:
        endpoint = _endpoint(address)
        connection.find_ends = tcp_ends
        await connect(connection, connection.take_bytes, endpoint)

    async def listen(self, address: Multiaddr, accept: Callable[[], Connection]) -> TcpListener:
        endpoint = _endpoint(address)

        def factory() -> asyncio.BaseProtocol:
            connection = accept()
            connection.find_ends = tcp_ends
            return connection.take_bytes()

        try:
            server = await asyncio.get_running_loop().create_server(
                factory, endpoint.host, endpoint.port, family=endpoint.family, backlog=self._backlog
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(
                    f"{address}: another program listens there; choose another port, or 0 for a free one"
                ) from error
            raise
        return TcpListener(server)


async def connect(
    connection: Connection, protocol: Callable[[], asyncio.BaseProtocol], endpoint: TcpEndpoint
) -> None:
    """A TCP connection for ``protocol``, the lowest layer of ``connection``.

    Cancelled just after it was made, uvloop closes it without a word to the protocol, which is therefore told here.
    """
    layers: list[asyncio.BaseProtocol] = []

    def made() -> asyncio.BaseProtocol:
        layers.append(protocol())
        return layers[-1]

    try:
        await asyncio.get_running_loop().create_connection(
            made, endpoint.host, endpoint.port, family=endpoint.family
        )
    except asyncio.CancelledError:
        if layers and hasattr(connection, "remote"):
            layers[-1].connection_lost(None)
        raise


def _endpoint(address: Multiaddr) -> TcpEndpoint:
    endpoint = tcp_endpoint(address)
    if endpoint is None:
        raise UsageError(f"{address} is not a TCP address")
    return endpoint
