"""An engine's streams with the doors of a muxer, and what else the engine tells, kept until the driver asks.

QUIC has stream ids, half closes, resets and flow control of its own; this adds what `mesh.network.stream` needs on top:
a bounded queue of unread payload for each stream, credit as it is read, and how much a writer may still queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mesh.errors import Closed, LimitError, MeshError
from mesh.identity.keys import PublicKey
from mesh.network.quic.engine import MAX_UNSENT_BYTES, Engine, Termination
from mesh.protocols.machine import Buffer
from mesh.protocols.yamux import ResetCode

CHUNK_BYTES = 64 * 1024
"""Arriving bytes are gathered up to this much, so that a reader takes them in few pieces."""
LARGE_BYTES = 16 * 1024
"""A piece of this size is kept as it came."""
MAX_IMPLIED = 8192
"""Streams of a peer that later ones opened and nothing was heard of; the oldest were given up before their first byte."""
WRITE_BYTES = 256 * 1024
"""A writer hands over this much at a time."""


class Stream:
    """One bidirectional stream; see `mesh.network.carrier.MuxedStream`. `Session` alone changes it."""

    __slots__ = (
        "id",
        "inbound",
        "owner",
        "queue",
        "queued_bytes",
        "read_closed",
        "reset_by_peer",
        "reset_code",
        "send_window",
        "sink",
        "stop_code",
        "touched",
        "write_closed",
    )

    def __init__(self, stream_id: int, inbound: bool) -> None:
        self.id = stream_id
        self.inbound = inbound
        self.send_window = MAX_UNSENT_BYTES
        self.queue: deque[bytes | bytearray] | None = None
        self.queued_bytes = 0
        self.read_closed = False
        self.write_closed = False
        self.reset_code: int | None = None
        self.reset_by_peer = False
        self.stop_code: int | None = None
        self.touched = False
        self.owner: object = None
        self.sink: Callable[[bytes, int, int], bool] | None = None

    @property
    def dead(self) -> bool:
        return self.reset_code is not None or (self.read_closed and self.write_closed)

    def store(self, data: bytes) -> None:
        size = len(data)
        queue = self.queue
        if queue is None:
            queue = self.queue = deque()
        last = queue[-1] if queue else b""
        if type(last) is bytearray and len(last) + size <= CHUNK_BYTES:
            last += data
        else:
            queue.append(data if size >= LARGE_BYTES else bytearray(data))
        self.queued_bytes += size

    def fetch(self, max_bytes: int) -> Buffer:
        queue = self.queue
        if not queue:
            return b""
        chunk = queue[0]
        if len(chunk) <= max_bytes:
            queue.popleft()
        elif type(chunk) is bytearray:
            rest = chunk[max_bytes:]
            del chunk[max_bytes:]
            queue[0] = rest
        else:
            queue[0], chunk = chunk[max_bytes:], chunk[:max_bytes]
        self.queued_bytes -= len(chunk)
        return chunk

    def discard(self) -> int:
        size = self.queued_bytes
        self.queue = None
        self.queued_bytes = 0
        return size


class Session:
    """The streams of one connection. It is the engine's owner; ``attach`` joins them before anything else is called.

    ``eventful``: there is something for the driver in ``key``, ``termination``, ``opened``, ``issued``, ``retired`` or
    ``more_streams``. ``queued_bytes`` is 0 when `transmit` would not give anything new on account of these streams.
    """

    __slots__ = (
        "_engine",
        "_filling",
        "_gone",
        "_implied",
        "_newest_inbound",
        "_parity",
        "ended",
        "eventful",
        "gone",
        "held_bytes",
        "issued",
        "key",
        "more_streams",
        "opened",
        "queued_bytes",
        "ready",
        "retired",
        "streams",
        "termination",
    )

    remote_gone = False
    """QUIC has no word for it."""
    room = WRITE_BYTES

    def __init__(self, *, dialer: bool) -> None:
        self._engine: Engine
        self._parity = 0 if dialer else 1
        self._newest_inbound = (1 if dialer else 0) - 4
        self._implied: set[int] = set()
        self._filling: set[Stream] = set()
        self._gone = False
        self.streams: dict[int, Stream] = {}
        self.ready: list[Stream] = []
        self.opened: list[Stream] = []
        self.issued: list[bytes] = []
        self.retired: list[bytes] = []
        self.key: PublicKey | None = None
        self.termination: Termination | None = None
        self.more_streams = False
        self.eventful = False
        self.held_bytes = 0
        self.queued_bytes = 0
        self.ended: MeshError | None = None
        self.gone: Callable[[Stream], None] = lambda _stream: None

    def attach(self, engine: Engine) -> None:
        """``engine`` was made with this session as its owner."""
        self._engine = engine

    # -- the muxer's doors (see `mesh.protocols.yamux.Session`) --------------------------------------------------------

    @property
    def rtt_s(self) -> float | None:
        return self._engine.rtt_s

    @property
    def can_open(self) -> bool:
        return self._engine.can_open

    def open(self) -> Stream:
        if self.ended is not None or self._gone:
            raise Closed(f"quic: no new streams: {self.ended or 'the connection is being closed'}")
        if not self._engine.can_open:
            raise LimitError(
                "connection", "streams the peer allows", len(self.streams), "the peer's own limit"
            )
        stream = Stream(self._engine.open_stream(), False)
        self.streams[stream.id] = stream
        return stream

    def accept(self, stream: Stream) -> None:
        """A stream of QUIC needs no acknowledgement."""

    def send(self, stream: Stream, data: Buffer) -> int:
        size = len(data)
        if size > stream.send_window:
            size = stream.send_window
            data = memoryview(data)[:size]
        if size:
            self._engine.write(stream.id, data, False)
            stream.send_window -= size
            self._filling.add(stream)
            self.queued_bytes += size
        return size

    def own_queued(self) -> bool:
        """Whether anything is queued; the engine has copied it."""
        return self.queued_bytes > 0

    def close_write(self, stream: Stream) -> None:
        if stream.write_closed or stream.reset_code is not None:
            return
        stream.write_closed = True
        self._engine.write(stream.id, b"", True)
        self.queued_bytes += 1
        if stream.read_closed:
            self._forget(stream)

    def reset(self, stream: Stream, code: int = ResetCode.NONE) -> None:
        if stream.reset_code is not None or self.streams.get(stream.id) is not stream:
            self.drop(stream)
            return
        self._engine.reset(stream.id, code)
        if not stream.read_closed:
            self._engine.stop(stream.id, code)
        self._kill(stream, code, by_peer=False)

    def take(self, stream: Stream, max_bytes: int) -> Buffer:
        payload = stream.fetch(max_bytes)
        self.held_bytes -= len(payload)
        self._give_credit(stream.id, len(payload))
        return payload

    def drop(self, stream: Stream) -> None:
        size = stream.discard()
        self.held_bytes -= size
        self._give_credit(stream.id, size)

    def go_away(self) -> None:
        """New streams are refused from now on."""
        self._gone = True

    def end(self, error: MeshError) -> None:
        if self.ended is not None:
            return
        self.ended = error
        for stream in list(self.streams.values()):
            stream.reset_code = ResetCode.NONE
            stream.reset_by_peer = True
            self._touch(stream)
            self._forget(stream)

    def shed(self) -> None:
        """Reset the stream that holds most unread memory (the node's own limit was reached)."""
        victim = max(self.streams.values(), key=lambda each: each.queued_bytes, default=None)
        if victim is not None and victim.queued_bytes:
            self.reset(victim, ResetCode.RESOURCE_LIMIT)

    # -- the driver's side -------------------------------------------------------------------------------------------

    @property
    def unsent(self) -> bool:
        """Whether any stream has bytes that were not sent once."""
        return bool(self._filling)

    def note_sent(self) -> None:
        """Datagrams left: writers have room again."""
        self.queued_bytes = 0
        filling = self._filling
        if not filling:
            return
        engine = self._engine
        for stream in list(filling):
            unsent = engine.unsent_bytes(stream.id)
            if not unsent:
                filling.discard(stream)
            window = MAX_UNSENT_BYTES - unsent
            if window > stream.send_window:
                if stream.send_window < MAX_UNSENT_BYTES // 2:
                    self._touch(stream)
                stream.send_window = window

    # -- the engine's side (see `engine.Owner`) ------------------------------------------------------------------------

    def handshake_finished(self, key: PublicKey) -> None:
        self.key = key
        self.eventful = True

    def stream_data(self, stream_id: int, data: bytes, fin: bool) -> None:
        stream = self.streams.get(stream_id) or self._open_inbound(stream_id)
        if stream is None or stream.read_closed:
            self._give_credit(stream_id, len(data))
            return
        if data:
            stream.store(data)
            self.held_bytes += len(data)
        if not stream.touched:
            stream.touched = True
            self.ready.append(stream)
        if fin:
            stream.read_closed = True
            if stream.write_closed:
                self._forget(stream)

    def stream_reset(self, stream_id: int, code: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            if self._is_new(stream_id):
                self._engine.reset(stream_id, code)
        elif not stream.read_closed:
            if not stream.write_closed:
                self._engine.reset(stream_id, code)
            self._kill(stream, code, by_peer=True)

    def stream_stopped(self, stream_id: int, code: int) -> None:
        stream = self.streams.get(stream_id) or self._open_inbound(stream_id)
        if stream is None or stream.write_closed:
            return
        self._engine.reset(stream_id, code)
        stream.stop_code = code
        stream.write_closed = True
        self._touch(stream)
        if stream.read_closed:
            self._forget(stream)

    def openable(self) -> None:
        self.more_streams = self.eventful = True

    def connection_id_issued(self, connection_id: bytes) -> None:
        self.issued.append(connection_id)
        self.eventful = True

    def connection_id_retired(self, connection_id: bytes) -> None:
        self.retired.append(connection_id)
        self.eventful = True

    def terminated(self, how: Termination) -> None:
        self.termination = how
        self.eventful = True

    # -- within ------------------------------------------------------------------------------------------------------

    def _is_new(self, stream_id: int) -> bool:
        """Whether a stream of the peer is heard of for the first time: ids come in any order, and one opens all below."""
        if stream_id & 1 == self._parity:
            return False
        newest = self._newest_inbound
        if stream_id > newest:
            self._implied.update(range(newest + 4, stream_id, 4))
            if len(self._implied) > MAX_IMPLIED:
                self._implied = set(sorted(self._implied)[-MAX_IMPLIED // 2 :])
            self._newest_inbound = stream_id
            return True
        if stream_id in self._implied:
            self._implied.discard(stream_id)
            return True
        return False

    def _open_inbound(self, stream_id: int) -> Stream | None:
        if not self._is_new(stream_id):
            return None
        if self._gone or self.ended is not None:
            self._engine.reset(stream_id, ResetCode.SHUTDOWN)
            self._engine.stop(stream_id, ResetCode.SHUTDOWN)
            return None
        stream = Stream(stream_id, True)
        self.streams[stream_id] = stream
        self.opened.append(stream)
        self.eventful = True
        return stream

    def _give_credit(self, stream_id: int, size: int) -> None:
        if size and self.ended is None:
            self._engine.consumed(stream_id, size)
            self.queued_bytes += 1

    def _touch(self, stream: Stream) -> None:
        if not stream.touched:
            stream.touched = True
            self.ready.append(stream)

    def _kill(self, stream: Stream, code: int, *, by_peer: bool) -> None:
        stream.reset_code = code
        stream.reset_by_peer = by_peer
        self.drop(stream)
        self.queued_bytes += 1
        self._touch(stream)
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        if self.streams.pop(stream.id, None) is not None:
            self.gone(stream)
