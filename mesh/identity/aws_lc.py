"""Curve25519 and short texts by AWS-LC, as qh3 carries it. Beside libsodium's Ed25519 a verification took 37 us instead
of 45, a signature 8 instead of 16; beside OpenSSL's X25519 a fresh key took 7 us instead of 28, an agreement 20 instead
of 27.

Importing it raises `ImportError` where qh3 is not to be had. It takes some 20 ms, so that is left to the first use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qh3._hazmat import (
    AeadChaCha20Poly1305,
    CryptoError,
    Ed25519PrivateKey,
    SignatureError,
    X25519KeyExchange,
    verify_with_public_key,
)

if TYPE_CHECKING:
    from mesh.identity.chacha20_poly1305 import Short

__all__ = ["CryptoError", "Secret", "short_cipher", "signer", "verifier"]

_ED25519 = 0x0807
"""Of TLS 1.3's signature schemes (RFC 8446, section 4.2.3)."""
_SPKI = bytes.fromhex("302a300506032b6570032100")
"""What comes before the 32 bytes of a public key (RFC 8410, section 4)."""
_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
"""What comes before the 32 bytes of a seed (RFC 8410, section 7)."""

_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    )
)
"""Every way to write one of the eight points of small order."""


def verifier(public: bytes) -> Callable[[bytes, bytes], bool]:
    """What tells whether a signature of 64 bytes is that of a key of 32 bytes over a message. A key of small order has
    none."""
    if public in _SMALL_ORDER:
        return lambda _message, _signature: False
    key = _SPKI + public

    def verify(message: bytes, signature: bytes) -> bool:
        try:
            verify_with_public_key(key, _ED25519, message, signature)
        except (SignatureError, CryptoError):
            return False
        return True

    return verify


def signer(seed: bytes) -> Callable[[bytes], bytes]:
    """What signs with the key of a seed of 32 bytes."""
    return Ed25519PrivateKey(_PKCS8 + seed).sign


def short_cipher(key: bytes) -> Short:
    """ChaCha20-Poly1305 with a key of 32 bytes. It raises `CryptoError` for what is not authentic."""
    cipher: Short = AeadChaCha20Poly1305(key, bytes(12))
    return cipher


class Secret:
    """A fresh X25519 key; see `mesh.identity.x25519.Secret`."""

    __slots__ = ("_key", "public")

    def __init__(self) -> None:
        self._key = X25519KeyExchange()
        self.public: bytes = self._key.public_key()

    def exchange(self, public: bytes) -> bytes:
        try:
            shared: bytes = self._key.exchange(public)
        except CryptoError as error:
            raise ValueError("low order point") from error
        return shared
