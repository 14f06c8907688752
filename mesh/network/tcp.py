"""TCP over IPv4 and IPv6 (`/ip4/…/tcp/…`, `/ip6/…/tcp/…`, and names)."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from mesh.errors import AddressInUse, UsageError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import TcpEndpoint, tcp_address, tcp_endpoint, tcp_ends
from mesh.network.connection import Connection
from mesh.network.port_reuse import Name, can_reuse, connect_from, listening_socket, reaches


class TcpListener:
    """A listening socket; closing it leaves its connections alone. ``closed`` is called then."""

    __slots__ = ("_closed", "_server", "addresses")

    def __init__(self, server: asyncio.Server, closed: Callable[[], None]) -> None:
        self._server = server
        self._closed = closed
        self.addresses: tuple[Multiaddr, ...] = tuple(
            tcp_address(each.getsockname()) for each in server.sockets
        )

    async def close(self) -> None:
        self._closed()
        self._server.close()


class TcpTransport:
    """Dials and listens. ``backlog`` is what the system may queue for a listener; with ``reuse_port`` dials leave from
    the port of one."""

    __slots__ = ("_backlog", "_listening", "_reuse_port")

    name = "tcp"

    def __init__(self, backlog: int, *, reuse_port: bool = False) -> None:
        self._backlog = backlog
        self._reuse_port = reuse_port and can_reuse()
        self._listening: list[Name] = []

    def handles(self, address: Multiaddr) -> bool:
        return tcp_endpoint(address) is not None

    async def dial(self, address: Multiaddr, connection: Connection) -> None:
        endpoint = _endpoint(address)
        connection.find_ends = tcp_ends
        sources = () if connection.from_any_port else self._listening
        source = next((each for each in sources if reaches(each, endpoint)), None)
        ready = None if source is None else await connect_from(source, endpoint)
        await connect(connection, connection.take_bytes, endpoint, ready)

    async def listen(self, address: Multiaddr, accept: Callable[[], Connection]) -> TcpListener:
        endpoint = _endpoint(address)

        def factory() -> asyncio.BaseProtocol:
            connection = accept()
            connection.find_ends = tcp_ends
            return connection.take_bytes()

        try:
            server = await self._serve(factory, endpoint)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(
                    f"{address}: another program listens there; choose another port, or 0 for a free one"
                ) from error
            raise
        names = [each.getsockname() for each in server.sockets] if self._reuse_port else []
        self._listening += names

        def closed() -> None:
            self._listening = [each for each in self._listening if each not in names]

        return TcpListener(server, closed)

    async def _serve(
        self, factory: Callable[[], asyncio.BaseProtocol], endpoint: TcpEndpoint
    ) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if not self._reuse_port:
            return await loop.create_server(
                factory, endpoint.host, endpoint.port, family=endpoint.family, backlog=self._backlog
            )
        sock = listening_socket(endpoint)
        try:
            return await loop.create_server(factory, sock=sock, backlog=self._backlog)
        except BaseException:
            sock.close()
            raise


async def connect(
    connection: Connection,
    protocol: Callable[[], asyncio.BaseProtocol],
    endpoint: TcpEndpoint,
    ready: socket.socket | None = None,
) -> None:
    """A TCP connection for ``protocol``, the lowest layer of ``connection``; over the socket ``ready`` if there is one.

    Cancelled just after it was made, uvloop closes it without a word to the protocol, which is therefore told here.
    """
    layers: list[asyncio.BaseProtocol] = []

    def made() -> asyncio.BaseProtocol:
        layers.append(protocol())
        return layers[-1]

    loop = asyncio.get_running_loop()
    try:
        if ready is None:
            await loop.create_connection(made, endpoint.host, endpoint.port, family=endpoint.family)
        else:
            await loop.create_connection(made, sock=ready)
    except asyncio.CancelledError:
        if layers and hasattr(connection, "remote"):
            layers[-1].connection_lost(None)
        elif ready is not None and not layers:
            ready.close()
        raise


def _endpoint(address: Multiaddr) -> TcpEndpoint:
    endpoint = tcp_endpoint(address)
    if endpoint is None:
        raise UsageError(f"{address} is not a TCP address")
    return endpoint
