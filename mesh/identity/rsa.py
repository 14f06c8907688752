"""RSA keys of 2048 to 8192 bits, which old nodes of the public network have; PKCS#1 v1.5 with SHA-256."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from mesh.errors import Malformed, UsageError

MIN_BITS: Final = 2048
MAX_BITS: Final = 8192

_MAX_PUBLIC_BYTES: Final = 1200
_MAX_PRIVATE_BYTES: Final = 5200
_MAX_EXPONENT: Final = 2**31 - 1
_PADDING: Final = padding.PKCS1v15()
_SHA256: Final = hashes.SHA256()


class RsaPublic:
    """`raw` is the DER SubjectPublicKeyInfo. Exponents above 2^31 - 1, slow to use, are refused as in Go."""

    __slots__ = ("_key", "raw")

    def __init__(self, raw: bytes) -> None:
        try:
            key = load_der_public_key(raw) if len(raw) <= _MAX_PUBLIC_BYTES else None
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, RSAPublicKey):
            raise Malformed("RSA public key", None, "not the SubjectPublicKeyInfo of an RSA key")
        _check_size("RSA public key", key.key_size)
        numbers = key.public_numbers()
        if not (3 <= numbers.e <= _MAX_EXPONENT and numbers.e % 2 and numbers.n % 2):
            raise Malformed("RSA public key", None, "exponent or modulus is out of range")
        self._key = key
        self.raw = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over SHA-256 of `message`."""
        try:
            self._key.verify(signature, message, _PADDING, _SHA256)
        except InvalidSignature:
            return False
        return True


class RsaPrivate:
    """`raw` is the PKCS#1 private key in DER."""

    __slots__ = ("key", "public", "raw")

    def __init__(self, raw: bytes) -> None:
        try:
            key = load_der_private_key(raw, None) if len(raw) <= _MAX_PRIVATE_BYTES else None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise Malformed("RSA private key", None, "not an RSA private key in DER")
        self._set(key)

    def _set(self, key: RSAPrivateKey) -> None:
        _check_size("RSA private key", key.key_size)
        self.key = key
        self.raw = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public = RsaPublic(public)

    @classmethod
    def from_key(cls, key: RSAPrivateKey) -> RsaPrivate:
        """Wraps a key of the library. Raises Malformed for a size outside the limits."""
        private = cls.__new__(cls)
        private._set(key)
        return private

    @classmethod
    def generate(cls, bits: int) -> RsaPrivate:
        """A new key with exponent 65537. Raises UsageError outside 2048 to 8192 bits."""
        if not MIN_BITS <= bits <= MAX_BITS:
            raise UsageError(f"RSA keys have {MIN_BITS} to {MAX_BITS} bits, not {bits}")
        return cls.from_key(generate_private_key(65537, bits))

    def sign(self, message: bytes) -> bytes:
        """As many bytes as the modulus has."""
        return self.key.sign(message, _PADDING, _SHA256)


def _check_size(field: str, bits: int) -> None:
    if not MIN_BITS <= bits <= MAX_BITS:
        raise Malformed(field, None, f"{bits} bits; {MIN_BITS} to {MAX_BITS} are allowed")
