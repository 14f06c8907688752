"""One peer: the stream this node opened and writes to, and the one the peer opened, which is read (pubsub, "The RPC").

The stream to a peer is opened as soon as it announces a protocol of ours, and again when it ends: after 100 ms, twice as
long each time, 4 times. A peer that ends each of them at once has no working pubsub, whatever it announced: it is left
alone until it identifies anew. Its connection stays, and nothing is held against it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, Protocol

from mesh.codecs.gossip import Rpc
from mesh.errors import Closed, MeshError, StreamReset
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.scope import Spawn
from mesh.network.stream import Stream
from mesh.protocols.gossip.send_queue import SendQueue
from mesh.services.gossip.host import Host
from mesh.services.gossip.inlet import Inlet
from mesh.telemetry.counters import Counters

MAX_TRIES: Final = 4
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 10.0
STEADY_S: Final = 10.0
"""A stream that stood for so long was a working one: what ends it is no sign of a peer without pubsub."""
WRITE_S: Final = 30.0
"""One RPC has to be taken within this time, or the stream is reset."""
PROGRESS_BYTES: Final = 256 * 1024
"""Publishers wait for a slow peer as long as it takes so much at a time: one that takes a little now and then to hold
them up is as good as one that takes nothing."""
MAX_BACKLOG_BYTES: Final = 256 * 1024
"""Read of one peer and not looked at yet: with more, its stream is not read on."""
FRAME_BYTES: Final = 64
"""What keeping an RPC costs beside its bytes: peers may send millions of tiny ones."""


class Owner(Protocol):
    """What a link tells the service."""

    def opened(self, link: Link, connection: Connection, protocol: str) -> SendQueue:
        """A stream to the peer stands; what waits in the queue is sent at the next `Link.flush`."""

    def lost(self, link: Link) -> None:
        """It stands no more."""

    def received(self, link: Link) -> None:
        """RPCs wait in `Link.frames`."""

    def sent(self, link: Link, framed: bytes) -> None:
        """An RPC, with its length in front, is on its way. Called only when `traced` is set."""

    def drained(self) -> None:
        """A queue that a writer waited for has become shorter."""

    @property
    def traced(self) -> bool:
        """Whether somebody wants to know of what was sent."""


class Link:
    """Streams to and from one peer."""

    __slots__ = (
        "_backlog",
        "_counters",
        "_host",
        "_inlet",
        "_max_rpc_bytes",
        "_opened_at",
        "_opening",
        "_owner",
        "_protocols",
        "_settled",
        "_spawn",
        "_tries",
        "_writing",
        "active",
        "closed",
        "drops",
        "frames",
        "held_up",
        "inbound",
        "part",
        "part_at",
        "peer",
        "progress_at",
        "queue",
        "stalled",
        "stream",
    )

    def __init__(
        self, peer: PeerId, host: Host, owner: Owner, spawn: Spawn, counters: Counters, max_rpc_bytes: int
    ) -> None:
        self.peer = peer
        self._host = host
        self._owner = owner
        self._spawn = spawn
        self._counters = counters
        self._max_rpc_bytes = max_rpc_bytes
        self._protocols: Sequence[str] = ()
        self._tries = 0
        self._opened_at = 0.0
        self._opening: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._settled: asyncio.Event | None = None
        self._backlog = 0
        self._inlet: Inlet | None = None
        self.held_up = False
        self.stream: Stream | None = None
        self.queue: SendQueue | None = None
        self.inbound: Stream | None = None
        self.frames: list[bytes] = []
        """RPCs that were read and not looked at."""
        self.part: Rpc | None = None
        """One whose messages are being looked at, and how many have been."""
        self.part_at = 0
        self.active = False
        """Whether the service has it on its list of those with RPCs."""
        self.progress_at = 0.0
        """When it began to be slow, or last had taken `PROGRESS_BYTES` since."""
        self.stalled = False
        """It does not read: publishers do not wait for it."""
        self.drops = 0
        """Of its queue, as far as they were told."""
        self.closed = False

    # -- the stream to the peer --------------------------------------------------------------------------------------

    def identified(self, protocols: Sequence[str]) -> None:
        """The peer announced these protocols of ours, best first, perhaps not for the first time."""
        self._protocols = protocols
        self._tries = 0
        if protocols and self.stream is None and self._opening is None and not self.closed:
            self._opening = self._spawn(self._open(0.0), "gossip open")

    def flush(self) -> None:
        """Send what waits, as far as it is accepted at once; a task sends the rest."""
        stream, queue, owner = self.stream, self.queue, self._owner
        if stream is None or queue is None or self._writing is not None:
            return
        while framed := queue.take():
            if owner.traced:
                owner.sent(self, framed)
            if not stream.try_write(framed):
                self.progress_at = time.monotonic()
                self._writing = self._spawn(self._write(stream, queue, framed), "gossip write")
                return

    def close(self) -> None:
        """End both streams for good; the service has forgotten it."""
        self.closed = True
        for task in (self._opening, self._writing):
            if task is not None:
                task.cancel()
        self._opening = self._writing = None
        stream, self.stream, self.queue = self.stream, None, None
        if stream is not None:
            stream.reset()
        self.reset_inbound()
        self._settle()

    async def _open(self, wait_s: float) -> None:
        """Open a stream for the best protocol, after a pause; in vain, try again."""
        try:
            while self._protocols:
                if wait_s:
                    await asyncio.sleep(wait_s)
                connection = self._host.connection_to(self.peer)
                if connection is None:
                    break
                try:
                    stream = await connection.open(self._protocols[:1], optimistic=True)
                except MeshError:
                    again = self._next_wait_s()
                    if again is None:
                        break
                    wait_s = again
                    continue
                self._use(stream, connection)
                return
        finally:
            self._opening = None
            self._settle()

    def _use(self, stream: Stream, connection: Connection) -> None:
        self.stream = stream
        self.stalled = False
        self._opened_at = time.monotonic()
        self.queue = self._owner.opened(self, connection, stream.protocol)
        stream.when_readable(lambda: self._watch(stream))
        self.flush()

    def _watch(self, stream: Stream) -> None:
        """Something came over a stream that only this node writes to: its end, as a rule."""
        if stream is self.stream:
            self._spawn(self._discard(stream), "gossip watch")

    async def _discard(self, stream: Stream) -> None:
        try:
            while await stream.read_chunk():
                self._counters.count("gossip.data_on_outbound")
        except MeshError:
            self._lost(stream)

    def _lost(self, stream: Stream) -> None:
        """The stream is gone. The one from the peer goes too: over the next, each tells its topics anew."""
        if stream is not self.stream:
            return
        stream.reset()
        self.stream = self.queue = None
        writing, self._writing = self._writing, None
        if writing is not None and writing is not asyncio.current_task():
            writing.cancel()
        self._counters.count("gossip.stream_lost")
        self._owner.lost(self)
        self.reset_inbound()
        if time.monotonic() - self._opened_at > STEADY_S:
            self._tries = 0
        wait_s = self._next_wait_s()
        if wait_s is not None and self._opening is None:
            self._opening = self._spawn(self._open(wait_s), "gossip open")

    def _next_wait_s(self) -> float | None:
        """The pause before another stream is opened; None for a peer that is left alone now."""
        if self._tries >= MAX_TRIES:
            self._protocols = ()
            self._counters.count("gossip.given_up")
            return None
        self._tries += 1
        return min(FIRST_WAIT_S * 2.0 ** (self._tries - 1), LONGEST_WAIT_S)

    async def _write(self, stream: Stream, queue: SendQueue, framed: bytes) -> None:
        """Send to a peer that is slower than what is told it, until nothing waits."""
        taken = 0
        try:
            while framed:
                if not stream.try_write(framed):
                    async with asyncio.timeout(WRITE_S):
                        await stream.write(framed)
                taken += len(framed)
                framed = queue.take()
                if taken >= PROGRESS_BYTES or not framed:
                    taken = 0
                    self.progress_at = time.monotonic()
                    self.stalled = False
                if framed and self._owner.traced:
                    self._owner.sent(self, framed)
                self._owner.drained()
        except (MeshError, TimeoutError):
            self._lost(stream)
        finally:
            if self._writing is asyncio.current_task():
                self._writing = None

    # -- the stream from the peer ------------------------------------------------------------------------------------

    async def read(self, stream: Stream) -> None:
        """Read the peer's stream until it ends; an older one is reset. Raises `Malformed` for what is no RPC."""
        older, self.inbound = self.inbound, stream
        if older is not None:
            self._counters.count("gossip.stream_replaced")
            self._close_inlet()
            older.reset()
        try:
            if not await self._answerable(stream):
                stream.reset()
                return
            self._inlet = Inlet(stream, self._max_rpc_bytes, self)
            await self._inlet.ended
        except (Closed, StreamReset):
            return
        finally:
            if self.inbound is stream:
                self.inbound = None
                self._close_inlet()

    def next_frame(self) -> bytes:
        """The next RPC to look at."""
        frame = self.frames.pop(0)
        self._backlog -= len(frame) + FRAME_BYTES
        if self.held_up and self._backlog <= MAX_BACKLOG_BYTES:
            self._resume()
        return frame

    def take(self, rpc: bytes) -> None:
        """An RPC came; see `inlet.Owner`."""
        self.frames.append(rpc)
        self._backlog += len(rpc) + FRAME_BYTES
        self.held_up = self._backlog > MAX_BACKLOG_BYTES
        if not self.active:
            self._owner.received(self)

    def reset_inbound(self) -> None:
        """End the peer's stream, and forget what came over it."""
        stream, self.inbound = self.inbound, None
        self._close_inlet()
        if stream is not None:
            stream.reset()
        self.frames.clear()
        self.part = None
        self._backlog = 0
        self.held_up = False

    def _resume(self) -> None:
        self.held_up = False
        if self._inlet is not None:
            self._inlet.pump()

    def _close_inlet(self) -> None:
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            inlet.close()

    async def _answerable(self, stream: Stream) -> bool:
        """Whether there is a stream to the peer: what it says is heeded only then. One that opens a stream has pubsub,
        even if it has not been identified yet."""
        if self.stream is None and self._opening is None and not self._tries and not self.closed:
            self.identified((stream.protocol,))
        while self.stream is None and self._opening is not None and stream is self.inbound:
            if self._settled is None:
                self._settled = asyncio.Event()
            await self._settled.wait()
        return self.stream is not None and stream is self.inbound

    def _settle(self) -> None:
        """Tell who waits that the stream to the peer stands, or that there will be none."""
        settled, self._settled = self._settled, None
        if settled is not None:
            settled.set()
