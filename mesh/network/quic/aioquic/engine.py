"""The engine on aioquic 1.7.2 (pinned exactly): pure Python, on every platform, the one that always works.

What touches aioquic's insides is in this package: `aioquic.tls` the handshake, `aioquic.connection`
what is taken from a peer, `aioquic.sending` what is said to it, `aioquic.recovery` how much is under way. This one speaks
to the owner. An upgrade of aioquic has to pass tests/network/quic/test_aioquic_internals.py and the matrix of engines.
"""

from __future__ import annotations

from collections import deque
from hmac import compare_digest

from aioquic.quic import events
from aioquic.quic.connection import QuicConnectionState

from mesh.errors import UsageError
from mesh.network.quic.aioquic.connection import Connection
from mesh.network.quic.aioquic.sending import Stream
from mesh.network.quic.engine import CONNECTION_ID_BYTES, Address, Owner, Settings, Termination
from mesh.protocols.machine import Buffer

RESET_TOKEN_BYTES = 16
MIN_RESET_BYTES = 21
"""Nothing shorter is a stateless reset (RFC 9000 section 10.3)."""
_LONG_HEADER = 0x80
_KEEPALIVE = 0


class AioquicEngine:
    """One connection; see `mesh.network.quic.engine.Engine` for its doors."""

    __slots__ = (
        "_address",
        "_answers",
        "_built",
        "_over",
        "_owner",
        "_parting",
        "_quic",
        "_rejected",
        "_terminated",
        "_unread",
    )

    def __init__(
        self,
        settings: Settings,
        owner: Owner,
        address: Address,
        now: float,
        *,
        dialer: bool,
        original_id: bytes = b"",
        retry_id: bytes = b"",
    ) -> None:
        self._quic = Connection(
            settings, address, now, dialer=dialer, original_id=original_id, retry_id=retry_id
        )
        self._owner = owner
        self._address = address
        self._unread: dict[int, int] = {}
        self._built: deque[tuple[bytes, Address]] = deque()
        self._terminated = self._over = False
        self._parting: list[tuple[bytes, Address]] = []
        self._rejected = 0
        self._answers = 1

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def connection_ids(self) -> list[bytes]:
        return [] if self._over else self._quic.own_ids

    @property
    def rtt_s(self) -> float | None:
        return None if self._over else self._quic._loss.window.rtt_s

    @property
    def can_open(self) -> bool:
        return not self._terminated and self._quic.can_open

    def deadline(self) -> float | None:
        quic = self._quic
        return None if self._over else quic.get_timer()

    # --- datagrams --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        self._quic.connect(self._address, now)

    def receive(self, datagram: bytes, address: Address, now: float) -> None:
        if self._terminated:
            self._answer_late(1)
            return
        self._take(datagram, address, now)
        self._tell()

    def receive_coalesced(self, buffer: bytes, segment_bytes: int, address: Address, now: float) -> None:
        size = len(buffer)
        if self._terminated:
            self._answer_late(size // segment_bytes + 1)
            return
        for start in range(0, size, segment_bytes):
            self._take(buffer[start : start + segment_bytes], address, now)
        self._tell()

    def _take(self, datagram: bytes, address: Address, now: float) -> None:
        if len(datagram) >= MIN_RESET_BYTES and not datagram[0] & _LONG_HEADER:
            token = self._quic.peer_reset_token
            if (
                token
                and datagram[1 : 1 + CONNECTION_ID_BYTES] not in self._quic.own_ids
                and compare_digest(datagram[-RESET_TOKEN_BYTES:], token)
            ):
                self._quic.end_by_reset()
                return
        self._quic.receive_datagram(datagram, address, now)

    def transmit(self, now: float, most: int) -> list[tuple[bytes, Address]]:
        built = self._built
        if not built and most > 0:
            fresh = self._build(now, most)
            if len(fresh) <= most:
                return fresh
            built.extend(fresh)
        return [built.popleft() for _ in range(min(most, len(built)))]

    def _build(self, now: float, most: int) -> list[tuple[bytes, Address]]:
        quic = self._quic
        if self._parting and self._rejected >= self._answers:
            self._answers *= 2
            self._rejected = 0
            return list(self._parting)
        if self._over or not quic.connected:
            return []
        closing = self._terminated
        quic.allow(most)
        fresh = quic.tend(now)
        fresh += quic.datagrams_to_send(now)
        if closing and fresh:
            self._parting = list(fresh)
        return fresh

    def _answer_late(self, datagrams: int) -> None:
        """Closing, the last word is repeated after 1, 2, 4 … more datagrams (RFC 9000 section 10.2.1)."""
        if self._parting:
            self._rejected += datagrams

    def wake(self, now: float) -> None:
        if self._over or self._quic._close_at is None:
            return
        self._quic.handle_timer(now)
        self._tell()

    # --- streams ----------------------------------------------------------------------------------------------------

    def open_stream(self) -> int:
        if not self.can_open:
            raise UsageError("a stream was to be opened that the peer does not allow yet")
        return self._quic.open_stream()

    def write(self, stream_id: int, data: Buffer, fin: bool) -> None:
        stream = self._stream(stream_id)
        if stream is None or stream.sender._reset_error_code is not None:
            return
        if stream.sender._buffer_fin is None and (fin or len(data)):
            stream.sender.write(data, end_stream=fin)  # type: ignore[arg-type]
            self._quic.queue(stream)

    def unsent_bytes(self, stream_id: int) -> int:
        stream = self._stream(stream_id)
        if stream is None or stream.sender._reset_error_code is not None:
            return 0
        return stream.sender._buffer_stop - stream.sender.highest_offset

    def consumed(self, stream_id: int, size: int) -> None:
        unread = self._unread.get(stream_id, 0)
        if size >= unread:
            size = unread
            self._unread.pop(stream_id, None)
        else:
            self._unread[stream_id] = unread - size
        if size:
            self._quic.grant(stream_id, size)

    def reset(self, stream_id: int, code: int) -> None:
        stream = self._stream(stream_id)
        if stream is not None:
            stream.sender.reset(code)
            self._quic.drop_unsent(stream)

    def stop(self, stream_id: int, code: int) -> None:
        self._abandon(stream_id)
        stream = self._stream(stream_id)
        if stream is not None and not stream.receiver.is_finished and not stream.stopped:
            stream.stopped = True
            stream.receiver.stop(code)
            self._quic.command(stream)

    def _stream(self, stream_id: int) -> Stream | None:
        return None if self._terminated else self._quic.table.get(stream_id)

    def _abandon(self, stream_id: int) -> None:
        """Nobody will read what came of a stream: that much may come on others."""
        unread = self._unread.pop(stream_id, 0)
        if unread:
            self._quic.grant(stream_id, unread, stream_too=False)

    # --- the connection ---------------------------------------------------------------------------------------------

    def ping(self) -> None:
        if not self._terminated and not self._quic._ping_pending:
            self._quic.send_ping(_KEEPALIVE)

    def close(self, code: int, reason: str, now: float) -> None:
        if not self._terminated:
            self._quic.close(code, None, reason)
            self._tell()

    def _tell(self) -> None:
        queue, owner = self._quic._events, self._owner
        while queue and not self._terminated:
            event = queue.popleft()
            if isinstance(event, events.StreamDataReceived):
                self._tell_data(event)
            elif isinstance(event, events.StreamReset):
                self._tell_reset(event)
            elif isinstance(event, events.StopSendingReceived):
                self._tell_stop(event)
            elif isinstance(event, events.ConnectionIdIssued):
                owner.connection_id_issued(event.connection_id)
            elif isinstance(event, events.ConnectionIdRetired):
                owner.connection_id_retired(event.connection_id)
            elif isinstance(event, events.HandshakeCompleted):
                self._tell_handshake()
        if self._quic.raised:
            self._quic.raised = False
            if self.can_open and not self._quic._close_event:
                owner.openable()
        if self._quic._close_event is not None and not self._terminated:
            self._end(self._quic._close_event)
        if self._quic._state is QuicConnectionState.TERMINATED:
            self._over = True
            self._quic.dismantle()

    def _tell_handshake(self) -> None:
        key = self._quic.tls.peer_key
        assert key is not None, "a handshake that finished without a certificate"
        self._owner.handshake_finished(key)
        self._quic.forget_handshake()

    def _tell_data(self, event: events.StreamDataReceived) -> None:
        stream_id, data, fin = event.stream_id, event.data, event.end_stream
        queue = self._quic._events
        pieces = [data]
        while queue and not fin:
            following = queue[0]
            if not isinstance(following, events.StreamDataReceived) or following.stream_id != stream_id:
                break
            queue.popleft()
            pieces.append(following.data)
            fin = following.end_stream
        if len(pieces) > 1:
            data = b"".join(pieces)
        stream = self._quic.table[stream_id]
        if stream.stopped:
            self._quic.grant(stream_id, len(data), stream_too=False)
        else:
            if data:
                self._unread[stream_id] = self._unread.get(stream_id, 0) + len(data)
            stream.told = True
            self._owner.stream_data(stream_id, data, fin)
            if stream.early_stop is not None:
                self._owner.stream_stopped(stream_id, stream.early_stop)
                stream.early_stop = None
        if fin:
            stream.ended = True
            self._quic.discard(stream)

    def _tell_reset(self, event: events.StreamReset) -> None:
        stream = self._quic.table[event.stream_id]
        self._abandon(event.stream_id)
        self._quic.drop_received(stream)
        if not stream.told:
            self.reset(event.stream_id, event.error_code)  # nobody else will: the owner has never heard of it
        elif not stream.stopped:
            self._owner.stream_reset(event.stream_id, event.error_code)
        stream.ended = True
        self._quic.discard(stream)

    def _tell_stop(self, event: events.StopSendingReceived) -> None:
        stream = self._quic.table.get(event.stream_id)
        if stream is None or stream.told:
            self._owner.stream_stopped(event.stream_id, event.error_code)
        else:
            stream.early_stop = event.error_code

    def _end(self, event: events.ConnectionTerminated) -> None:
        self._terminated = True
        quic, silent = self._quic, self._quic.fell_silent
        self._unread.clear()
        quic.forget_streams()
        self._owner.terminated(
            Termination(
                code=0 if silent else int(event.error_code),
                reason="nothing came from the peer for too long" if silent else event.reason_phrase,
                application=event.frame_type is None,
                by_peer=quic._state is QuicConnectionState.DRAINING or quic.was_reset or quic.version_refused,
                idle=silent,
                reset=quic.was_reset,
            )
        )
