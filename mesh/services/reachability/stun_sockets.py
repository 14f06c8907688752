"""UDP sockets that STUN requests leave from: a listening one of QUIC's, or one of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol, Self, cast

from mesh.network.quic.engine import Address
from mesh.network.quic.transport import Port
from mesh.protocols.stun.message import HostPort, looks_like_stun

Taker = Callable[[bytes, HostPort], bool]


class StunSocket(Protocol):
    """``taker`` is offered what comes; its port is the tested one."""

    taker: Taker | None
    port: int

    def send(self, datagram: bytes, to: HostPort) -> None:
        """Send one datagram; what the system refuses is lost."""

    def close(self) -> None:
        """Take no more."""


class SharedSocket:
    """A listening socket of QUIC's. STUN's first two bits are zero, QUIC's never, so both share it (RFC 9443)."""

    def __init__(self, port: Port) -> None:
        self._endpoint = port.endpoint
        self.port = port.endpoint.local[1]
        self.taker: Taker | None = None
        port.endpoint.stray = self._offer

    def send(self, datagram: bytes, to: HostPort) -> None:
        if not self._endpoint.closed:
            self._endpoint.send([(datagram, _numeric(to, socket.SOCK_DGRAM))])

    def close(self) -> None:
        self._endpoint.stray = None

    def _offer(self, datagram: bytes, source: Address) -> bool:
        if self.taker is None or not looks_like_stun(datagram):
            return False
        return self.taker(datagram, (source[0], source[1]))


class OwnSocket(asyncio.DatagramProtocol):
    """A fresh socket on a free port."""

    def __init__(self) -> None:
        self.taker: Taker | None = None
        self._transport: asyncio.DatagramTransport
        self.port = 0

    @classmethod
    async def open(cls, family: int) -> Self:
        """Bind to a free port of every host. Raises `OSError`."""
        any_host = "::" if family == socket.AF_INET6 else "0.0.0.0"
        loop = asyncio.get_running_loop()
        _, own = await loop.create_datagram_endpoint(cls, (any_host, 0), family=family)
        return own

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if self.taker is not None and looks_like_stun(data):
            self.taker(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """Nobody there: the silence will tell."""

    def send(self, datagram: bytes, to: HostPort) -> None:
        self._transport.sendto(datagram, _numeric(to, socket.SOCK_DGRAM))

    def close(self) -> None:
        self._transport.close()


def _numeric(to: HostPort, kind: int) -> Address:
    return cast("Address", socket.getaddrinfo(*to, type=kind, flags=socket.AI_NUMERICHOST)[0][4])
