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

CHUNKED_BYTES = 4096
"""What is sent first on a connection, and leaves in chunks where chunks are asked for."""
CHUNK_PAUSE_S = 0.001
CLOSED_HERE = "closed by the harness"
_LINGER_NONE = struct.pack("ii", 1, 0)


class Wire(ByteFlow, asyncio.Protocol):
    """One TCP connection. Endings: `FIN`, `RST`, or that the harness closed it first.

    With ``chunk_bytes`` its first 4 KiB leave in pieces of that size, each for itself.
    """

    def __init__(self, log: WireLog, limit_s: float, chunk_bytes: int = 0) -> None:
        super().__init__("connection", log, limit_s)
        self._chunk_bytes = chunk_bytes
        self._chunked = 0
        self._queue = bytearray()
        self._ticking = False
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
            if self._ticking or (self._chunk_bytes and self._chunked < CHUNKED_BYTES):
                self._queue += data
                if not self._ticking:
                    self._tick()
            else:
                self.transport.write(data)

    def _tick(self) -> None:
        """Send the next chunk, or all that waits once enough has been chunked."""
        self._ticking = bool(self._queue) and not self.transport.is_closing()
        if not self._ticking:
            return
        size = self._chunk_bytes if self._chunked < CHUNKED_BYTES else len(self._queue)
        self.transport.write(bytes(self._queue[:size]))
        del self._queue[:size]
        self._chunked += size
        asyncio.get_running_loop().call_later(CHUNK_PAUSE_S, self._tick)

    def finish(self) -> None:
        """End our side: a half close. What still waits goes first, in one piece."""
        if self._queue and not self.transport.is_closing():
            self.transport.write(bytes(self._queue))
            self._queue.clear()
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
        return len(self._queue) + self.transport.get_write_buffer_size()


async def connect(
    endpoint: TcpEndpoint, log: WireLog, limit_s: float, connect_s: float, chunk_bytes: int = 0
) -> Wire:
    """A new connection. Raises `Unprepared` when there is none within ``connect_s``."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_s):
            _, wire = await loop.create_connection(
                lambda: Wire(log, limit_s, chunk_bytes), endpoint.host, endpoint.port
            )
    except OSError as error:
        raise Unprepared(f"no TCP connection: {str(error) or 'timed out'}") from None
    return wire
