"""A stream of one connection as the byte transport of another: what a circuit is to its ends.

Inward, chunks go from the stream's queue straight to the driver, in the turn in which they came. Outward, what the
stream takes at once leaves without a task; only where its window or the connection below it is full a task writes on,
and the driver above is paused as a socket would pause it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

from mesh.errors import MeshError, UsageError
from mesh.network.circuit.allowance import Allowance
from mesh.network.driver import HIGH_WATER_BYTES, Driver
from mesh.network.stream import SMALL_WRITE_BYTES, Stream
from mesh.protocols.machine import Buffer


class StreamPipe(asyncio.Transport):
    """Carries ``driver`` over ``stream``, which belongs to it from now on; ``allowance`` is told what passes."""

    __slots__ = (
        "_allowance",
        "_backlog",
        "_backlog_bytes",
        "_closing",
        "_driver",
        "_high_water",
        "_loop",
        "_lost",
        "_paused",
        "_stream",
        "_writing",
        "ended",
    )

    def __init__(self, stream: Stream, driver: Driver, allowance: Allowance | None) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._driver = driver
        self._allowance = allowance
        self._backlog: deque[Buffer] = deque()
        self._backlog_bytes = 0
        self._high_water = HIGH_WATER_BYTES
        self._paused = False
        self._writing = False
        self._closing = False
        self._lost = False
        self.ended = self._loop.create_future()
        """Done when the driver has been told that the connection is gone."""

    def begin(self) -> None:
        """Tell the driver that it is connected, and give it what came already."""
        self._driver.connection_made(self)
        if not self._lost:
            self._stream.follow(self._arrived)
            self._arrived()

    # -- towards the driver: a transport -------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high_water = HIGH_WATER_BYTES if high is None else high

    def get_write_buffer_size(self) -> int:
        return self._backlog_bytes

    def write(self, data: Buffer) -> None:
        if self._closing or not data:
            return
        if self._allowance is not None:
            self._allowance.sent_bytes += len(data)
        if not self._writing and self._stream.try_write(data):
            return
        self._backlog.append(data)
        self._backlog_bytes += len(data)
        if not self._writing:
            self._writing = True
            self._spawn()
        if self._backlog_bytes > self._high_water and not self._paused:
            self._paused = True
            self._driver.pause_writing()

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """A record's length and its body leave in one frame of the stream."""
        joined: list[Buffer] = []
        size = 0
        for each in list_of_data:
            if size + len(each) > SMALL_WRITE_BYTES:
                self.write(b"".join(joined))
                joined, size = [], 0
            joined.append(each)
            size += len(each)
        self.write(b"".join(joined))

    def close(self) -> None:
        """What was written leaves; then the stream ends in order."""
        if not self._closing:
            self._closing = True
            if not self._writing:
                self._finish()

    def abort(self) -> None:
        self._closing = True
        self._backlog.clear()
        self._backlog_bytes = 0
        if not self._lost:
            self._lose(None)
            self._stream.reset()

    # -- towards the stream ----------------------------------------------------------------------------------------------

    def _arrived(self) -> None:
        """Hand on what the stream has."""
        stream, allowance = self._stream, self._allowance
        while not self._lost:
            try:
                chunk = stream.take_chunk()
            except MeshError as error:
                self._closing = True
                self._lose(ConnectionError(str(error)))
                return
            if chunk is None:
                return
            if not chunk:
                stream.follow(None)
                self._driver.eof_received()
                self.close()
                return
            if allowance is not None:
                allowance.received_bytes += len(chunk)
            self._driver.take((chunk,))

    def _spawn(self) -> None:
        try:
            self._stream.connection.scope.spawn(self._write_on(), "circuit")
        except UsageError as error:
            self._closing = True
            self._lose(ConnectionError(str(error)))

    async def _write_on(self) -> None:
        """Write the backlog, waiting for the stream's window and for the connection below."""
        try:
            while self._backlog:
                piece = self._backlog.popleft()
                await self._stream.write(piece)
                self._backlog_bytes = max(0, self._backlog_bytes - len(piece))
                if self._paused and self._backlog_bytes <= self._high_water // 4:
                    self._paused = False
                    self._driver.resume_writing()
        except MeshError as error:
            self._closing = True
            self._lose(ConnectionError(str(error)))
            return
        finally:
            self._writing = False
        if self._closing:
            self._finish()

    def _finish(self) -> None:
        if self._lost:
            return
        self._lose(None)
        try:
            self._stream.connection.scope.spawn(self._stream.close(), "circuit")
        except UsageError:
            self._stream.reset()

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._stream.follow(None)
            self._loop.call_soon(self._tell, error)

    def _tell(self, error: Exception | None) -> None:
        self._driver.connection_lost(error)
        if not self.ended.done():
            self.ended.set_result(None)
