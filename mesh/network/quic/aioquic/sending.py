"""What an aioquic connection says, and in which order.

aioquic looks through all streams for every packet, answers received bytes with ever larger windows, and acknowledges in
packets of their own. Here streams with something to say are queued and served in turn; credit is what a reader has
taken; acknowledgements go along with whatever leaves; and one padded packet at a time asks whether the path carries
larger datagrams (RFC 8899, RFC 9000 section 14.3): its loss says nothing about congestion.
"""

from __future__ import annotations

from aioquic import tls
from aioquic.buffer import size_uint_var
from aioquic.quic.connection import (
    CONNECTION_LIMIT_FRAME_CAPACITY,
    MAX_STREAM_DATA_FRAME_CAPACITY,
    RESET_STREAM_FRAME_CAPACITY,
    STOP_SENDING_FRAME_CAPACITY,
    Limit,
    QuicConnection,
    QuicConnectionError,
    QuicNetworkPath,
)
from aioquic.quic.events import StreamDataReceived
from aioquic.quic.packet import QuicErrorCode, QuicFrameType, QuicPacketType, QuicStreamFrame
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder, QuicPacketBuilderStop
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream, QuicStreamReceiver

from mesh.network.quic.aioquic.recovery import Recovery
from mesh.network.quic.engine import Address

MAX_GAPS = 1000
CREDIT_SHARE = 4
"""Credit is told when this part of a window has been read since it was told last."""
BULK_DATAGRAMS = 4
"""In flight at once before larger datagrams are worth asking for."""
MTU_PROBES = 3
"""Lost ones before a size is given up."""
BLACK_HOLE_TIMEOUTS = 3
"""Probe timeouts in a row after which datagrams are small again (RFC 8899 section 4.3)."""
KEY_UPDATE_PACKETS = 1 << 22
"""Half of what one AES-GCM key may protect (RFC 9001 section 6.6)."""
_ONE_RTT = tls.Epoch.ONE_RTT
_ACKED = QuicDeliveryState.ACKED
_LENGTH_BYTES = 2
_STREAM = QuicFrameType.STREAM_BASE | 2


class Receiver(QuicStreamReceiver):
    """The bytes of a stream that have come. aioquic searches what has come out of order from its beginning, for every
    frame: it may not be in a great many pieces."""

    def handle_frame(self, frame: QuicStreamFrame) -> StreamDataReceived | None:
        event = super().handle_frame(frame)
        if len(self._ranges) > MAX_GAPS:
            raise QuicConnectionError(
                QuicErrorCode.INTERNAL_ERROR, QuicFrameType.STREAM_BASE, "a stream with too many gaps"
            )
        return event


class Stream(QuicStream):
    """A bidirectional stream; ``number`` is its id.

    ``told``: the owner knows of it. ``ended``: it knows that no more will come. ``stopped``: nobody reads it any more.
    ``early_stop`` is the code of a STOP_SENDING that came before its first bytes.
    """

    def __init__(self, number: int, local_bytes: int, remote_bytes: int, told: bool) -> None:
        super().__init__(number, max_stream_data_local=local_bytes, max_stream_data_remote=remote_bytes)
        self.receiver = Receiver(number, readable=True)
        self.number = number
        self.told = told
        self.ended = False
        self.stopped = False
        self.early_stop: int | None = None


