"""A UDP socket through the loop's own transport, for loops that cannot watch sockets: one datagram a call."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from mesh.network.quic.datagrams import Datagram, Sink
    from mesh.network.quic.engine import Address

HIGH_WATER_BYTES: Final = 256 * 1024
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024


class Transport(Protocol):
    """What the loop's datagram transports have."""

    def sendto(self, data: bytes, addr: Address) -> None: ...

    def abort(self) -> None: ...

    def get_write_buffer_size(self) -> int: ...

    def set_write_buffer_limits(self, high: int) -> None: ...


class TransportSocket(asyncio.DatagramProtocol):
    """The socket ``sock``, which it owns from `open` on."""

    def __init__(self, sink: Sink, name: Address) -> None:
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._settling: asyncio.Handle | None = None
        self._transport: Transport | None = None
        self.blocked = False
        self.name = name

    @classmethod
    async def open(cls, sock: socket.socket, sink: Sink) -> TransportSocket:
        """Start reading. Raises `OSError`."""
        name = sock.getsockname()
        _, opened = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: cls(sink, name), sock=sock
        )
        return opened

    def send(self, datagrams: Sequence[Datagram]) -> bool:
        transport = self._transport
        if transport is None:
            return True
        for at, (data, address) in enumerate(datagrams):
            if self.blocked and transport.get_write_buffer_size() > MAX_WAITING_BYTES:
                self._sink.lost("too many wait", len(datagrams) - at)
                break
            transport.sendto(data, address)
        return not self.blocked

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            if self._settling is not None:
                self._settling.cancel()
            self.blocked = False
            transport.abort()

    # --- what the transport calls --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if data and self._transport is not None:
            self._sink.datagrams(data, len(data), addr, monotonic())
            if self._settling is None:
                self._settling = self._loop.call_soon(self._settle)

    def error_received(self, exc: Exception) -> None:
        self._sink.lost("refused by the system", 1)

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        if self._transport is not None:
            self._sink.writable()

    def _settle(self) -> None:
        self._settling = None
        if self._transport is not None:
            self._sink.settle()
