"""libp2p's TLS over qh3's TLS 1.3: both ends show a certificate, nothing of the web's (libp2p digest, sections 7 and 9).

qh3 answers a request for a certificate but makes none; here the listener asks (RFC 8446, 4.3.2) and takes Certificate,
CertificateVerify and Finished in that order. The hellos are our own: key shares of X25519 and P-256, one ALPN, no server
name, no encrypted hello, no tickets, no compression, nothing sent to look like a browser. qh3 knows no
HelloRetryRequest: a client without a share of those groups gets a handshake failure, a server that retries a decode
error.

Both classes rest on qh3's private names; `tests/network/quic/test_qh3_internals.py` holds them against the version.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

from qh3 import tls
from qh3._hazmat import (
    Buffer,
    Certificate,
    CryptoError,
    ECDHP256KeyExchange,
    EcPrivateKey,
    SignatureError,
    X25519KeyExchange,
    verify_with_public_key,
)
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.packet import QuicTransportParameters, push_quic_transport_parameters
from qh3.quic.tls_bridge import (
    QuicTlsBridge,
    QuicTlsBridgeError,
    QuicTlsCryptoData,
    QuicTlsTrafficSecret,
)

from mesh.errors import PeerError
from mesh.identity.keys import PublicKey
from mesh.network.quic.engine import ALPN, Settings
from mesh.network.quic.protection import Protection

MAX_HANDSHAKE_BYTES: Final = 64 * 1024
"""The most of one handshake message that is kept: four times the largest certificate."""
CRYPTO_FRAME_BYTES: Final = 560
"""Two frames of this fit in the smallest datagram and three fill more than an Ethernet's: whatever datagrams a path is
later found to carry, those of a handshake stay small."""
CONNECTION_ID_LIMIT: Final = 4
"""Spare connection ids that are kept of the peer, and that it gets of ours at most."""

CRYPTO_ERROR: Final = 0x100
"""TLS alert n is transport error 0x100 + n (RFC 9001, 4.8)."""
DECODE_ERROR: Final = 50
MISSING_EXTENSION: Final = 109
CERTIFICATE_REQUIRED: Final = 116
NO_APPLICATION_PROTOCOL: Final = 120

_SIGNATURES: Final[list[int]] = [
    tls.SignatureAlgorithm.ECDSA_SECP256R1_SHA256,
    tls.SignatureAlgorithm.ED25519,
    tls.SignatureAlgorithm.ECDSA_SECP384R1_SHA384,
    tls.SignatureAlgorithm.ECDSA_SECP521R1_SHA512,
    tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA256,
    tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA384,
    tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA512,
]
_CIPHERS: Final = [
    tls.CipherSuite.AES_128_GCM_SHA256,
    tls.CipherSuite.AES_256_GCM_SHA384,
    tls.CipherSuite.CHACHA20_POLY1305_SHA256,
]
_CLIENT_FLIGHT: Final = (
    tls.HandshakeType.CERTIFICATE,
    tls.HandshakeType.CERTIFICATE_VERIFY,
    tls.HandshakeType.FINISHED,
)
_PARSING: Final = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RuntimeError,
    CryptoError,
    SignatureError,
)
"""What qh3's parsers raise for a message that is none, besides its alerts."""


class Refusal(tls.Alert):
    """An alert that qh3 has no class for, or that the check of a certificate asked for."""

    def __init__(self, alert: int, reason: str) -> None:
        super().__init__(reason)
        self.description = alert  # type: ignore[assignment]  # qh3 only takes its int


