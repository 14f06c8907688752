"""The two kinds of ECDSA keys: Secp256k1 (raw points and scalars) and ECDSA (NIST curves in DER).

Both sign SHA-256 of the message, in DER, with the nonce of RFC 6979 and the lower of the two s values; either
s is accepted when verifying, as Go does.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from mesh.errors import Malformed

_CURVE: Final = ec.SECP256K1()
_ORDERS: Final = {
    "secp256k1": 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141,
    "secp256r1": 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551,
    "secp384r1": int(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
    ),
    "secp521r1": int(
        "1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa"
        "51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
        16,
    ),
}
_NIST_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_MAX_DER_BYTES: Final = 512
_MAX_SIGNATURE_BYTES: Final = 141
_VERIFIER: Final = ec.ECDSA(hashes.SHA256())


def _verify(key: ec.EllipticCurvePublicKey, message: bytes, signature: bytes) -> bool:
    if len(signature) > _MAX_SIGNATURE_BYTES:
        return False
    try:
        key.verify(signature, message, _VERIFIER)
    except InvalidSignature:
        return False
    return True


def _sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    signature = key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(signature)
    order = _ORDERS[key.curve.name]
    return encode_dss_signature(r, order - s) if s > order // 2 else signature


class Secp256k1Public:
    """`raw` is the 33-byte compressed point; the longer forms are refused."""

    __slots__ = ("_key", "raw")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != 33:
            raise Malformed("Secp256k1 public key", None, f"{len(raw)} bytes instead of 33")
        try:
            self._key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, bytes(raw))
        except ValueError:
            raise Malformed("Secp256k1 public key", None, "not a point of the curve") from None
        self.raw = bytes(raw)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (DER of r and s) is this key's over SHA-256 of `message`."""
        return _verify(self._key, message, signature)


class Secp256k1Private:
    """`raw` is the 32-byte scalar."""

    __slots__ = ("key", "public", "raw")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != 32:
            raise Malformed("Secp256k1 private key", None, f"{len(raw)} bytes instead of 32")
        try:
            self.key = ec.derive_private_key(int.from_bytes(raw, "big"), _CURVE)
        except ValueError:
            raise Malformed("Secp256k1 private key", None, "the scalar is out of range") from None
        self.raw = bytes(raw)
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        self.public = Secp256k1Public(point)

    @classmethod
    def from_key(cls, key: ec.EllipticCurvePrivateKey) -> Secp256k1Private:
        return cls(key.private_numbers().private_value.to_bytes(32, "big"))

    @classmethod
    def generate(cls) -> Secp256k1Private:
        return cls.from_key(ec.generate_private_key(_CURVE))

    def sign(self, message: bytes) -> bytes:
        """DER of r and s."""
        return _sign(self.key, message)


class EcdsaPublic:
    """`raw` is the DER SubjectPublicKeyInfo with the uncompressed point; P-256, P-384 or P-521."""

    __slots__ = ("_key", "raw")

    def __init__(self, raw: bytes) -> None:
        try:
            key = load_der_public_key(raw) if len(raw) <= _MAX_DER_BYTES else None
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise Malformed("ECDSA public key", None, "not the SubjectPublicKeyInfo of an elliptic curve key")
        if key.curve.name not in _NIST_CURVES:
            raise Malformed("ECDSA public key", None, f"curve {key.curve.name} instead of P-256")
        self._key = key
        self.raw = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (DER of r and s) is this key's over SHA-256 of `message`."""
        return _verify(self._key, message, signature)


class EcdsaPrivate:
    """`raw` is the SEC1 private key in DER, what Go writes; the PKCS#8 of the specification is read too."""

    __slots__ = ("key", "public", "raw")

    def __init__(self, raw: bytes) -> None:
        try:
            key = load_der_private_key(raw, None) if len(raw) <= _MAX_DER_BYTES else None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Malformed("ECDSA private key", None, "not an elliptic curve private key in DER")
        self._set(key)

    def _set(self, key: ec.EllipticCurvePrivateKey) -> None:
        if key.curve.name not in _NIST_CURVES:
            raise Malformed("ECDSA private key", None, f"curve {key.curve.name} instead of P-256")
        self.key = key
        self.raw = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public = EcdsaPublic(public)

    @classmethod
    def from_key(cls, key: ec.EllipticCurvePrivateKey) -> EcdsaPrivate:
        """Wraps a key of the library. Raises Malformed for a curve that is not in use."""
        private = cls.__new__(cls)
        private._set(key)
        return private

    @classmethod
    def generate(cls) -> EcdsaPrivate:
        """A new P-256 key."""
        return cls.from_key(ec.generate_private_key(ec.SECP256R1()))

    def sign(self, message: bytes) -> bytes:
        """DER of r and s."""
        return _sign(self.key, message)
