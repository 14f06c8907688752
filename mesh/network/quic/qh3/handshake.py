"""qh3's facade for as long as it is needed: it makes the core and feeds it packet by packet, as TLS gives keys.

Afterwards it and all of TLS are let go, and the core is driven alone by `qh3.engine`: the facade re-parses every header
for its log, and a connection without it holds half the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from qh3 import tls
from qh3._hazmat import QuicConnectionCore
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection, QuicConnectionError, QuicConnectionState
from qh3.quic.packet import QuicProtocolVersion
from qh3.quic.tls_bridge import QuicTlsBridge, QuicTlsBridgeError

from mesh.identity.keys import PublicKey
from mesh.network.quic.engine import Address, Settings
from mesh.network.quic.protection import Protection
from mesh.network.quic.qh3.credit import UNBOUNDED
from mesh.network.quic.qh3.tls import CONNECTION_ID_LIMIT, MutualBridge, configure

if TYPE_CHECKING:
    from mesh.network.quic.qh3.engine import Qh3Engine

TRANSPORT_PARAMETER_ERROR: Final = 0x8
"""RFC 9000, 20.1."""
CORE_ERRORS: Final = (ValueError, RuntimeError, QuicConnectionError)
"""What the core and its facade raise."""
_INITIAL_RTT_S: Final = 0.15
"""Twice this passes before a first hello is repeated. RFC 9002 section 6.2.2 recommends 0.333, go-libp2p takes 0.1. With
a peer farther away than that, a hello is repeated needlessly and a dialer begins with the smallest datagrams."""
_ACK_DELAY_EXPONENT: Final = 3
_MAX_ACK_DELAY_S: Final = 0.025


@lru_cache(maxsize=8)
def _configuration(settings: Settings, dialer: bool) -> QuicConfiguration:
    return configure(settings, dialer)


class Handshake(QuicConnection):
    """A connection until its handshake has finished at this end."""

    def __init__(self, engine: Qh3Engine, settings: Settings, original_id: bytes, retry_id: bytes) -> None:
        self._engine = engine
        self._settings = settings
        dialer = engine.dialer
        super().__init__(
            configuration=_configuration(settings, dialer),
            original_destination_connection_id=None if dialer else original_id,
            retry_source_connection_id=retry_id or None,
        )

    def _create_core(self, remote_addr: Address, initial_dcid: bytes, now: float) -> None:
        settings = self._settings
        self._core = self._engine.core = QuicConnectionCore(
            is_client=self._is_client,
            version=QuicProtocolVersion.VERSION_1,
            local_addr=("0.0.0.0", 0),
            remote_addr=remote_addr,
            source_cid=self.host_cid,
            destination_cid=initial_dcid,
            peer_address_validated=self._is_client or self._retry_source_connection_id is not None,
            active_connection_id_limit=CONNECTION_ID_LIMIT,
            max_datagram_size=settings.max_datagram_bytes,
            probe_datagram_size=self._is_client,
            idle_timeout=settings.idle_timeout_s,
            ack_delay_exponent=_ACK_DELAY_EXPONENT,
            max_datagram_frame_size=None,
            peer_max_datagram_frame_size=None,
            connection_receive_window=settings.connection_window_bytes,
            connection_send_limit=0,
            stream_receive_window=UNBOUNDED,
            stream_send_limit_bidi_local=0,
            stream_send_limit_bidi_remote=0,
            stream_send_limit_uni=0,
            max_stream_reassembly=settings.stream_window_bytes,
            local_max_streams_bidi=settings.max_inbound_streams,
            local_max_streams_uni=0,
            peer_max_streams_bidi=0,
            peer_max_streams_uni=0,
            initial_rtt=_INITIAL_RTT_S,
            max_ack_delay=_MAX_ACK_DELAY_S,
            initial_time=now,
        )
        self._applied_transport_parameters = None
        self._pre_handshake_state_replayed = False

    def _create_tls(self, remote_source_cid: bytes | None) -> QuicTlsBridge:
        self._tls = self.bridge = MutualBridge(
            self._settings,
            self._configuration,
            version=self._version,
            local_initial_source_connection_id=self.host_cid,
            remote_initial_source_connection_id=remote_source_cid,
            original_destination_connection_id=self._original_destination_connection_id,
            retry_source_connection_id=self._retry_source_connection_id,
            stateless_reset_token=self._settings.reset_token(self.host_cid),
        )
        return self.bridge

    def _drain_core(self) -> None:
        self._engine.take_events()

    def take_crypto(self, epoch: int, offset: int, data: bytes) -> None:
        """TLS takes what the peer sent, the core what TLS answers. Raises QuicTlsBridgeError with the error to send."""
        self.bridge.receive_crypto(tls.Epoch(epoch), data, offset)
        try:
            self._drain_tls()
        except CORE_ERRORS as error:
            raise QuicTlsBridgeError(TRANSPORT_PARAMETER_ERROR, str(error)) from error

    @property
    def peer_key(self) -> PublicKey | None:
        """The peer's key once this end has finished its handshake."""
        return self.bridge.context.peer_key if self._handshake_complete else None

    @property
    def protections(self) -> tuple[Protection, Protection, int]:
        """Of packets with a short header that come and that go, and the length of the ids that the latter carry."""
        ways = self.bridge.protections
        peer_id = self.bridge.remote_initial_source_connection_id or b""
        return ways[tls.Direction.DECRYPT], ways[tls.Direction.ENCRYPT], len(peer_id)

    def release(self) -> None:
        """Undo the circle of callbacks through TLS, so that its memory is free at once."""
        self._tls = None
        self.bridge.tls.alpn_cb = None
        self.bridge.tls.update_traffic_key_cb = _ignore_key

    @property
    def version_refused(self) -> bool:
        """Whether the listener speaks no version of ours."""
        return self._state is QuicConnectionState.TERMINATED

    def shrinking(self, datagram_bytes: int) -> Callable[[], None]:
        """What makes the core, later on, send none larger than ``datagram_bytes``: all it needs to know of the peer."""
        peer = self.bridge.remote_transport_parameters
        assert peer is not None
        assert self._core is not None
        return partial(
            self._core.apply_peer_transport_parameters,
            connection_send_limit=peer.initial_max_data or 0,
            stream_send_limit_bidi_local=peer.initial_max_stream_data_bidi_local or 0,
            stream_send_limit_bidi_remote=peer.initial_max_stream_data_bidi_remote or 0,
            stream_send_limit_uni=peer.initial_max_stream_data_uni or 0,
            peer_max_streams_bidi=peer.initial_max_streams_bidi or 0,
            peer_max_streams_uni=peer.initial_max_streams_uni or 0,
            ack_delay_exponent=(
                _ACK_DELAY_EXPONENT if peer.ack_delay_exponent is None else peer.ack_delay_exponent
            ),
            max_ack_delay=_MAX_ACK_DELAY_S if peer.max_ack_delay is None else peer.max_ack_delay / 1000,
            peer_idle_timeout=peer.max_idle_timeout / 1000 if peer.max_idle_timeout else None,
            max_datagram_frame_size=None,
            active_connection_id_limit=peer.active_connection_id_limit or 2,
            disable_active_migration=bool(peer.disable_active_migration),
            max_udp_payload_size=datagram_bytes,
        )


def _ignore_key(*_: object) -> None:
    """TLS has no keys to give any more."""


def numeric(address: Address) -> Address:
    """The address without the interface's name, which the core does not read; the scope's number says the same."""
    host, _, zone = address[0].partition("%")
    return (host, *address[1:]) if zone else address
