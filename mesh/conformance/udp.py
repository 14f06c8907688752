"""Datagrams to the target and back, counted and on record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_address
from typing import cast

from mesh.conformance.verdict import Unprepared
from mesh.conformance.waiting import Awaited
from mesh.conformance.wire_log import WireLog
from mesh.network.addresses import QuicEndpoint

MAX_KEPT = 1000


class Datagrams(Awaited, asyncio.DatagramProtocol):
    """A UDP socket of our own for one target. ``received`` is kept until ``on_datagram`` takes what comes."""

    def __init__(self, remote: tuple[str, int], log: WireLog, limit_s: float) -> None:
        super().__init__("UDP socket", log, limit_s)
        self.remote = remote
        self.received: list[bytes] = []
        self.sent_bytes = 0
        self.received_bytes = 0
        self.on_datagram: Callable[[bytes], None] | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str | object, int]) -> None:
        if address[:2] != self.remote:
            return
        self.received_bytes += len(data)
        self.log.received("udp", data)
        if self.on_datagram is not None:
            self.on_datagram(data)
        elif len(self.received) < MAX_KEPT:
            self.received.append(data)
        self.changed()

    def error_received(self, error: Exception) -> None:
        self.log.note("udp", f"error: {error}")

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self.sent_bytes += len(data)
            self.log.sent("udp", data)
            self._transport.sendto(data, self.remote)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def answers(self, within_s: float) -> list[bytes]:
        """What comes within this time, which is always waited out."""
        await asyncio.sleep(within_s)
        return self.received

    async def first(self, what: str) -> bytes:
        """The first datagram. Raises `Deviation` when none comes."""
        return await self.until(lambda: self.received[0] if self.received else None, what)


async def _numeric(endpoint: QuicEndpoint) -> tuple[str, int]:
    try:
        return str(ip_address(endpoint.host)), endpoint.port
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(
            endpoint.host, endpoint.port, family=endpoint.family
        )
        return str(found[0][4][0]), endpoint.port


async def open_socket(endpoint: QuicEndpoint, log: WireLog, limit_s: float) -> Datagrams:
    """A new socket, on a port of its own."""
    loop = asyncio.get_running_loop()
    try:
        remote = await _numeric(endpoint)
        local = ("::" if ":" in remote[0] else "0.0.0.0", 0)
        _, datagrams = await loop.create_datagram_endpoint(
            lambda: Datagrams(remote, log, limit_s), local_addr=local
        )
    except OSError as error:
        raise Unprepared(f"no UDP socket: {error}") from None
    return datagrams
