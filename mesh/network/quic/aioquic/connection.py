"""An aioquic connection with libp2p's handshake and with bounds on everything a peer may make it keep.

It differs from the stock one in what is negotiated (version 1 alone, both certificates, no tickets), in the ids it
issues, and in streams: at most ``max_inbound_streams`` of the peer's are alive at once, none of them unidirectional.
"""

from __future__ import annotations

from functools import cache
from os import urandom

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic import connection as stock
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    END_STATES,
    Limit,
    QuicConnection,
    QuicConnectionError,
    QuicConnectionId,
    QuicNetworkPath,
    QuicReceiveContext,
    stream_is_client_initiated,
)
from aioquic.quic.events import ConnectionIdIssued, ConnectionTerminated
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicFrameType,
    QuicHeader,
    QuicProtocolVersion,
    pull_quic_transport_parameters,
)
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream, StreamFinishedError

from mesh.network.quic.aioquic.recovery import INITIAL_RTT_S, Recovery
from mesh.network.quic.aioquic.sending import Receiver, Sending, Stream
from mesh.network.quic.aioquic.tls import (
    MAX_HANDSHAKE_BYTES,
    PARSER_FAULTS,
    SILENCE,
    MutualTls,
    OwnCertificate,
)
from mesh.network.quic.engine import ALPN, CONNECTION_ID_BYTES, Address, Settings

stock.EPOCHS = cache(stock.EPOCHS)
"""It is called for each of 33 frames of every connection, and makes the same few sets."""
MAX_IDS = 4
"""Ids of this end that a peer holds at once."""
MAX_REASON_BYTES = 256
_FLIGHT_BYTES = 2048
"""Of TLS messages going out at once, besides the certificate."""


def _configured(settings: Settings, dialer: bool) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=[ALPN],
        connection_id_length=CONNECTION_ID_BYTES,
        idle_timeout=settings.idle_timeout_s,
        initial_rtt=INITIAL_RTT_S,
        is_client=dialer,
        max_data=settings.connection_window_bytes,
        max_datagram_size=settings.datagram_bytes,
        max_stream_data=settings.stream_window_bytes,
        certificate=OwnCertificate(settings.certificate),
        private_key=settings.certificate_key,
        supported_versions=[QuicProtocolVersion.VERSION_1],
    )


