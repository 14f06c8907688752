"""A bare TCP connection to the target, with every byte and its end on record."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import cast

from mesh.conformance.verdict import Unprepared
from mesh.conformance.waiting import ByteFlow
from mesh.conformance.wire_log import WireLog
from mesh.network.addresses import TcpEndpoint

CLOSED_HERE = "closed by the harness"
_LINGER_NONE = struct.pack("ii", 1, 0)


class Wire(ByteFlow, asyncio.Protocol):
    """One TCP connection. Endings: `FIN`, `RST`, or that the harness closed it first."""

    def __init__(self, log: WireLog, limit_s: float) -> None:
        super().__init__("connection", log, limit_s)
        self._transport: asyncio.Transport | None = None
        self._finished = False

    # -- asyncio's side ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.log.note("tcp", f"connected {transport.get_extra_info('sockname')}")

    def data_received(self, data: bytes) -> None:
        self.log.received("tcp", data)
        self.feed(bytes(data))

    def eof_received(self) -> bool:
        self.end("FIN")
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.end("RST" if isinstance(error, OSError) else "FIN")

    # -- the case's side ---------------------------------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None, "the connection has been made"
        return self._transport

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing() and not self._finished:
            self.log.sent("tcp", data)
            self.transport.write(data)

    def finish(self) -> None:
        """End our side: a half close."""
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self._finished = True
            self.log.note("tcp", "FIN sent")
            self.transport.write_eof()

    def reset(self) -> None:
        """End both sides with RST."""
        raw = self.transport.get_extra_info("socket")
        if raw is not None and not self.transport.is_closing():
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        self.close()

    def close(self) -> None:
        if self.ending is None:
            self.end(CLOSED_HERE)
        self.transport.abort()

    @property
    def unsent_bytes(self) -> int:
        """What the target's window or ours keeps here."""
        return self.transport.get_write_buffer_size()


async def connect(endpoint: TcpEndpoint, log: WireLog, limit_s: float, connect_s: float) -> Wire:
    """A new connection. Raises `Unprepared` when there is none within ``connect_s``."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_s):
            _, wire = await loop.create_connection(lambda: Wire(log, limit_s), endpoint.host, endpoint.port)
    except OSError as error:
        raise Unprepared(f"no TCP connection: {str(error) or 'timed out'}") from None
    return wire
