"""TLS 1.3 as libp2p wants it inside QUIC, on aioquic's TLS: both ends show a certificate, and no authority signs it.

The listener asks for the dialer's certificate and refuses an empty answer (RFC 8446 section 4.4.2.4). Once
CertificateVerify has proved that the peer holds the certificate's key, `Settings.verify` says what the certificate is
worth. Whatever a parser stumbles over ends as the alert decode_error; aioquic turns alerts alone into a close.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aioquic import tls
from aioquic._buffer import Buffer
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from mesh.errors import PeerError
from mesh.identity.keys import PublicKey
from mesh.network.quic.engine import ALPN

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

Verify = Callable[[Sequence[bytes]], PublicKey]
MAX_HANDSHAKE_BYTES = 64 * 1024
"""Of TLS messages that are not complete; three times the largest certificate libp2p's key types lead to."""
PARSER_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    UnsupportedAlgorithm,
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
)
"""What aioquic and cryptography may raise over a peer's bytes besides what they document."""
_CIPHER_SUITES = [tls.CipherSuite.AES_128_GCM_SHA256, tls.CipherSuite.CHACHA20_POLY1305_SHA256]
_GROUPS = [tls.Group.X25519, tls.Group.SECP256R1]
_SIGNATURE_ALGORITHMS: list[int] = [
    tls.SignatureAlgorithm.ECDSA_SECP256R1_SHA256,
    tls.SignatureAlgorithm.ED25519,
    tls.SignatureAlgorithm.ECDSA_SECP384R1_SHA384,
    tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA256,
    tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA384,
]
_BAD_CERTIFICATE = int(tls.AlertDescription.bad_certificate)


class Silence:
    """Takes the place of aioquic's loggers, which format every line though nobody reads it."""

    __slots__ = ()

    def debug(self, *args: object) -> None: ...

    info = warning = error = debug

    def __bool__(self) -> bool:
        return False


SILENCE = Silence()


class OwnCertificate:
    """This node's certificate where aioquic expects one that it can encode: it is encoded already."""

    __slots__ = ("_der",)

    def __init__(self, der: bytes) -> None:
        self._der = der

    def public_bytes(self, encoding: Encoding) -> bytes:
        assert encoding is Encoding.DER
        return self._der


class Refused(tls.Alert):
    """An alert of any number, with its reason."""

    def __init__(self, alert: int, reason: str) -> None:
        super().__init__(reason)
        self.description = alert  # type: ignore[assignment]


class MutualTls(tls.Context):
    """The handshake of one connection. ``peer_key`` is what it proved, None until then."""

    def __init__(
        self, dialer: bool, certificate: bytes, key: ec.EllipticCurvePrivateKey, verify: Verify
    ) -> None:
        super().__init__(
            is_client=dialer,
            alpn_protocols=[ALPN],
            cipher_suites=_CIPHER_SUITES,
            verify_mode=ssl.CERT_NONE,
        )
        self.certificate = OwnCertificate(certificate)  # type: ignore[assignment]
        self.certificate_private_key = key
        self._request_client_certificate = not dialer
        self._signature_algorithms = _SIGNATURE_ALGORITHMS
        self._supported_groups = _GROUPS
        self._verify = verify
        self._shown: list[bytes] = []
        self.peer_key: PublicKey | None = None

    def handle_message(self, input_data: bytes, output_buf: dict[tls.Epoch, Buffer]) -> None:
        if len(self._receive_buffer) + len(input_data) > MAX_HANDSHAKE_BYTES:
            raise tls.AlertDecodeError(f"a TLS message of more than {MAX_HANDSHAKE_BYTES} bytes")
        try:
            super().handle_message(input_data, output_buf)
        except PARSER_FAULTS as fault:
            raise tls.AlertDecodeError(
                f"a TLS message that cannot be read: {fault or type(fault).__name__}"
            ) from fault

    def _set_peer_certificate(self, certificate: tls.Certificate) -> None:
        self._shown = [der for der, _ in certificate.certificates]
        self._peer_certificate = x509.load_der_x509_certificate(self._shown[0])

    def _client_handle_certificate_verify(self, input_buf: Buffer) -> None:
        super()._client_handle_certificate_verify(input_buf)
        self._judge()

    def _server_handle_certificate(self, input_buf: Buffer) -> None:
        super()._server_handle_certificate(input_buf)
        if self._peer_certificate is None:
            raise Refused(int(tls.AlertDescription.certificate_required), "the dialer shows no certificate")

    def _server_handle_certificate_verify(self, input_buf: Buffer) -> None:
        super()._server_handle_certificate_verify(input_buf)
        self._judge()

    def forget(self) -> None:
        """The handshake is over: let go of what it was made with."""
        self._shown = []
        self._peer_certificate = self.key_schedule = self._x25519_private_key = None
        self._ec_private_keys = []
        self.received_extensions = None

    def _judge(self) -> None:
        try:
            self.peer_key = self._verify(self._shown)
        except PeerError as error:
            alert = _BAD_CERTIFICATE if error.wire_code is None else error.wire_code
            raise Refused(alert, str(error)) from error
