"""WebSocket over TCP (`…/tcp/N/ws`) and over TLS (`…/wss`, `…/tls/ws`, `…/tls/sni/<name>/ws`).

Certificates are real ones: of the name in `sni`, else of the host. What is inside is the same stack as on TCP. The
`websockets` package is imported by the first address of this kind.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.errors import AddressInUse, UsageError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import WebSocketEndpoint, tcp_address, tcp_ends, websocket_endpoint
from mesh.network.connection import Connection
from mesh.network.tcp import connect

if TYPE_CHECKING:
    from mesh.network.layer import Layer


class WebSocketListener:
    """A listening socket; closing it leaves its connections alone."""

    __slots__ = ("_server", "addresses")

    def __init__(self, server: asyncio.Server, suffix: str) -> None:
        self._server = server
        self.addresses: tuple[Multiaddr, ...] = tuple(
            tcp_address(each.getsockname()) / suffix for each in server.sockets
        )

    async def close(self) -> None:
        self._server.close()


class WebSocketTransport:
    """Dials and listens.

    ``backlog`` is what the system may queue for a listener. ``certificate`` and ``key`` are PEM files for listening over
    TLS, ``trust`` one with further authorities for dialling. Raises `ConfigError` for a file that cannot be used.
    """

    __slots__ = ("_backlog", "_certificate", "_client", "_key", "_server", "_trust")

    name = "websocket"

    def __init__(
        self,
        backlog: int,
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        trust: Path | None = None,
    ) -> None:
        self._backlog = backlog
        self._certificate = certificate
        self._key = key
        self._trust = trust
        self._server: ssl.SSLContext | None = None
        self._client: ssl.SSLContext | None = None
        if certificate is not None or key is not None:
            self._server_context()
        if trust is not None:
            self._client_context()

    def handles(self, address: Multiaddr) -> bool:
        return websocket_endpoint(address) is not None

    async def dial(self, address: Multiaddr, connection: Connection) -> None:
        """Connect; both handshakes go on in the connection's upgrade."""
        endpoint = _endpoint(address)
        context = self._client_context() if endpoint.secure else None
        connection.find_ends = _ends(endpoint.plain_suffix, endpoint.suffix)
        await connect(connection, lambda: _layers(connection, endpoint, context), endpoint.tcp)

    async def listen(self, address: Multiaddr, accept: Callable[[], Connection]) -> WebSocketListener:
        """As `Transport.listen`; also raises `ConfigError` for an address over TLS without a certificate."""
        endpoint = _endpoint(address)
        context = self._server_context() if endpoint.secure else None
        ends = _ends(endpoint.plain_suffix, endpoint.plain_suffix)

        def factory() -> asyncio.BaseProtocol:
            connection = accept()
            connection.find_ends = ends
            return _layers(connection, None, context)

        try:
            server = await asyncio.get_running_loop().create_server(
                factory,
                endpoint.tcp.host,
                endpoint.tcp.port,
                family=endpoint.tcp.family,
                backlog=self._backlog,
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(
                    f"{address}: another program listens there; choose another port, or 0 for a free one"
                ) from error
            raise
        return WebSocketListener(server, endpoint.listen_suffix)

    def _server_context(self) -> ssl.SSLContext:
        from mesh.network.websocket_tls import server_context

        if self._server is None:
            self._server = server_context(self._certificate, self._key)
        return self._server

    def _client_context(self) -> ssl.SSLContext:
        from mesh.network.websocket_tls import client_context

        if self._client is None:
            self._client = client_context(self._trust)
        return self._client


def _layers(
    connection: Connection, endpoint: WebSocketEndpoint | None, context: ssl.SSLContext | None
) -> Layer:
    """What goes between a socket and a connection's driver; ``endpoint`` is where a dialer connects to."""
    from mesh.network.websocket_handshake import Handshake
    from mesh.network.websocket_pipe import WebSocketPipe

    pipe = WebSocketPipe(
        connection.take_bytes(), Handshake(endpoint), dialer=endpoint is not None, secure=context is not None
    )
    if context is None:
        return pipe
    from mesh.network.websocket_tls import TlsLayer

    return TlsLayer(pipe, context, None if endpoint is None else endpoint.name)


def _ends(own: str, remote: str) -> Callable[[asyncio.BaseTransport], tuple[Multiaddr, Multiaddr]]:
    """Finds the addresses of both ends; each gets what stands behind the port."""

    def find(transport: asyncio.BaseTransport) -> tuple[Multiaddr, Multiaddr]:
        here, there = tcp_ends(transport)
        return here / own, there / remote

    return find


def _endpoint(address: Multiaddr) -> WebSocketEndpoint:
    endpoint = websocket_endpoint(address)
    if endpoint is None:
        raise UsageError(f"{address} is not a WebSocket address")
    return endpoint