class Connection(Sending):
    """``raised`` is set when the peer allows more streams than before; whoever reads it clears it."""

    tls: MutualTls

    def __init__(
        self,
        settings: Settings,
        address: Address,
        now: float,
        *,
        dialer: bool,
        original_id: bytes,
        retry_id: bytes,
    ) -> None:
        QuicConnection.__init__(
            self,
            configuration=_configured(settings, dialer),
            original_destination_connection_id=None if dialer else original_id,
            retry_source_connection_id=retry_id or None,
        )
        self._settings = settings
        self.raised = self.was_reset = self.fell_silent = self.version_refused = False
        self.stream_window_bytes = settings.stream_window_bytes
        self.connection_window_bytes = settings.connection_window_bytes
        self._logger = SILENCE  # type: ignore[assignment]
        self._loss = Recovery(dialer, settings.datagram_bytes, settings.max_in_flight_bytes, self._send_probe)
        own = self._host_cids[0]
        if not dialer:
            own.stateless_reset_token = settings.reset_token(own.cid)
            self._network_paths = [QuicNetworkPath(address, is_validated=bool(retry_id))]
            self._close_at = now + settings.idle_timeout_s
        self._local_max_streams_bidi = Limit(
            QuicFrameType.MAX_STREAMS_BIDI, "max_streams_bidi", settings.max_inbound_streams
        )
        self._local_max_streams_uni = Limit(QuicFrameType.MAX_STREAMS_UNI, "max_streams_uni", 0)
        self._local_max_stream_data_uni = 0
        self.prepare_sending(settings.datagram_bytes, settings.max_datagram_bytes)

    # --- handshake --------------------------------------------------------------------------------------------------

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        extensions, settings = self.tls.handshake_extensions, self._settings
        self.tls = MutualTls(self._is_client, settings.certificate, settings.certificate_key, settings.verify)
        self.tls.handshake_extensions = extensions
        self.tls.alpn_cb = self._alpn_handler
        self.tls.update_traffic_key_cb = self._update_traffic_key
        flight_bytes = _FLIGHT_BYTES + len(settings.certificate)
        self._crypto_buffers = {epoch: Buffer(capacity=flight_bytes) for epoch in self._crypto_buffers}
        for stream in self._crypto_streams.values():
            stream.receiver = Receiver(None, readable=True)

    def _handle_ack_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        start = buf.tell()
        if buf.pull_uint_var() >= self._packet_number:
            raise QuicConnectionError(
                QuicErrorCode.PROTOCOL_VIOLATION, frame_type, "a packet was acknowledged that was never sent"
            )
        buf.seek(start)
        super()._handle_ack_frame(context, frame_type, buf)

    def _handle_crypto_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        start = buf.tell()
        end = buf.pull_uint_var() + buf.pull_uint_var()
        buf.seek(start)
        if end - self._crypto_streams[context.epoch].receiver.starting_offset() > MAX_HANDSHAKE_BYTES:
            raise QuicConnectionError(
                QuicErrorCode.CRYPTO_BUFFER_EXCEEDED, frame_type, "too much of a handshake at once"
            )
        super()._handle_crypto_frame(context, frame_type, buf)

    def _parse_transport_parameters(self, data: bytes, from_session_ticket: bool = False) -> None:
        super()._parse_transport_parameters(data, from_session_ticket)
        theirs = pull_quic_transport_parameters(Buffer(data=data)).max_udp_payload_size
        self._remote_preferred_address = None  # nobody is dialled because a peer says so
        if theirs is not None:
            self.limit_datagrams(theirs)

    def _receive_version_negotiation_packet(self, header: QuicHeader, now: float) -> None:
        super()._receive_version_negotiation_packet(header, now)
        if self._close_event is not None:
            self._close_event.error_code = QuicErrorCode.VERSION_NEGOTIATION_ERROR
            self._close_event.reason_phrase = "the peer does not speak version 1 of QUIC"
            self.version_refused = True

    def _payload_received(
        self, context: QuicReceiveContext, plain: bytes, crypto_frame_required: bool = False
    ) -> tuple[bool, bool]:
        try:
            return super()._payload_received(context, plain, crypto_frame_required)
        except PARSER_FAULTS as fault:
            raise QuicConnectionError(
                QuicErrorCode.PROTOCOL_VIOLATION, QuicFrameType.PADDING, f"{type(fault).__name__}: {fault}"
            ) from fault

    def close(
        self,
        error_code: int = QuicErrorCode.NO_ERROR,
        frame_type: int | None = None,
        reason_phrase: str = "",
    ) -> None:
        short = reason_phrase.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
        super().close(error_code, frame_type, short)

    def _write_crypto_frame(
        self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream
    ) -> bool:
        """A dialer's first packets fill their datagrams themselves: listeners there are that count nothing behind a
        packet as received, and may then not answer with all they have to say (RFC 9000 section 8.1)."""
        written = super()._write_crypto_frame(builder, space, stream)
        if (
            written
            and self._is_client
            and space is self._spaces[tls.Epoch.INITIAL]
            and not self._cryptos[tls.Epoch.HANDSHAKE].send.is_valid()
        ):
            builder._buffer.push_bytes(bytes(max(builder.remaining_flight_space, 0)))
        return written

    def forget_handshake(self) -> None:
        """It is over: no message of TLS needs an answer any more."""
        self.tls.forget()
        self._crypto_buffers = {}

    def dismantle(self) -> None:
        """The end, for good: without it a hundred circles of references would wait for the collector."""
        vars(self).clear()

    @property
    def connected(self) -> bool:
        """Whether there is something to send with: a dialer has started, a listener has seen an Initial."""
        return bool(self._cryptos)

    def get_timer(self) -> float | None:
        return super().get_timer() if self._cryptos else self._close_at

    def handle_timer(self, now: float) -> None:
        silent = self._close_event is None and self._close_at is not None and now >= self._close_at
        super().handle_timer(now)
        self.fell_silent |= silent

    def end_by_reset(self) -> None:
        """The peer has forgotten this connection (RFC 9000 section 10.3.1)."""
        if self._state not in END_STATES and self._close_event is None:
            self.was_reset = True
            self._close_event = ConnectionTerminated(
                error_code=QuicErrorCode.NO_ERROR,
                frame_type=QuicFrameType.PADDING,
                reason_phrase="stateless reset",
            )
            self._close_end()

    # --- connection ids ---------------------------------------------------------------------------------------------

    @property
    def own_ids(self) -> list[bytes]:
        """The ids of this end that the peer may use."""
        return [connection_id.cid for connection_id in self._host_cids]

    @property
    def peer_reset_token(self) -> bytes:
        """What a stateless reset of the id in use ends with; empty when the peer gave none."""
        return self._peer_cid.stateless_reset_token or b""

    def _replenish_connection_ids(self) -> None:
        while len(self._host_cids) < min(MAX_IDS, self._remote_active_connection_id_limit):
            connection_id = urandom(CONNECTION_ID_BYTES)
            self._host_cids.append(
                QuicConnectionId(
                    cid=connection_id,
                    sequence_number=self._host_cid_seq,
                    stateless_reset_token=self._settings.reset_token(connection_id),
                )
            )
            self._host_cid_seq += 1
            self._events.append(ConnectionIdIssued(connection_id=connection_id))

    def _write_new_connection_id_frame(
        self, builder: QuicPacketBuilder, connection_id: QuicConnectionId
    ) -> None:
        super()._write_new_connection_id_frame(builder, connection_id)
        self._events.pop()  # it was told when the id was made

    # --- streams ----------------------------------------------------------------------------------------------------

    @property
    def can_open(self) -> bool:
        return (
            self._handshake_complete and self._local_next_stream_id_bidi // 4 < self._remote_max_streams_bidi
        )

    def open_stream(self) -> int:
        number = self._local_next_stream_id_bidi
        self._local_next_stream_id_bidi += 4
        self.table[number] = Stream(
            number, self.stream_window_bytes, self._remote_max_stream_data_bidi_remote, told=True
        )
        return number

    def _get_or_create_stream(self, frame_type: int, stream_id: int) -> QuicStream:
        stream = self.table.get(stream_id)
        if stream is not None:
            return stream
        if self._stream_is_discarded(stream_id):
            raise StreamFinishedError
        if stream_is_client_initiated(stream_id) == self._is_client:
            raise QuicConnectionError(
                QuicErrorCode.STREAM_STATE_ERROR, frame_type, "a stream this end has not opened"
            )
        limit = self._stream_limit(stream_id)
        count = stream_id // 4 + 1
        if count > limit.value:
            raise QuicConnectionError(
                QuicErrorCode.STREAM_LIMIT_ERROR, frame_type, "more streams than allowed"
            )
        for number in range(limit.used * 4 + stream_id % 4, stream_id + 1, 4):
            self.table[number] = Stream(
                number, self.stream_window_bytes, self._remote_max_stream_data_bidi_local, told=False
            )
        limit.used = count
        return self.table[stream_id]

    def _handle_max_data_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        super()._handle_max_data_frame(context, frame_type, buf)
        self.release()

    def _handle_max_stream_data_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        start = buf.tell()
        stream_id = buf.pull_uint_var()
        buf.seek(start)
        super()._handle_max_stream_data_frame(context, frame_type, buf)
        self.release_stream(stream_id)

    def _handle_max_streams_bidi_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        before = self._remote_max_streams_bidi
        super()._handle_max_streams_bidi_frame(context, frame_type, buf)
        self.raised |= self._remote_max_streams_bidi > before

    def _handle_stop_sending_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        start = buf.tell()
        stream_id = buf.pull_uint_var()
        buf.seek(start)
        super()._handle_stop_sending_frame(context, frame_type, buf)
        self.drop_unsent(self.table[stream_id])
