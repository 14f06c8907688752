"""`/ipfs/ping/1.0.0`: 32 bytes there, the same 32 back, repeated on one stream (libp2p ping)."""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections.abc import AsyncIterator

from mesh.codecs.ping import PING_BYTES
from mesh.errors import Closed, MeshError, PeerError, StreamReset
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.yamux import ResetCode

PROTOCOL_ID = "/ipfs/ping/1.0.0"
IDLE_S = 10.0
MAX_INBOUND_STREAMS = 2
"""Per connection; a third is reset with the code for a resource limit, as go does."""


class Ping:
    """Responder and initiator. ``timeout_s``: an answer later than this is a lost ping."""

    __slots__ = ("_serving", "_timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._serving: dict[Connection, int] = {}

    async def serve(self, stream: Stream) -> None:
        """Echo whole payloads until the peer ends its side or is silent for 10 s."""
        connection = stream.connection
        serving = self._serving.get(connection, 0)
        if serving >= MAX_INBOUND_STREAMS:
            raise PeerError(
                f"ping: more than {MAX_INBOUND_STREAMS} streams at once",
                protocol=PROTOCOL_ID,
                wire_code=ResetCode.RESOURCE_LIMIT,
            )
        self._serving[connection] = serving + 1
        try:
            await self._echo(stream)
        except TimeoutError:
            return
        finally:
            self._serving[connection] -= 1
            if not self._serving[connection]:
                del self._serving[connection]

    async def ping(
        self, connection: Connection, count: int | None = None, interval_s: float = 1.0
    ) -> AsyncIterator[float | None]:
        """Round trips in seconds, None for a lost one; ``count`` None goes on for ever, interval 0 is back to back.

        A stream that the peer ends is replaced and its ping sent again. Raises `Closed` when the connection has ended.
        """
        stream: Stream | None = None
        sent = 0
        loop = asyncio.get_running_loop()
        try:
            while count is None or sent < count:
                started = loop.time()
                if stream is None:
                    stream = await self._open(connection)
                try:
                    round_trip = await self._exchange(stream)
                except (Closed, StreamReset):
                    await stream.close()
                    stream = await self._open(connection)
                    round_trip = await self._exchange_last(stream)
                if round_trip is None:
                    stream.reset()
                    stream = None
                sent += 1
                yield round_trip
                if interval_s and sent != count:
                    await asyncio.sleep(max(0.0, started + interval_s - loop.time()))
        finally:
            if stream is not None:
                await stream.close()

    async def _echo(self, stream: Stream) -> None:
        loop = asyncio.get_running_loop()
        rest = b""
        async with asyncio.timeout(IDLE_S) as idle:
            while chunk := await stream.read():
                rest += chunk
                whole = len(rest) - len(rest) % PING_BYTES
                if whole:
                    await stream.write(rest[:whole])
                    rest = rest[whole:]
                    deadline = idle.when()
                    if deadline is not None and loop.time() + IDLE_S - deadline > 1.0:
                        idle.reschedule(loop.time() + IDLE_S)

    async def _open(self, connection: Connection) -> Stream:
        known = connection.remote_protocols is not None and PROTOCOL_ID in connection.remote_protocols
        return await connection.open([PROTOCOL_ID], optimistic=known)

    async def _exchange(self, stream: Stream) -> float | None:
        payload = os.urandom(PING_BYTES)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s):
                await stream.write(payload)
                answer = await stream.read_exactly(PING_BYTES)
        except TimeoutError:
            return None
        if not hmac.compare_digest(answer, payload):
            raise PeerError("ping: the answer differs from what was sent", protocol=PROTOCOL_ID)
        return time.perf_counter() - started

    async def _exchange_last(self, stream: Stream) -> float | None:
        """A ping on a fresh stream: its end now means that the ping is lost, unless the connection has gone."""
        try:
            return await self._exchange(stream)
        except MeshError:
            if stream.connection.closed:
                raise
            return None
