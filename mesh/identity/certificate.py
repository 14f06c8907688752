"""TLS certificates that prove a peer's identity (libp2p digest, section 7; libp2p specs, tls/tls.md).

A peer presents one self-signed certificate with a throw-away key. Its extension holds the peer's public key and that
key's signature over the certificate's. OpenSSL's bindings load with this module.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mesh.codecs.tls_identity import SignedKey, decode_extension, encode_extension
from mesh.errors import CertificateRefused, DecodeError, Malformed
from mesh.identity.keys import PrivateKey, PublicKey
from mesh.identity.rsa import RsaPublic

EXTENSION_OID: Final = x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.1")
SIGNING_PREFIX: Final = b"libp2p-tls-handshake:"
MAX_CERTIFICATE_BYTES: Final = 16 * 1024
"""Every key at its largest (RSA of 8192 bits twice, with their signatures) takes under 5 KiB."""

_BACKDATED: Final = timedelta(hours=1)
_LIFETIME: Final = timedelta(days=100 * 365)
_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_MIN_DIGEST_BYTES: Final = 32
_UNDERSTOOD: Final = frozenset(
    {
        EXTENSION_OID,
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectAlternativeName.oid,
    }
)
"""Extensions that may be critical: ours, and those that restrict nothing a self-signed certificate could grant."""


class Alert(IntEnum):
    """TLS alerts that refuse a certificate (RFC 8446, 6.2)."""

    BAD_CERTIFICATE = 42
    UNSUPPORTED_CERTIFICATE = 43
    CERTIFICATE_EXPIRED = 45
    CERTIFICATE_REQUIRED = 116


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of our own with its key, in the forms that TLS libraries take.

    The key is of this certificate alone and proves nothing without it; its `repr` is left out all the same.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key as PKCS#8, not encrypted: a secret."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def __repr__(self) -> str:
        return f"<certificate {self.certificate.serial_number:x}>"


def issue(identity: PrivateKey, now: float) -> Certificate:
    """A certificate for `identity` with a new P-256 key, valid from an hour before `now` (Unix seconds) for a century.

    The subject holds a random serial number alone, as Go's does.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    signed_key = SignedKey(
        public_key=identity.public.to_protobuf(),
        signature=identity.sign(SIGNING_PREFIX + _key_info(key.public_key())),
    )
    number = int.from_bytes(os.urandom(8), "big") | 1
    name = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, str(number))])
    start = datetime.fromtimestamp(now, UTC).replace(microsecond=0) - _BACKDATED
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(start)
        .not_valid_after(start + _LIFETIME)
        .add_extension(
            x509.UnrecognizedExtension(EXTENSION_OID, encode_extension(signed_key)), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return Certificate(certificate, key)


def verify(chain: Sequence[bytes], now: float) -> PublicKey:
    """The peer's key that the certificates it sent prove; each is DER, `now` in Unix seconds.

    Raises CertificateRefused, whose `wire_code` is the alert, unless there is exactly one certificate, valid at
    `now`, signed by its own key, without critical extensions but those understood, and whose libp2p extension holds
    a peer's key with its signature over the certificate's key.
    """
    if not chain:
        raise _refused(Alert.CERTIFICATE_REQUIRED, "no certificate was sent")
    if len(chain) > 1:
        raise _refused(Alert.BAD_CERTIFICATE, f"{len(chain)} certificates instead of one")
    der = bytes(chain[0])
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise _refused(Alert.BAD_CERTIFICATE, f"{len(der)} bytes, at most {MAX_CERTIFICATE_BYTES}")
    proven = _prove(der)
    _check_validity(proven, datetime.fromtimestamp(now, UTC))
    return proven.peer_key


@dataclass(frozen=True, slots=True)
class _Proven:
    """What a certificate proves at any time of its period."""

    peer_key: PublicKey
    start: datetime
    end: datetime


@lru_cache(maxsize=256)
def _prove(der: bytes) -> _Proven:
    """All of `verify` but the time. A peer shows the same certificate each time, so good ones are remembered."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oddities that are no errors: whoever connects could fill the log
        try:
            certificate = x509.load_der_x509_certificate(der)
            extensions = certificate.extensions
            start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        except (
            ValueError,
            x509.DuplicateExtension,
            x509.UnsupportedGeneralNameType,
            x509.InvalidVersion,
        ) as error:
            raise _refused(Alert.BAD_CERTIFICATE, f"not a certificate: {_words(error)}") from None
        if certificate.version is not x509.Version.v3:
            raise _refused(Alert.BAD_CERTIFICATE, "version 1, which has no extensions")
        key_info = _check_self_signature(certificate)
        return _Proven(_peer_key(_extension_value(extensions), key_info), start, end)


def _check_validity(proven: _Proven, moment: datetime) -> None:
    if moment < proven.start:
        raise _refused(
            Alert.CERTIFICATE_EXPIRED,
            f"not valid before {proven.start:%Y-%m-%d %H:%M} UTC; check both clocks",
        )
    if moment > proven.end:
        raise _refused(
            Alert.CERTIFICATE_EXPIRED, f"expired {proven.end:%Y-%m-%d %H:%M} UTC; check both clocks"
        )


def _check_self_signature(certificate: x509.Certificate) -> bytes:
    """Verifies the certificate with its own key; returns the SubjectPublicKeyInfo of that key."""
    try:
        key = certificate.public_key()
        key_info = _key_info(key)
        digest = certificate.signature_hash_algorithm
        parameters = certificate.signature_algorithm_parameters
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refused(Alert.UNSUPPORTED_CERTIFICATE, f"its key or algorithm: {_words(error)}") from None
    if digest is not None and digest.digest_size < _MIN_DIGEST_BYTES:
        raise _refused(Alert.UNSUPPORTED_CERTIFICATE, f"signed with {digest.name}, which is too weak")
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    try:
        if isinstance(key, ed25519.Ed25519PublicKey) and digest is None:
            key.verify(signature, signed)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
            _check_curve(key)
            key.verify(signature, signed, parameters)
        elif (
            isinstance(key, rsa.RSAPublicKey)
            and isinstance(parameters, padding.PSS | padding.PKCS1v15)
            and digest is not None
        ):
            RsaPublic(key_info)
            key.verify(signature, signed, parameters, digest)
        else:
            raise _refused(
                Alert.UNSUPPORTED_CERTIFICATE, "its key and signature are of no kind or of two kinds"
            )
    except Malformed as error:
        raise _refused(Alert.UNSUPPORTED_CERTIFICATE, str(error)) from None
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        raise _refused(Alert.BAD_CERTIFICATE, "not signed by its own key") from None
    return key_info


def _check_curve(key: ec.EllipticCurvePublicKey) -> None:
    if key.curve.name not in _CURVES:
        raise _refused(Alert.UNSUPPORTED_CERTIFICATE, f"a key on the curve {key.curve.name}")


def _extension_value(extensions: x509.Extensions) -> bytes:
    found = None
    for each in extensions:
        if each.critical and each.oid not in _UNDERSTOOD:
            raise _refused(
                Alert.BAD_CERTIFICATE, f"the unknown extension {each.oid.dotted_string} is critical"
            )
        if each.oid == EXTENSION_OID and isinstance(each.value, x509.UnrecognizedExtension):
            found = each.value.value
    if found is None:
        raise _refused(Alert.BAD_CERTIFICATE, "no libp2p extension")
    return found


def _peer_key(value: bytes, key_info: bytes) -> PublicKey:
    try:
        signed_key, end = decode_extension(value)
        if end != len(value):
            raise Malformed("extension", end, f"{len(value) - end} bytes left over")
        peer_key = PublicKey.from_protobuf(signed_key.public_key)
    except DecodeError as error:
        raise _refused(Alert.BAD_CERTIFICATE, f"libp2p extension: {error}") from None
    if not peer_key.verify(SIGNING_PREFIX + key_info, signed_key.signature):
        raise _refused(Alert.BAD_CERTIFICATE, "the peer's key did not sign the certificate's key")
    return peer_key


def _key_info(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _words(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200] or type(error).__name__


def _refused(alert: Alert, reason: str) -> CertificateRefused:
    return CertificateRefused(
        f"certificate refused: {reason}",
        protocol="tls",
        wire_code=int(alert),
        clause="libp2p/specs tls/tls.md",
    )
