"""The yamux session machine: frames in, frames out, streams between (libp2p yamux specification)."""

from __future__ import annotations

from collections.abc import Callable

from mesh.codecs.yamux import (
    ACK,
    FIN,
    HEADER,
    HEADER_BYTES,
    MAX_DATA_BYTES,
    RST,
    SYN,
    FrameType,
    GoAwayCode,
)
from mesh.errors import Closed, LimitError, MeshError, PeerError, TimedOut, UsageError
from mesh.protocols.machine import Buffer, Role
from mesh.protocols.yamux.credit import Credit
from mesh.protocols.yamux.events import Ended, Event, StreamOpened
from mesh.protocols.yamux.liveness import Liveness
from mesh.protocols.yamux.outbox import DATA, Outbox
from mesh.protocols.yamux.settings import Settings
from mesh.protocols.yamux.stream import ResetCode, Stream

WINDOW_UPDATE = int(FrameType.WINDOW_UPDATE)
PING = int(FrameType.PING)
GO_AWAY = int(FrameType.GO_AWAY)
MAX_UINT32 = 2**32 - 1


class Session:
    """One end of a yamux connection.

    ``now`` is the instant of construction. ``reserve(n)`` is asked before a window grows by n bytes and may refuse;
    ``release(n)`` gives back. ``held_bytes`` is the memory all unread payload keeps alive. ``gone`` is called for
    each stream when both its directions have ended.
    """

    __slots__ = (
        "_backlog",
        "_body_fin",
        "_body_left",
        "_body_stream",
        "_credit",
        "_events",
        "_gone",
        "_liveness",
        "_next_id",
        "_now",
        "_outbox",
        "_parity",
        "_partial",
        "_pongs_queued",
        "_settings",
        "_unacknowledged",
        "ended",
        "gone",
        "held_bytes",
        "inbound_streams",
        "ready",
        "remote_gone",
        "streams",
    )

    def __init__(
        self,
        role: Role,
        settings: Settings,
        now: float,
        reserve: Callable[[int], bool] = lambda _bytes: True,
        release: Callable[[int], None] = lambda _bytes: None,
    ) -> None:
        self.streams: dict[int, Stream] = {}
        self.ready: list[Stream] = []
        self.held_bytes = 0
        self.remote_gone = False
        self.ended: MeshError | None = None
        self.gone: Callable[[Stream], None] = lambda _stream: None
        self.inbound_streams = 0
        self._settings = settings
        self._credit = Credit(settings, reserve, release)
        self._parity = 1 if role is Role.INITIATOR else 0
        self._next_id = 1 if role is Role.INITIATOR else 2
        self._unacknowledged = 0
        self._backlog = 0
        self._events: list[Event] = []
        self._outbox = Outbox(settings.batch_bytes)
        self._pongs_queued = 0
        self._gone = False
        self._partial = b""
        self._body_left = 0
        self._body_stream: Stream | None = None
        self._body_fin = False
        self._liveness = Liveness(settings.keepalive_s, settings.keepalive_timeout_s, now)
        self._now = now

    # -- doors -------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> None:
        """Take decrypted bytes, cut anywhere. ``data`` must never change: queues keep views of it."""
        self._now = now
        offset = 0
        size = len(data)
        if self._partial:
            missing = HEADER_BYTES - len(self._partial)
            self._partial += data[:missing]
            if len(self._partial) < HEADER_BYTES:
                return
            header, self._partial, offset = self._partial, b"", missing
            self._take_header(*HEADER.unpack(header))
        unpack = HEADER.unpack_from
        streams = self.streams
        while self.ended is None:
            if self._body_left:
                if offset >= size:
                    return
                offset = self._take_body(data, offset)
                continue
            left = size - offset
            if left < HEADER_BYTES:
                if left:
                    self._partial = data[offset:]
                return
            version, kind, flags, stream_id, length = unpack(data, offset)
            offset += HEADER_BYTES
            end = offset + length
            stream = streams.get(stream_id)
            if (
                kind == DATA
                and not flags
                and not version
                and stream is not None
                and not stream.read_closed
                and length <= stream.receive_window
                and end <= size
            ):
                if length:
                    stream.receive_window -= length
                    self._deliver(stream, data, offset, end)
                offset = end
            else:
                self._take_header(version, kind, flags, stream_id, length)

    def output(self) -> list[list[Buffer]]:
        """Batches to send in order, each of whole frames and at most ``batch_bytes`` long."""
        self._pongs_queued = 0
        return self._outbox.take()

    def full_output(self) -> list[list[Buffer]]:
        """The batches of `output` that are full; what is left waits for more, or for `output`."""
        return self._outbox.take_full()

    def own_queued(self) -> bool:
        """Copy what is queued, so that the buffers given to `send` may change; whether there is anything."""
        self._outbox.own()
        return self._outbox.queued_bytes > 0

    @property
    def room(self) -> int:
        """How many bytes given to `send` fill a batch, with what is queued."""
        return self._outbox.room

    @property
    def queued_bytes(self) -> int:
        """How much `output` would give, to within a batch."""
        return self._outbox.queued_bytes

    @property
    def rtt_s(self) -> float | None:
        """The smoothed round trip of pings in seconds, None before the first answer."""
        return self._liveness.rtt_s

    def deadline(self) -> float | None:
        """When `wake` must be called, on the clock of ``now``; None after the end."""
        if self.ended is not None:
            return None
        return self._liveness.deadline

    def wake(self, now: float) -> None:
        """Send the ping that is due, or end the session whose ping went unanswered."""
        self._now = now
        if self.ended is not None:
            return
        if self._liveness.overdue(now):
            limit = self._settings.keepalive_timeout_s
            self._end(TimedOut(f"yamux: the peer did not answer a keepalive ping within {limit:g} s"))
        elif (value := self._liveness.ping(now)) is not None:
            self._outbox.put(PING, SYN, 0, value)

    @property
    def eventful(self) -> bool:
        """Whether `events` would give any."""
        return bool(self._events)

    def events(self) -> list[Event]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    # -- commands ----------------------------------------------------------------------------------------------------

    @property
    def can_open(self) -> bool:
        """Whether `open` would be allowed now, as far as the peer's acknowledgements go."""
        return self._unacknowledged < self._settings.accept_backlog

    def open(self) -> Stream:
        """A new stream; its SYN leaves with the first frame. Raises `LimitError` while too many are unacknowledged and
        `Closed` after the session ended or either side said go away."""
        if self.ended is not None or self.remote_gone or self._gone:
            raise Closed(f"yamux: no new streams: {self.ended or 'go away was said'}")
        if not self.can_open:
            raise LimitError(
                "connection", "unacknowledged streams", self._settings.accept_backlog, "yamux.accept_backlog"
            )
        if self._next_id > MAX_UINT32:
            raise LimitError("connection", "stream ids", MAX_UINT32, "a new connection")
        stream = Stream(self._next_id, False, SYN, self._now)
        self._next_id += 2
        self._unacknowledged += 1
        self.streams[stream.id] = stream
        return stream

    def accept(self, stream: Stream) -> None:
        """Acknowledge a stream the peer opened; the ACK leaves with its first frame."""
        if stream.inbound and not stream.acknowledged:
            stream.acknowledged = True
            stream.pending_flags |= ACK
            self._backlog -= 1

    def announce(self, stream: Stream) -> None:
        """Send the pending SYN or ACK by itself, for streams that have nothing to say yet."""
        if stream.pending_flags and not stream.dead:
            self._outbox.put(WINDOW_UPDATE, stream.take_flags(), stream.id, 0)

    def send(self, stream: Stream, data: Buffer) -> int:
        """Queue as much of ``data`` as the peer's window allows; returns how many bytes that is.

        The buffer is kept until `output` hands it on: it must not change before it was sent. Raises `UsageError` on a
        stream closed for writing; check `Stream.reset_code` before.
        """
        if stream.write_closed or stream.reset_code is not None:
            raise UsageError(f"yamux: stream {stream.id} is closed for writing")
        window = stream.send_window
        if (size := len(data)) > window:
            size = window
            data = memoryview(data)[:size]
        if 0 < size <= self._settings.batch_bytes - HEADER_BYTES:
            self._outbox.put_of(stream, data, size)
        else:
            stream.opening = None
            view = memoryview(data)
            start = 0
            while start < size:
                piece = view[start : start + self._outbox.room]
                self._outbox.put_data(stream.take_flags(), stream.id, piece, len(piece))
                start += len(piece)
        stream.send_window = window - size
        return size

    def close_write(self, stream: Stream) -> None:
        """Half close: FIN after what was sent. Nothing happens when it was closed already."""
        if stream.write_closed or stream.reset_code is not None:
            return
        flags = stream.take_flags()
        stream.write_closed = True
        self._outbox.put(WINDOW_UPDATE, flags | FIN, stream.id, 0)
        if stream.read_closed:
            self._forget(stream)

    def reset(self, stream: Stream, code: int = ResetCode.NONE) -> None:
        """End both directions at once, drop unread payload and tell the peer why."""
        if stream.reset_code is not None or self.streams.get(stream.id) is not stream:
            self.drop(stream)
            return
        self._outbox.put(WINDOW_UPDATE, stream.pending_flags | RST, stream.id, code)
        stream.pending_flags = 0
        self._kill(stream, code, by_peer=False)

    def take(self, stream: Stream, max_bytes: int) -> Buffer:
        """Unread payload of a stream, at most ``max_bytes``, b"" when there is none; gives the peer new credit."""
        payload, released = stream.fetch(max_bytes)
        self.held_bytes -= released
        if payload:
            self._grant(stream)
        return payload

    def drop(self, stream: Stream) -> None:
        """Forget what is unread without giving credit for it."""
        self.held_bytes -= stream.discard()

    def go_away(self, code: GoAwayCode = GoAwayCode.NORMAL) -> None:
        """Tell the peer that no more streams are taken; those that live go on."""
        if not self._gone and self.ended is None:
            self._gone = True
            self._outbox.put(GO_AWAY, 0, 0, code)

    def end(self, error: MeshError) -> None:
        """The connection below is gone: every stream dies with it."""
        if self.ended is None:
            self._end(error)

    def shed(self) -> None:
        """Reset the stream that holds most unread memory (the node's own limit was reached)."""
        victim = max(self.streams.values(), key=lambda each: each.held_bytes, default=None)
        if victim is not None and victim.held_bytes:
            self.reset(victim, ResetCode.RESOURCE_LIMIT)

    # -- frames in ---------------------------------------------------------------------------------------------------

    def _take_header(self, version: int, kind: int, flags: int, stream_id: int, length: int) -> None:
        if version:
            self._violate(f"frame of version {version}")
        elif kind == PING:
            self._take_ping(flags, length)
        elif kind == GO_AWAY:
            self._take_go_away(length)
        elif kind == DATA:
            self._take_data_header(flags, stream_id, length)
        elif kind == WINDOW_UPDATE:
            stream = self._address(flags, stream_id)
            if stream is None:
                return
            if flags & RST:
                self._kill(stream, length, by_peer=True)
                return
            if length:
                if stream.send_window + length > MAX_UINT32:
                    self._violate(f"credit of stream {stream_id} passes 32 bits")
                    return
                stream.send_window += length
                self._touch(stream)
            if flags & FIN:
                self._finish_reading(stream)
        else:
            self._violate(f"frame of type {kind}")

    def _take_data_header(self, flags: int, stream_id: int, length: int) -> None:
        if length > MAX_DATA_BYTES:
            self._violate(f"data frame of {length} bytes")
            return
        stream = self._address(flags, stream_id)
        if stream is not None and flags & RST:
            self._kill(stream, ResetCode.NONE, by_peer=True)
            stream = None
        if stream is not None and length and stream.read_closed:
            self.reset(stream, ResetCode.PROTOCOL_VIOLATION)
            stream = None
        if stream is not None:
            if length > stream.receive_window:
                self._violate(
                    f"{length} bytes for stream {stream_id}, whose window is {stream.receive_window}"
                )
                return
            stream.receive_window -= length
            if not length and flags & FIN:
                self._finish_reading(stream)
        self._body_left = length
        self._body_stream = stream if length else None
        self._body_fin = bool(flags & FIN)

    def _address(self, flags: int, stream_id: int) -> Stream | None:
        """The stream a frame is for, opening it on SYN; None when the frame is to be ignored or has ended the session."""
        stream = self.streams.get(stream_id)
        if flags & SYN:
            if stream_id == 0 or stream_id & 1 == self._parity:
                self._violate(f"SYN for id {stream_id}, which is not the peer's to open")
                return None
            if stream is not None:
                self._violate(f"SYN for stream {stream_id}, which is alive")
                return None
            return None if flags & RST else self._open_inbound(stream_id)
        if stream is not None and flags & ACK and not stream.inbound and not stream.acknowledged:
            stream.acknowledged = True
            self._unacknowledged -= 1
        return stream

    def _open_inbound(self, stream_id: int) -> Stream | None:
        settings = self._settings
        if (
            self._gone
            or len(self._events) >= settings.max_inbound_streams
            or self._backlog >= settings.accept_backlog
            or self.inbound_streams >= settings.max_inbound_streams
        ):
            code = ResetCode.SHUTDOWN if self._gone else ResetCode.RESOURCE_LIMIT
            self._outbox.put(WINDOW_UPDATE, RST, stream_id, code)
            return None
        stream = Stream(stream_id, True, 0, self._now)
        self.streams[stream_id] = stream
        self.inbound_streams += 1
        self._backlog += 1
        self._events.append(StreamOpened(stream))
        return stream

    def _take_body(self, data: bytes, offset: int) -> int:
        end = min(len(data), offset + self._body_left)
        self._body_left -= end - offset
        stream = self._body_stream
        if stream is not None and stream.reset_code is None:
            self._deliver(stream, data, offset, end)
            if not self._body_left and self._body_fin and stream.reset_code is None:
                self._finish_reading(stream)
        if not self._body_left:
            self._body_stream = None
        return end

    def _deliver(self, stream: Stream, data: bytes, start: int, end: int) -> None:
        if stream.sink is not None and not stream.queued_bytes and stream.sink(data, start, end):
            self._grant(stream)
            return
        self.held_bytes += stream.store(data, start, end)
        if not stream.touched:
            stream.touched = True
            self.ready.append(stream)
        if self.held_bytes > self._settings.max_held_bytes:
            self.reset(stream, ResetCode.RESOURCE_LIMIT)

    def _take_ping(self, flags: int, value: int) -> None:
        if flags & SYN:
            if self._pongs_queued < self._settings.max_queued_pongs:
                self._pongs_queued += 1
                self._outbox.put(PING, ACK, 0, value)
        elif flags & ACK:
            self._liveness.pong(value, self._now)

    def _take_go_away(self, code: int) -> None:
        self.remote_gone = True
        if code != GoAwayCode.NORMAL:
            self._end(
                PeerError(f"yamux: the peer said go away with code {code}", protocol="yamux", wire_code=code)
            )

    # -- frames out --------------------------------------------------------------------------------------------------

    def _grant(self, stream: Stream) -> None:
        """Give credit for what was consumed, once that is half a window."""
        coming = self._body_left if stream is self._body_stream else 0
        grant = stream.window_bytes - stream.receive_window - stream.queued_bytes - coming
        if grant * 2 < stream.window_bytes or stream.read_closed or stream.reset_code is not None:
            return
        grant += self._credit.grow(stream, self._now, self.rtt_s)
        stream.receive_window += grant
        self._outbox.put(WINDOW_UPDATE, stream.take_flags(), stream.id, grant)

    # -- endings -----------------------------------------------------------------------------------------------------

    def _touch(self, stream: Stream) -> None:
        if not stream.touched:
            stream.touched = True
            self.ready.append(stream)

    def _finish_reading(self, stream: Stream) -> None:
        stream.read_closed = True
        self._touch(stream)
        if stream.write_closed:
            self._forget(stream)

    def _kill(self, stream: Stream, code: int, *, by_peer: bool) -> None:
        """A local reset drops what is unread; the peer's only when its own direction had not been finished by FIN."""
        stream.reset_code = code
        stream.reset_by_peer = by_peer
        if not (by_peer and stream.read_closed):
            self.drop(stream)
        self._touch(stream)
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        if self.streams.get(stream.id) is not stream:
            return
        del self.streams[stream.id]
        self.inbound_streams -= stream.inbound
        if not stream.acknowledged:
            stream.acknowledged = True
            if stream.inbound:
                self._backlog -= 1
            else:
                self._unacknowledged -= 1
        self._credit.give_back(stream)
        self.gone(stream)

    def _violate(self, what: str) -> None:
        error = PeerError(
            f"yamux: {what}", protocol="yamux", wire_code=int(GoAwayCode.PROTOCOL_ERROR), clause="yamux"
        )
        self._outbox.put(GO_AWAY, 0, 0, GoAwayCode.PROTOCOL_ERROR)
        self._end(error)

    def _end(self, error: MeshError) -> None:
        self.ended = error
        self._body_stream = None
        self._partial = b""
        for stream in list(self.streams.values()):
            stream.reset_code = ResetCode.NONE
            stream.reset_by_peer = True
            self._touch(stream)
            self._forget(stream)
        self._events.append(Ended(error))