def configure(settings: Settings, dialer: bool) -> QuicConfiguration:
    """What qh3 wants of one end: our certificate and key. May serve any number of connections."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = tls.load_pem_private_key(
        settings.certificate_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return QuicConfiguration(
        is_client=dialer,
        alpn_protocols=[ALPN],
        cipher_suites=list(_CIPHERS),
        signature_algorithms=list(_SIGNATURES),
        verify_mode=ssl.CERT_NONE,
        certificate=Certificate(settings.certificate),
        private_key=key,
        idle_timeout=settings.idle_timeout_s,
        active_connection_id_limit=CONNECTION_ID_LIMIT,
    )


class MutualContext(tls.Context):
    """A TLS context that knows the peer by its certificate, in either role. Made from qh3's by `adopt`."""

    peer_key: PublicKey | None
    _verify: Callable[[Sequence[bytes]], PublicKey]
    _shown: list[bytes]
    _steps: int

    @classmethod
    def adopt(cls, context: tls.Context, verify: Callable[[Sequence[bytes]], PublicKey]) -> MutualContext:
        """Make ``context``, fresh from qh3's bridge, one of these."""
        context.__class__ = cls
        assert isinstance(context, cls)
        context.peer_key = None
        context._verify = verify
        context._shown = []
        context._steps = 0
        context._supported_groups = [tls.Group.X25519, tls.Group.SECP256R1]
        context._supported_versions = [tls.TLS_VERSION_1_3]
        context._compress_certificate_algorithms = None
        context._max_early_data = None
        return context

    def handle_message(self, input_data: bytes, output_buf: dict[tls.Epoch, Buffer], epoch: int = -1) -> None:
        if len(self._receive_buffer) + len(input_data) > MAX_HANDSHAKE_BYTES:
            raise tls.AlertDecodeError("a handshake message is too long")
        if self.state == tls.State.SERVER_EXPECT_FINISHED:
            self._take_client_flight(input_data, output_buf, epoch)
        else:
            super().handle_message(input_data, output_buf, epoch)

    # --- the dialer ---------------------------------------------------------------------------------------------------

    def _client_send_hello(self, output_buf: Buffer) -> None:
        self._x25519_private_key = X25519KeyExchange()
        self._ec_p256_private_key = ECDHP256KeyExchange()
        hello = tls.ClientHello(
            random=self.client_random or b"",
            legacy_session_id=b"",
            cipher_suites=[int(suite) for suite in _CIPHERS],
            legacy_compression_methods=[tls.CompressionMethod.NULL],
            alpn_protocols=[ALPN],
            key_share=[
                (tls.Group.X25519, self._x25519_private_key.public_key()),
                (tls.Group.SECP256R1, self._ec_p256_private_key.public_key()),
            ],
            signature_algorithms=_SIGNATURES,
            supported_groups=[int(group) for group in self._supported_groups],
            supported_versions=[tls.TLS_VERSION_1_3],
            other_extensions=list(self.handshake_extensions),
        )
        self._key_schedule_proxy = tls.KeyScheduleProxy(_CIPHERS)
        self._key_schedule_proxy.extract(None)
        with tls.push_message(self._key_schedule_proxy, output_buf):
            tls.push_client_hello(output_buf, hello)
        self._set_state(tls.State.CLIENT_EXPECT_SERVER_HELLO)

    def _client_handle_encrypted_extensions(self, input_buf: Buffer) -> None:
        super()._client_handle_encrypted_extensions(input_buf)
        if self.alpn_negotiated != ALPN:
            raise Refusal(NO_APPLICATION_PROTOCOL, f"the peer does not speak {ALPN}")

    def _client_handle_certificate_verify(self, input_buf: Buffer) -> None:
        super()._client_handle_certificate_verify(input_buf)
        self._identify()

    # --- the listener -------------------------------------------------------------------------------------------------

    def _server_handle_hello(
        self, input_buf: Buffer, initial_buf: Buffer, handshake_buf: Buffer, onertt_buf: Buffer
    ) -> None:
        hello = tls.pull_client_hello(input_buf)
        suite = tls.negotiate(
            _CIPHERS, hello.cipher_suites, tls.AlertHandshakeFailure("no cipher suite in common")
        )
        tls.negotiate(
            [tls.TLS_VERSION_1_3], hello.supported_versions, tls.AlertProtocolVersion("not TLS 1.3")
        )
        if ALPN not in (hello.alpn_protocols or ()):
            raise Refusal(NO_APPLICATION_PROTOCOL, f"the peer does not speak {ALPN}")
        self.alpn_negotiated = ALPN
        self.client_random = hello.random
        self.received_extensions = hello.other_extensions
        if self.alpn_cb is None:
            raise Refusal(MISSING_EXTENSION, "nobody reads the transport parameters")
        self.alpn_cb(ALPN)
        self.key_schedule = schedule = tls.KeySchedule(suite)
        schedule.extract(None)
        schedule.update_hash(input_buf.data)
        share, secret = self._agree(hello.key_share or [])
        with tls.push_message(schedule, initial_buf):
            tls.push_server_hello(
                initial_buf,
                tls.ServerHello(
                    random=os.urandom(32),
                    legacy_session_id=hello.legacy_session_id,
                    cipher_suite=suite,
                    compression_method=tls.CompressionMethod.NULL,
                    key_share=share,
                    supported_version=tls.TLS_VERSION_1_3,
                ),
            )
        schedule.extract(secret)
        self._setup_traffic_protection(tls.Direction.ENCRYPT, tls.Epoch.HANDSHAKE, b"s hs traffic")
        self._setup_traffic_protection(tls.Direction.DECRYPT, tls.Epoch.HANDSHAKE, b"c hs traffic")
        self._send_server_flight(handshake_buf, hello.signature_algorithms)
        schedule.extract(None)
        self._setup_traffic_protection(tls.Direction.ENCRYPT, tls.Epoch.ONE_RTT, b"s ap traffic")
        self._next_dec_key = schedule.derive_secret(b"c ap traffic")
        self._set_state(tls.State.SERVER_EXPECT_FINISHED)

    def _agree(self, shares: Sequence[tuple[int, bytes]]) -> tuple[tuple[int, bytes], bytes]:
        """Our key share and the secret it makes with the first of the client's that is of a group of ours."""
        offered = dict(shares)
        for group, exchange in (
            (tls.Group.X25519, X25519KeyExchange),
            (tls.Group.SECP256R1, ECDHP256KeyExchange),
        ):
            if group in offered:
                pair = exchange()
                try:
                    return (group, pair.public_key()), pair.exchange(offered[group])
                except CryptoError as error:
                    raise tls.AlertIllegalParameter(str(error)) from error
        raise tls.AlertHandshakeFailure("no key share of X25519 or P-256")

    def _send_server_flight(self, buf: Buffer, accepted: list[int] | None) -> None:
        """EncryptedExtensions, CertificateRequest, Certificate, CertificateVerify, Finished."""
        schedule = self.key_schedule
        assert schedule is not None
        assert self.certificate is not None
        key = self.certificate_private_key
        assert isinstance(key, EcPrivateKey)
        algorithm = tls.SignatureAlgorithm.ECDSA_SECP256R1_SHA256
        if algorithm not in (accepted or ()):
            raise tls.AlertHandshakeFailure("the peer takes no ECDSA signature over P-256")
        with tls.push_message(schedule, buf):
            tls.push_encrypted_extensions(
                buf,
                tls.EncryptedExtensions(alpn_protocol=ALPN, other_extensions=self.handshake_extensions),
            )
        with tls.push_message(schedule, buf):
            buf.push_uint8(tls.HandshakeType.CERTIFICATE_REQUEST)
            with tls.push_block(buf, 3):
                tls.push_opaque(buf, 1, b"")
                with (
                    tls.push_block(buf, 2),
                    tls.push_extension(buf, tls.ExtensionType.SIGNATURE_ALGORITHMS),
                ):
                    tls.push_list(buf, 2, buf.push_uint16, _SIGNATURES)
        with tls.push_message(schedule, buf):
            shown = [(self.certificate.public_bytes(), b"")]
            tls.push_certificate(buf, tls.Certificate(certificates=shown))
        signature = key.sign(schedule.certificate_verify_data(b"TLS 1.3, server CertificateVerify"))
        with tls.push_message(schedule, buf):
            tls.push_certificate_verify(buf, tls.CertificateVerify(algorithm, signature))
        with tls.push_message(schedule, buf):
            assert self._enc_key is not None
            tls.push_finished(buf, tls.Finished(schedule.finished_verify_data(self._enc_key)))

    def _take_client_flight(self, data: bytes, output_buf: dict[tls.Epoch, Buffer], epoch: int) -> None:
        """Certificate, CertificateVerify and Finished, in this order and no other (RFC 8446, 4.4)."""
        self._receive_buffer += data
        while len(self._receive_buffer) >= 4:
            size = 4 + int.from_bytes(self._receive_buffer[1:4], "big")
            if len(self._receive_buffer) < size:
                return
            message, self._receive_buffer = self._receive_buffer[:size], self._receive_buffer[size:]
            if (
                epoch != tls.Epoch.HANDSHAKE
                or self._steps == len(_CLIENT_FLIGHT)
                or message[0] != _CLIENT_FLIGHT[self._steps]
            ):
                raise tls.AlertUnexpectedMessage("not the message that is due")
            self._steps += 1
            buf = Buffer(data=message)
            if message[0] == tls.HandshakeType.CERTIFICATE:
                self._take_certificate(buf)
            elif message[0] == tls.HandshakeType.CERTIFICATE_VERIFY:
                self._take_certificate_verify(buf)
            else:
                self._take_finished(buf, output_buf[tls.Epoch.ONE_RTT])
            if not buf.eof():
                raise tls.AlertDecodeError("bytes after the end of a handshake message")

    def _take_certificate(self, buf: Buffer) -> None:
        assert self.key_schedule is not None
        certificate = tls.pull_certificate(buf)
        if not certificate.certificates:
            raise Refusal(CERTIFICATE_REQUIRED, "the peer shows no certificate")
        self._process_certificate(certificate)
        self.key_schedule.update_hash(buf.data)

    def _take_certificate_verify(self, buf: Buffer) -> None:
        assert self.key_schedule is not None
        assert self._peer_certificate is not None
        verify = tls.pull_certificate_verify(buf)
        if verify.algorithm not in _SIGNATURES:
            raise tls.AlertIllegalParameter("a signature algorithm that was not offered")
        try:
            verify_with_public_key(
                self._peer_certificate.public_key(),
                verify.algorithm,
                self.key_schedule.certificate_verify_data(b"TLS 1.3, client CertificateVerify"),
                verify.signature,
            )
        except SignatureError as error:
            raise tls.AlertDecryptError(str(error)) from error
        self.key_schedule.update_hash(buf.data)
        self._identify()

    def _take_finished(self, buf: Buffer, output_buf: Buffer) -> None:
        assert self.key_schedule is not None
        assert self._dec_key is not None
        self._expected_verify_data = self.key_schedule.finished_verify_data(self._dec_key)
        self._server_handle_finished(buf, output_buf)

    # --- both ---------------------------------------------------------------------------------------------------------

    def _process_certificate(self, certificate: tls.Certificate) -> None:
        self._shown = [der for der, _ in certificate.certificates]
        super()._process_certificate(certificate)

    def _identify(self) -> None:
        try:
            self.peer_key = self._verify(self._shown)
        except PeerError as error:
            alert = tls.AlertDescription.bad_certificate if error.wire_code is None else error.wire_code
            raise Refusal(alert, str(error)) from error


