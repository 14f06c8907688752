"""Two streams made one circuit: what comes from either goes out on the other, within the relay's limits.

Chunks go from queue to queue in the turn in which they came, uncopied and without a task. Where the other side is full a
task waits for it, and meanwhile nothing is taken: the sender's window holds it back. An idle circuit is two small
objects and a timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from mesh.errors import MeshError
from mesh.network.scope import Scope
from mesh.network.stream import SMALL_WRITE_BYTES, Stream
from mesh.protocols.machine import Buffer
from mesh.protocols.relay import Limit

MAX_SURPLUS_BYTES: Final = 256 * 1024
"""What a sender may have sent before it learns that nothing more passes: the window that every stream begins with."""


class Pipe:
    """Joins ``first`` and ``second``; ``scope`` owns its tasks, ``on_bytes`` is called with every size that passed."""

    __slots__ = ("_ended", "_scope", "_streams", "_ways", "limit", "on_bytes")

    def __init__(
        self, first: Stream, second: Stream, limit: Limit, scope: Scope, on_bytes: Callable[[int], None]
    ) -> None:
        self.limit = limit
        self.on_bytes = on_bytes
        self._scope = scope
        self._streams = (first, second)
        self._ways = (_Way(self, first, second), _Way(self, second, first))
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(self) -> str:
        """Pass on until both ends have ended (`closed`), one failed (`reset`) or the time is over (`expired`), which
        resets both streams; a cancelled call does so, too."""
        timer = None
        if self.limit.duration_s:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self.limit.duration_s, self.end, "expired")
        how = "cancelled"
        try:
            for way in self._ways:
                way.pass_on()
            how = await self._ended
        finally:
            if timer is not None:
                timer.cancel()
            for stream in self._streams:
                stream.follow(None)
                if how != "closed":
                    stream.reset()
        return how

    def end(self, how: str) -> None:
        """Pass on nothing more."""
        if not self._ended.done():
            self._ended.set_result(how)

    @property
    def over(self) -> bool:
        return self._ended.done()

    @property
    def exhausted(self) -> bool:
        """Whether one direction has passed all that it may."""
        return any(way.exhausted for way in self._ways)

    def write_on(self, way: _Way, chunk: Buffer) -> None:
        """Let a task do what has to wait."""
        if self._scope.closing:
            self.end("reset")
        else:
            self._scope.spawn(way.write_on(chunk), "circuit")

    def way_ended(self, sink: Stream) -> None:
        """One direction is through: its receiver finds the end, and the circuit's when the other is through as well."""
        if self._scope.closing:
            self.end("reset")
        else:
            self._scope.spawn(sink.close_write(), "circuit")
        if all(way.through for way in self._ways):
            self.end("closed")


class _Way:
    """One direction. ``through``: everything that may pass has passed."""

    __slots__ = ("_left", "_pipe", "_sink", "_source", "_surplus", "_writing", "through")

    def __init__(self, pipe: Pipe, source: Stream, sink: Stream) -> None:
        self._pipe = pipe
        self._source = source
        self._sink = sink
        self._left = pipe.limit.data_bytes or None
        self._surplus = 0
        self._writing = False
        self.through = False
        source.follow(self.pass_on)

    def pass_on(self) -> None:
        """Give the other side what has come, as far as it takes it at once."""
        while not self._writing and (chunk := self._next()):
            if self._sink.try_write(chunk):
                self._passed(len(chunk))
            else:
                self._writing = True
                self._pipe.write_on(self, chunk)

    @property
    def exhausted(self) -> bool:
        """Whether its limit of bytes has been reached."""
        return self._left == 0

    async def write_on(self, chunk: Buffer | None) -> None:
        """Write a chunk that has to wait, and what came meanwhile."""
        try:
            while chunk:
                await self._sink.write(chunk)
                self._passed(len(chunk))
                chunk = self._next()
        except MeshError:
            self._pipe.end("reset")
        finally:
            self._writing = False

    def _next(self) -> Buffer | None:
        """The next bytes that may pass; None when there are none yet or none any more."""
        pipe, left = self._pipe, self._left
        if pipe.over:
            return None
        try:
            if self.through:
                self._discard()
                return None
            chunk = self._source.take_chunk(
                SMALL_WRITE_BYTES if left is None else min(left, SMALL_WRITE_BYTES)
            )
        except MeshError:
            pipe.end("reset")
            return None
        if chunk is not None and not chunk:
            self._end()
        return chunk

    def _passed(self, size: int) -> None:
        self._pipe.on_bytes(size)
        if self._left is not None:
            self._left -= size
            if not self._left:
                self._end()

    def _end(self) -> None:
        self.through = True
        self._pipe.way_ended(self._sink)

    def _discard(self) -> None:
        """What comes behind the limit or the end is dropped; who goes on with it is cut off."""
        while chunk := self._source.take_chunk():
            self._surplus += len(chunk)
            if self._surplus > MAX_SURPLUS_BYTES:
                self._pipe.end("reset")
                return
