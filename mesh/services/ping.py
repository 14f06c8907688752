"""`/ipfs/ping/1.0.0`: 32 bytes there, the same 32 back, repeated on one stream (libp2p ping)."""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections.abc import AsyncGenerator

from mesh.codecs.ping import PING_BYTES
from mesh.errors import Closed, MeshError, PeerError, StreamReset
from mesh.network.connection import Connection
from mesh.network.stream import Stream

PROTOCOL_ID = "/ipfs/ping/1.0.0"
IDLE_S = 10.0


class Ping:
    """Responder and initiator. ``timeout_s``: an answer later than this is a lost ping."""

    __slots__ = ("_timeout_s",)

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    async def serve(self, stream: Stream) -> None:
        """Echo whole payloads until the peer ends its side or is silent for 10 s."""
        echo = _Echo(stream)
        try:
            while not echo.over:
                try:
                    async with asyncio.timeout_at(echo.heard_at + IDLE_S):
                        await echo.stuck()
                except TimeoutError:
                    if asyncio.get_running_loop().time() >= echo.heard_at + IDLE_S:
                        return
                else:
                    await stream.write(echo.take())
        finally:
            stream.follow(None)

    async def ping(
        self, connection: Connection, count: int | None = None, interval_s: float = 1.0
    ) -> AsyncGenerator[float | None, None]:
        """Round trips in seconds, None for a lost one; ``count`` None goes on for ever, interval 0 is back to back.

        A stream that the peer ends is replaced and its ping sent again. Raises `Closed` when the connection has ended.
        """
        asked: _Asked | None = None
        sent = 0
        loop = asyncio.get_running_loop()
        try:
            while count is None or sent < count:
                started = loop.time()
                if asked is None:
                    asked = await self._open(connection)
                try:
                    round_trip = await asked.exchange()
                except (Closed, StreamReset):
                    await asked.close()
                    asked = await self._open(connection)
                    round_trip = await asked.exchange_last()
                if round_trip is None:
                    asked.give_up()
                    asked = None
                sent += 1
                yield round_trip
                if interval_s and sent != count:
                    await asyncio.sleep(max(0.0, started + interval_s - loop.time()))
        finally:
            if asked is not None:
                await asked.close()

    async def _open(self, connection: Connection) -> _Asked:
        known = connection.remote_protocols is not None and PROTOCOL_ID in connection.remote_protocols
        return _Asked(
            await connection.open([PROTOCOL_ID], optimistic=known, allow_limited=True), self._timeout_s
        )


class _Echo:
    """The answering end of one ping stream: within the turn in which a ping comes, while the peer takes the answers."""

    __slots__ = ("_error", "_loop", "_rest", "_stream", "_woken", "ended", "heard_at")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._woken: asyncio.Future[None] | None = None
        self._error: MeshError | None = None
        self.ended = False
        self.heard_at = self._loop.time()
        stream.follow(self._come)
        self._come()

    @property
    def over(self) -> bool:
        """Whether the peer has ended its side, in order."""
        return self.ended and self._error is None

    async def stuck(self) -> None:
        """Wait until the stream has ended or an answer has to wait. Raises what ended the stream."""
        if len(self._rest) < PING_BYTES and not self.ended:
            self._woken = self._loop.create_future()
            try:
                await self._woken
            finally:
                self._woken = None
        if self._error is not None:
            raise self._error

    def take(self) -> bytes:
        """The answers that have to wait; those to what comes meanwhile follow at once."""
        whole = len(self._rest) - len(self._rest) % PING_BYTES
        waiting, self._rest = self._rest[:whole], self._rest[whole:]
        self._loop.call_soon(self._come)
        return waiting

    def _come(self) -> None:
        stream, woken = self._stream, self._woken
        try:
            while len(self._rest) < PING_BYTES and (chunk := stream.take_chunk()) is not None:
                self.heard_at = self._loop.time()
                if not chunk:
                    self.ended = True
                    break
                self._rest += chunk
                whole = len(self._rest) - len(self._rest) % PING_BYTES
                if whole and stream.try_write(self._rest[:whole]):
                    self._rest = self._rest[whole:]
        except MeshError as error:
            self._error = error
            self.ended = True
        if (self.ended or len(self._rest) >= PING_BYTES) and woken is not None and not woken.done():
            woken.set_result(None)


class _Asked:
    """The asking end of one ping stream. One timer watches all its pings: it looks again when the limit has passed, and
    resets the stream under a ping that is older."""

    __slots__ = ("_asked_at", "_heard_at", "_late", "_limit_s", "_stream", "_timer")

    def __init__(self, stream: Stream, limit_s: float) -> None:
        self._stream = stream
        self._limit_s = limit_s
        self._asked_at: float | None = None
        self._heard_at = 0.0
        self._late = False
        stream.follow(self._come)
        self._timer = asyncio.get_running_loop().call_later(limit_s, self._look)

    async def exchange(self) -> float | None:
        """One round trip in seconds, None when it took longer than the limit. Raises what ends the stream."""
        payload = os.urandom(PING_BYTES)
        stream = self._stream
        self._asked_at = started = time.perf_counter()
        try:
            await stream.write(payload)
            answer = await stream.read_exactly(PING_BYTES)
        except StreamReset:
            if self._late:
                return None
            raise
        finally:
            self._asked_at = None
        taken = self._heard_at - started
        if not hmac.compare_digest(answer, payload):
            raise PeerError("ping: the answer differs from what was sent", protocol=PROTOCOL_ID)
        return taken

    async def exchange_last(self) -> float | None:
        """A ping on a fresh stream: its end now means that the ping is lost, unless the connection has gone."""
        try:
            return await self.exchange()
        except MeshError:
            if self._stream.connection.closed:
                raise
            return None

    def _come(self) -> None:
        self._heard_at = time.perf_counter()

    def give_up(self) -> None:
        self._timer.cancel()
        self._stream.reset()

    async def close(self) -> None:
        self._timer.cancel()
        await self._stream.close()

    def _look(self) -> None:
        rest = self._limit_s
        if self._asked_at is not None:
            rest -= time.perf_counter() - self._asked_at
            if rest <= 0:
                self._late = True
                self._stream.reset()
                return
        self._timer = asyncio.get_running_loop().call_later(rest, self._look)
