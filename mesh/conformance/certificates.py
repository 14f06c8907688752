"""Certificates for libp2p TLS with one thing wrong, or odd, at a time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mesh.codecs.tls_identity import SignedKey, encode_extension
from mesh.conformance.tls_client import TlsOptions
from mesh.identity.certificate import EXTENSION_OID, SIGNING_PREFIX
from mesh.identity.keys import PrivateKey

DAY = timedelta(days=1)
UNKNOWN_OID = x509.ObjectIdentifier("1.3.6.1.4.1.53594.99.1")


def new_key(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """A throw-away certificate key, P-256 by default."""
    return ec.generate_private_key(curve or ec.SECP256R1())


def new_rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def extension_value(
    identity: PrivateKey, key: CertificateIssuerPrivateKeyTypes, prefix: bytes = SIGNING_PREFIX
) -> bytes:
    """The libp2p extension's value: the identity's key and its signature over the certificate's key."""
    info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signed = SignedKey(public_key=identity.public.to_protobuf(), signature=identity.sign(prefix + info))
    return encode_extension(signed)


@dataclass(slots=True)
class Plan:
    """What a certificate says. ``value`` None leaves the libp2p extension out; ``signer`` signs in place of its own key;
    ``unknown``: a further extension, None for none, else whether it is critical."""

    key: CertificateIssuerPrivateKeyTypes
    value: bytes | None
    signer: CertificateIssuerPrivateKeyTypes | None = None
    critical: bool = False
    unknown: bool | None = None
    start: timedelta = -DAY
    end: timedelta = 365 * DAY

    def build(self, rng: random.Random) -> x509.Certificate:
        """The certificate, its serial number drawn from ``rng``."""
        number = rng.getrandbits(62) | 1
        name = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, str(number))])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(number)
            .not_valid_before(now + self.start)
            .not_valid_after(now + self.end)
        )
        if self.value is not None:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(EXTENSION_OID, self.value), critical=self.critical
            )
        if self.unknown is not None:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(UNKNOWN_OID, b"\x05\x00"), critical=self.unknown
            )
        return builder.sign(self.signer or self.key, hashes.SHA256())

    def options(self, rng: random.Random) -> TlsOptions:
        """A client that shows this certificate alone."""
        return TlsOptions(chain=(self.build(rng),), key=self.key)


def good(identity: PrivateKey, key: CertificateIssuerPrivateKeyTypes | None = None) -> Plan:
    """A certificate with nothing wrong."""
    made = key or new_key()
    return Plan(made, extension_value(identity, made))
