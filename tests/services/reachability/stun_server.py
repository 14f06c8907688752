"""A STUN server on loopback with two addresses and two ports, honest or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self, cast

from mesh.protocols.stun.message import HostPort, Request, answer_request, write_error, write_success

HOSTS = ("127.0.0.1", "127.0.0.2")
Lie = Callable[["StunServer", bytes, HostPort], bool]
"""Called with each datagram and its source; true when it answered in its own way."""


class _Socket(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def __init__(self, server: StunServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: HostPort) -> None:
        self._server.received(self, data, addr)


class StunServer:
    """``sockets`` by host and port number (0 or 1). ``plain`` tells no second address; ``filters`` drops answers from
    other sockets than the asked one, as a NAT would; ``maps`` shows each socket of ours another port."""

    def __init__(
        self,
        *,
        plain: bool = False,
        filters: bool = False,
        maps: bool = False,
        error: int = 0,
        lie: Lie | None = None,
    ) -> None:
        self.sockets: dict[tuple[int, int], _Socket] = {}
        self.requests = 0
        self._plain, self._filters, self._maps, self._error, self._lie = plain, filters, maps, error, lie

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        ports = [0, 0]
        for host in (0, 1):
            for port in (0, 1):
                _, own = await loop.create_datagram_endpoint(
                    lambda: _Socket(self), local_addr=(HOSTS[host], ports[port])
                )
                self.sockets[host, port] = own
                ports[port] = self.name(host, port)[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        for each in self.sockets.values():
            each.transport.close()

    def name(self, host: int = 0, port: int = 0) -> HostPort:
        return cast("HostPort", self.sockets[host, port].transport.get_extra_info("sockname"))

    @property
    def setting(self) -> str:
        return "{}:{}".format(*self.name())

    def send(self, data: bytes, to: HostPort, host: int = 0, port: int = 0) -> None:
        self.sockets[host, port].transport.sendto(data, to)

    def received(self, own: _Socket, data: bytes, source: HostPort) -> None:
        self.requests += 1
        if self._lie is not None and self._lie(self, data, source):
            return
        host, port = next(place for place, each in self.sockets.items() if each is own)

        def respond(request: Request) -> bytes | None:
            nonlocal host, port
            if self._error:
                return write_error(request.transaction_id, self._error, "no")
            seen = (source[0], source[1] ^ (2 * host + port) if self._maps else source[1])
            other = None if self._plain else self.name(1 - host, 1 - port)
            if (request.change_address or request.change_port) and self._filters:
                return None
            host, port = host ^ request.change_address, port ^ request.change_port
            return write_success(request.transaction_id, seen, other=other)

        answer = answer_request(data, respond)
        if answer is not None:
            self.send(answer, source, host, port)
