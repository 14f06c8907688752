"""A session on live streams: what a program reads and writes, and the paths that carry it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Final

from mesh.codecs.beam_session import MAX_FRAME_BYTES, SessionFrame
from mesh.errors import Closed, MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.network.stream import Stream
from mesh.network.stream_reading import READ_BYTES, Reading
from mesh.protocols.beam.session import PathLost, Session
from mesh.protocols.machine import Buffer

CLOSE_S: Final = 5.0
"""Time for the other end to acknowledge what is left when a session is closed."""

Observer = Callable[["SessionEnd", int, str], None]


class SessionEnd(Reading):
    """One end of a session with ``peer``, who is authenticated on every path. It reads and writes as a stream does.

    ``on_path_lost`` is told of the session, the path and the reason.
    """

    __slots__ = (
        "_leftover",
        "_numbers",
        "_reader",
        "_room",
        "_tasks",
        "_timer",
        "_wake_at",
        "_writers",
        "ended",
        "on_path_lost",
        "peer",
        "protocol",
        "session",
        "streams",
    )

    def __init__(self, session: Session, peer: PeerId, protocol: str, on_path_lost: Observer) -> None:
        self.session = session
        self.peer = peer
        self.protocol = protocol
        self.on_path_lost = on_path_lost
        self.streams: dict[int, Stream] = {}
        """What carries each path."""
        self.ended = asyncio.Event()
        self._numbers = itertools.count(1)
        self._leftover = b""
        self._reader: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._writers: dict[int, asyncio.Event] = {}
        self._tasks: dict[int, Sequence[asyncio.Task[str]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = 0.0
        self._settle()

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        incoming = self.session.incoming
        return bool(self._leftover) or incoming.readable or incoming.ended or self.session.ended is not None

    def take_chunk(self, max_bytes: int = READ_BYTES) -> Buffer | None:
        if self._leftover:
            chunk, self._leftover = self._leftover[:max_bytes], self._leftover[max_bytes:]
            return chunk
        chunk = self.session.read(max_bytes)
        if chunk:
            self._settle()
            return chunk
        if self.session.incoming.ended:
            return b""
        self._check_alive()
        return None

    def take_message(self, max: int) -> bytes | None:
        return None

    def readable(self) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.pending:
            waiter.set_result(None)
        else:
            self._reader = waiter
        return waiter

    def _unread(self, data: bytearray) -> None:
        self._leftover = bytes(data) + self._leftover

    # -- writing -----------------------------------------------------------------------------------------------------

    async def write(self, data: Buffer) -> None:
        """Send all of ``data``; waits while the other end has not acknowledged enough. Raises `Closed`."""
        left = memoryview(data).cast("B")
        while left:
            self._check_alive()
            taken = self.session.write(left)
            left = left[taken:]
            if taken:
                self._settle()
            else:
                self._room.clear()
                await self._room.wait()

    async def write_message(self, message: Buffer) -> None:
        """Send a message behind its uvarint length."""
        await self.write(b"".join((varint.encode(len(message)), message)))

    async def close_write(self) -> None:
        """Half close: the other end reads to here and finds the end."""
        self.session.finish()
        self._settle()

    async def close(self) -> None:
        """End in order, or at once where the other end acknowledges nothing for a while."""
        await self.close_write()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.ended.wait()
        except TimeoutError:
            self.reset()

    def reset(self) -> None:
        """End at once; the other end is told."""
        self.session.reset("the session was reset on this side")
        self._settle()

    # -- paths -------------------------------------------------------------------------------------------------------

    def add_path(self, stream: Stream, *, carries: bool = True) -> int:
        """A further path, which `carry` has to serve. Raises `UsageError`."""
        path = next(self._numbers)
        self.session.add_path(path, time.monotonic(), carries=carries)
        self.streams[path] = stream
        self._writers[path] = asyncio.Event()
        self._settle()
        return path

    def carry_by(self, paths: set[int]) -> None:
        """Of the opener: data go by these."""
        self.session.carry_by(paths)
        self._settle()

    async def carry(self, path: int) -> None:
        """Move the frames of a path until it or the session has ended."""
        stream, reason = self.streams[path], "given up"
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read_frames(path, stream))
                writing = group.create_task(self._write_frames(path, stream))
                self._tasks[path] = reading, writing
                reading.add_done_callback(lambda _: writing.cancel())
                writing.add_done_callback(lambda _: reading.cancel())
            ways = [each.result() for each in (reading, writing) if not each.cancelled()]
            reason = next(filter(None, ways), "")
        finally:
            self._tasks.pop(path, None)
            self.session.lose_path(path, reason or "closed", time.monotonic())
            self._settle()
            if reason:
                stream.reset()
        if not reason:
            await stream.close()

    # -- within ------------------------------------------------------------------------------------------------------

    async def _read_frames(self, path: int, stream: Stream) -> str:
        """Why it ended."""
        try:
            while True:
                frame = SessionFrame.decode(await stream.read_message(MAX_FRAME_BYTES))
                self.session.receive(path, frame, time.monotonic())
                self._settle()
        except MeshError as error:
            return str(error)

    async def _write_frames(self, path: int, stream: Stream) -> str:
        """Why it ended; nothing when the session did and everything was said."""
        session, event = self.session, self._writers[path]
        try:
            while True:
                frame = session.next_frame(path, time.monotonic())
                if frame is not None:
                    encoded = frame.encode()
                    await stream.write(b"".join((varint.encode(len(encoded)), encoded)))
                    self._settle()
                elif session.ended is not None:
                    return ""
                else:
                    event.clear()
                    await event.wait()
        except MeshError as error:
            return str(error)

    def _settle(self) -> None:
        """Act on what the machine wants now."""
        session = self.session
        for event in session.events():
            if isinstance(event, PathLost):
                self._path_lost(event)
        if session.ended is not None:
            self.ended.set()
        for path, writer in self._writers.items():
            if session.ended is not None or session.waiting(path):
                writer.set()
        if self._reader is not None and not self._reader.done() and self.pending:
            self._reader.set_result(None)
        if session.ended is not None or session.outgoing.room:
            self._room.set()
        self._arm()

    def _path_lost(self, event: PathLost) -> None:
        stream = self.streams.pop(event.path)
        del self._writers[event.path]
        current = asyncio.current_task()
        for task in self._tasks.get(event.path, ()):
            if task is not current:
                task.cancel()
        if self.session.ended is None:
            self.on_path_lost(self, event.path, event.reason)
            stream.reset()

    def _arm(self) -> None:
        """A timer that is early is armed again when it has run out; one that would be late, at once."""
        deadline = self.session.deadline()
        if self._timer is not None and (deadline is None or deadline < self._wake_at):
            self._timer.cancel()
            self._timer = None
        if deadline is not None and self._timer is None:
            self._wake_at = deadline
            delay_s = max(0.0, deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.session.wake(time.monotonic())
        self._settle()

    def _check_alive(self) -> None:
        ended = self.session.ended
        if ended is not None:
            raise Closed(f"{self.protocol}: {ended.reason or 'the session has ended'}")