class MutualBridge(QuicTlsBridge):
    """qh3's seam between TLS and its core, with our context and our transport parameters."""

    def __init__(self, settings: Settings, configuration: QuicConfiguration, **names: Any) -> None:
        """``names`` go to qh3's bridge."""
        self._settings = settings
        super().__init__(configuration, **names)
        self.context = MutualContext.adopt(self.tls, settings.verify)
        self.protections: dict[tls.Direction, Protection] = {}
        """Of packets with a short header, each way, as soon as TLS has agreed on it."""

    def serialize_transport_parameters(self) -> bytes:
        settings = self._settings
        dialer = self.configuration.is_client
        parameters = QuicTransportParameters(
            max_idle_timeout=int(settings.idle_timeout_s * 1000),
            initial_max_data=settings.connection_window_bytes,
            initial_max_stream_data_bidi_local=settings.stream_window_bytes,
            initial_max_stream_data_bidi_remote=settings.stream_window_bytes,
            initial_max_streams_bidi=settings.max_inbound_streams,
            ack_delay_exponent=3,
            max_ack_delay=25,
            active_connection_id_limit=CONNECTION_ID_LIMIT,
            initial_source_connection_id=self.local_initial_source_connection_id,
        )
        if not dialer:
            parameters.original_destination_connection_id = self.original_destination_connection_id
            parameters.retry_source_connection_id = self.retry_source_connection_id
            parameters.stateless_reset_token = self.stateless_reset_token
        buf = Buffer(capacity=1024)
        push_quic_transport_parameters(buf, parameters)
        return buf.data

    def parse_transport_parameters(
        self, data: bytes, *, from_session_ticket: bool = False
    ) -> QuicTransportParameters:
        parameters = super().parse_transport_parameters(data, from_session_ticket=from_session_ticket)
        most = self._settings.max_datagram_bytes
        parameters.max_udp_payload_size = min(parameters.max_udp_payload_size or most, most)
        return parameters

    def next_traffic_secret(self) -> QuicTlsTrafficSecret | None:
        found = super().next_traffic_secret()
        if found is not None and found.epoch is tls.Epoch.ONE_RTT:
            self.protections[found.direction] = Protection(int(found.cipher_suite), found.secret)
        return found

    def next_crypto_data(self) -> QuicTlsCryptoData | None:
        piece = super().next_crypto_data()
        if piece is None or len(piece.data) <= CRYPTO_FRAME_BYTES:
            return piece
        head, rest = piece.data[:CRYPTO_FRAME_BYTES], piece.data[CRYPTO_FRAME_BYTES:]
        self._outbound.appendleft(QuicTlsCryptoData(piece.epoch, piece.offset + CRYPTO_FRAME_BYTES, rest))
        return QuicTlsCryptoData(piece.epoch, piece.offset, head)

    def _handle_tls(self, data: bytes, epoch: tls.Epoch) -> None:
        try:
            super()._handle_tls(data, epoch)
        except _PARSING as error:
            raise QuicTlsBridgeError(CRYPTO_ERROR + DECODE_ERROR, f"not TLS: {error}") from error