class Sending(QuicConnection):
    """The half of a connection that writes packets."""

    _loss: Recovery
    stream_window_bytes: int
    connection_window_bytes: int

    def prepare_sending(self, smallest_bytes: int, largest_bytes: int) -> None:
        """Called once the stock connection has been made. Datagrams may grow up to ``largest_bytes``."""
        self.table: dict[int, Stream] = {}
        self._streams = self.table  # type: ignore[assignment]
        self._ready: dict[int, Stream] = {}
        self._held_back: dict[int, Stream] = {}
        self._commands: dict[int, Stream] = {}
        self._credits: dict[int, Stream] = {}
        self._smallest_bytes = smallest_bytes
        self.largest_bytes = largest_bytes
        self._probing = False
        self._probes_lost = 0
        self._next_key_update = KEY_UPDATE_PACKETS

    # --- what there is to say ---------------------------------------------------------------------------------------

    def queue(self, stream: Stream) -> None:
        """A stream has bytes or its end to send."""
        self._ready[stream.number] = stream

    def command(self, stream: Stream) -> None:
        """A stream has a RESET_STREAM or STOP_SENDING to send."""
        self._commands[stream.number] = stream

    def grant(self, stream_id: int, size: int, *, stream_too: bool = True) -> None:
        """``size`` bytes of a stream were read or dropped: the peer may send as many more."""
        self._local_max_data.value += size
        stream = self.table.get(stream_id)
        if stream_too and stream is not None and not stream.receiver.is_finished:
            stream.max_stream_data_local += size
            if self._credit_due(stream):
                self._credits[stream_id] = stream

    def _credit_due(self, stream: Stream) -> bool:
        unsaid = stream.max_stream_data_local - stream.max_stream_data_local_sent
        return unsaid * CREDIT_SHARE >= self.stream_window_bytes and stream.receiver._final_size is None

    def release(self) -> None:
        """The peer's window for the whole connection has grown."""
        self._ready.update(self._held_back)
        self._held_back.clear()

    def release_stream(self, stream_id: int) -> None:
        """The peer's window for one stream has grown."""
        stream = self._held_back.pop(stream_id, None)
        if stream is not None:
            self._ready[stream_id] = stream

    def drop_unsent(self, stream: Stream) -> None:
        """A stream was reset: what it had to send is of no use, the RESET_STREAM is."""
        sender = stream.sender
        if sender.reset_pending:
            sender._buffer.clear()
            sender._pending = RangeSet()
            self._ready.pop(stream.number, None)
            self._held_back.pop(stream.number, None)
            self.command(stream)

    def drop_received(self, stream: Stream) -> None:
        """The peer has reset a stream: what of it was not delivered never will be, and no longer counts."""
        receiver = stream.receiver
        undelivered = receiver.highest_offset - receiver.starting_offset()
        receiver._buffer.clear()
        receiver._ranges = RangeSet()
        self._local_max_data.value += undelivered

    def allow(self, most: int) -> None:
        """The next batch may be of so many datagrams."""
        self._loss.batch_bytes = most * self._max_datagram_size

    def discard(self, stream: Stream) -> None:
        """Forget a stream if both its directions are finished; the peer may open another for one that it opened."""
        if not (stream.sender.is_finished and stream.ended) or self.table.pop(stream.number, None) is None:
            return
        for queue in (self._ready, self._held_back, self._commands, self._credits):
            queue.pop(stream.number, None)
        if (stream.number) & 1 == self._is_client:
            self._local_max_streams_bidi.value += 1

    def forget_streams(self) -> None:
        """The connection is over."""
        for table in (self.table, self._ready, self._held_back, self._commands, self._credits):
            table.clear()

    # --- packets ----------------------------------------------------------------------------------------------------

    def _write_application(
        self, builder: QuicPacketBuilder, network_path: QuicNetworkPath, now: float
    ) -> None:
        crypto = self._cryptos[_ONE_RTT]
        if not crypto.send.is_valid():
            return
        space = self._spaces[_ONE_RTT]
        pacer = self._loss.pacer
        besides = True  # whether there may be anything besides streams: nothing new comes up while packets are written
        while True:
            if space.ack_at is None or space.ack_at > now:
                if not (self._ready or (besides and self._something_besides(network_path))):
                    return
                self._pacing_at = pacer.next_send_time(now=now)
                if self._pacing_at is not None:
                    return
            builder.start_packet(QuicPacketType.ONE_RTT, crypto)
            try:
                if space.ack_at is not None:
                    self._write_ack_frame(builder=builder, space=space, now=now)
                if besides:
                    if self._handshake_complete:
                        self._write_path_frames(builder, network_path, now)
                        self._write_connection_frames(builder)
                    self._write_small_frames(builder, space)
                    self._write_commands(builder)
                    besides = False
                self._write_streams(builder)
            except QuicPacketBuilderStop:
                if builder.packet_is_empty:
                    raise
            if builder.packet_is_empty:
                return
            pacer.update_after_send(now=now)

    def _something_besides(self, path: QuicNetworkPath) -> bool:
        return bool(
            self._commands
            or self._credits
            or self._probe_pending
            or self._ping_pending
            or self._handshake_done_pending
            or self._retire_connection_ids
            or path.remote_challenges
            or not (path.is_validated or path.local_challenge_sent)
            or self._limit_due(self._local_max_data, self.connection_window_bytes // CREDIT_SHARE)
            or self._limit_due(self._local_max_streams_bidi, 1)
            or not self._crypto_streams[_ONE_RTT].sender.buffer_is_empty
            or any(not connection_id.was_sent for connection_id in self._host_cids)
        )

    def _write_path_frames(self, builder: QuicPacketBuilder, path: QuicNetworkPath, now: float) -> None:
        if not (path.is_validated or path.local_challenge_sent):
            self._write_path_challenge_frame(builder=builder, network_path=path)
            if path.validation_deadline is None:
                longest = max(self._loss.get_probe_timeout(), 2 * self._configuration.initial_rtt)
                path.validation_deadline = now + 3 * longest
        while path.remote_challenges:
            self._write_path_response_frame(builder=builder, challenge=path.remote_challenges[0])
            path.remote_challenges.popleft()

    def _write_connection_frames(self, builder: QuicPacketBuilder) -> None:
        if self._handshake_done_pending:
            self._write_handshake_done_frame(builder=builder)
            self._handshake_done_pending = False
        for connection_id in self._host_cids:
            if not connection_id.was_sent:
                self._write_new_connection_id_frame(builder=builder, connection_id=connection_id)
        while self._retire_connection_ids:
            self._write_retire_connection_id_frame(
                builder=builder, sequence_number=self._retire_connection_ids[0]
            )
            self._retire_connection_ids.pop(0)
        if self._limit_due(self._local_max_data, self.connection_window_bytes // CREDIT_SHARE):
            self._write_limit(builder, self._local_max_data)
        if self._limit_due(self._local_max_streams_bidi, 1):
            self._write_limit(builder, self._local_max_streams_bidi)

    @staticmethod
    def _limit_due(limit: Limit, step: int) -> bool:
        """Streams are told in batches: when the peer may open fewer than it would be allowed in addition."""
        unsaid = limit.value - limit.sent
        return unsaid >= step and (step > 1 or unsaid > limit.sent - limit.used)

    def _write_limit(self, builder: QuicPacketBuilder, limit: Limit) -> None:
        buffer = builder.start_frame(
            limit.frame_type,
            capacity=CONNECTION_LIMIT_FRAME_CAPACITY,
            handler=self._on_connection_limit_delivery,
            handler_args=(limit,),
        )
        buffer.push_uint_var(limit.value)
        limit.sent = limit.value

    def _write_small_frames(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        while self._credits:
            stream_id, stream = next(iter(self._credits.items()))
            buffer = builder.start_frame(
                QuicFrameType.MAX_STREAM_DATA,
                capacity=MAX_STREAM_DATA_FRAME_CAPACITY,
                handler=self._on_credit,
                handler_args=(stream,),
            )
            buffer.push_uint_var(stream_id)
            buffer.push_uint_var(stream.max_stream_data_local)
            stream.max_stream_data_local_sent = stream.max_stream_data_local
            del self._credits[stream_id]
        if self._ping_pending:
            self._write_ping_frame(builder, self._ping_pending)
            self._ping_pending.clear()
        if self._probe_pending:
            self._write_ping_frame(builder, comment="probe")
            self._probe_pending = False
        crypto_stream = self._crypto_streams[_ONE_RTT]
        if not crypto_stream.sender.buffer_is_empty:
            self._write_crypto_frame(builder=builder, space=space, stream=crypto_stream)

    def _write_commands(self, builder: QuicPacketBuilder) -> None:
        while self._commands:
            stream_id, stream = next(iter(self._commands.items()))
            if stream.receiver.stop_pending:
                buffer = builder.start_frame(
                    QuicFrameType.STOP_SENDING,
                    capacity=STOP_SENDING_FRAME_CAPACITY,
                    handler=self._on_stop,
                    handler_args=(stream,),
                )
                buffer.push_uint_var(stream_id)
                buffer.push_uint_var(stream.receiver.get_stop_frame().error_code)
            if stream.sender.reset_pending:
                buffer = builder.start_frame(
                    QuicFrameType.RESET_STREAM,
                    capacity=RESET_STREAM_FRAME_CAPACITY,
                    handler=self._on_reset,
                    handler_args=(stream,),
                )
                frame = stream.sender.get_reset_frame()
                buffer.push_uint_var(stream_id)
                buffer.push_uint_var(frame.error_code)
                buffer.push_uint_var(frame.final_size)
            del self._commands[stream_id]

    def _write_streams(self, builder: QuicPacketBuilder) -> None:
        """Fill the packet with what streams have to say, in turn."""
        ready = self._ready
        while ready:
            stream_id = next(iter(ready))
            stream = ready[stream_id]
            sender = stream.sender
            offset = sender.next_offset
            overhead = 1 + _LENGTH_BYTES + size_uint_var(stream_id) + (size_uint_var(offset) if offset else 0)
            room = builder.remaining_flight_space - overhead
            if room <= 0:
                if builder.packet_is_empty:
                    raise QuicPacketBuilderStop
                return
            stop = self._write_stream(builder, stream, room, overhead)
            if stop is None:
                del ready[stream_id]
                if len(sender._pending):
                    self._held_back[stream_id] = stream
                continue
            if stop == sender._buffer_stop and not len(sender._pending) and not sender._pending_eof:
                sender.buffer_is_empty = True
                del ready[stream_id]
            elif len(ready) > 1:
                ready[stream_id] = ready.pop(stream_id)
            if stop - offset == room:
                return

    def _write_stream(
        self, builder: QuicPacketBuilder, stream: Stream, room: int, overhead: int
    ) -> int | None:
        """Write one STREAM frame and give the offset after it; None if the stream has nothing or may send nothing."""
        sender = stream.sender
        if sender._reset_error_code is not None:
            return None
        highest = sender.highest_offset
        credit = self._remote_max_data - self._remote_max_data_used
        frame = sender.get_frame(room, min(highest + credit, stream.max_stream_data_remote))
        if frame is None:
            return None
        start, data, fin = frame.offset, frame.data, frame.fin
        size = len(data)
        stop = start + size
        buffer = builder.start_frame(
            _STREAM | (4 if start else 0) | fin,
            overhead,
            self._on_stream_data,
            (stream, start, stop, fin),
        )
        buffer.push_uint_var(stream.number)
        if start:
            buffer.push_uint_var(start)
        buffer.push_uint16(size | 0x4000)
        buffer.push_bytes(data)
        self._remote_max_data_used += sender.highest_offset - highest
        return stop

    # --- larger datagrams -------------------------------------------------------------------------------------------

    def tend(self, now: float) -> list[tuple[bytes, Address]]:
        """Once a batch: replace an old key, return to small datagrams if none arrives, or ask for larger ones."""
        if self._packet_number >= self._next_key_update:
            self._next_key_update += KEY_UPDATE_PACKETS
            self.request_key_update()
        size = self._max_datagram_size
        if size > self._smallest_bytes and self._loss.timeouts >= BLACK_HOLE_TIMEOUTS:
            self._probes_lost = MTU_PROBES
            self._resize(self._smallest_bytes)
        if (
            size >= self.largest_bytes
            or self._probing
            or self._probes_lost >= MTU_PROBES
            or self._loss.window.bytes_in_flight < BULK_DATAGRAMS * size
            or not self._handshake_confirmed
            or not self._network_paths[0].is_validated
        ):
            return []
        return self._write_probe(now)

    def _write_probe(self, now: float) -> list[tuple[bytes, Address]]:
        builder = QuicPacketBuilder(
            host_cid=self.host_cid,
            is_client=self._is_client,
            max_datagram_size=self.largest_bytes,
            packet_number=self._packet_number,
            peer_cid=self._peer_cid.cid,
            spin_bit=self._spin_bit,
            version=self._version or 0,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, self._cryptos[_ONE_RTT])
        builder.start_frame(QuicFrameType.PING, handler=self._on_probe, handler_args=(self.largest_bytes,))
        builder._datagram_needs_padding = True
        datagrams, (packet,) = builder.flush()
        packet.sent_time = now
        packet.in_flight = False
        self._packet_number = builder.packet_number
        self._loss.on_packet_sent(packet=packet, space=self._spaces[_ONE_RTT])
        self._loss._time_of_last_sent_ack_eliciting_packet = now
        self._probing = True
        return [(datagram, self._network_paths[0].addr) for datagram in datagrams]

    def _on_probe(self, delivery: QuicDeliveryState, size: int) -> None:
        self._probing = False
        if delivery is not _ACKED:
            self._probes_lost += 1
        elif size <= self.largest_bytes:
            self._resize(size)

    def limit_datagrams(self, size: int) -> None:
        """The peer takes none that are larger (RFC 9000 section 18.2)."""
        self.largest_bytes = min(self.largest_bytes, size)
        self._smallest_bytes = min(self._smallest_bytes, size)
        if size < self._max_datagram_size:
            self._resize(size)

    def _resize(self, size: int) -> None:
        self._max_datagram_size = size
        self._loss.resize(size)

    # --- what became of it ------------------------------------------------------------------------------------------

    def _on_stream_data(
        self, delivery: QuicDeliveryState, stream: Stream, start: int, stop: int, fin: bool
    ) -> None:
        stream.sender.on_data_delivery(delivery, start, stop, fin)
        if delivery is _ACKED:
            if stream.sender.is_finished:
                self.discard(stream)
        elif stream.sender._reset_error_code is None:
            self._held_back.pop(stream.number, None)
            self.queue(stream)

    def _on_credit(self, delivery: QuicDeliveryState, stream: Stream) -> None:
        if delivery is not _ACKED and stream.receiver._final_size is None:
            self._credits[stream.number] = stream

    def _on_reset(self, delivery: QuicDeliveryState, stream: Stream) -> None:
        stream.sender.on_reset_delivery(delivery)
        if delivery is _ACKED:
            self.discard(stream)
        else:
            self.command(stream)

    def _on_stop(self, delivery: QuicDeliveryState, stream: Stream) -> None:
        if delivery is not _ACKED and not stream.receiver.is_finished:
            stream.receiver.stop_pending = True
            self.command(stream)
