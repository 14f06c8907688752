"""CipherState and SymmetricState of the Noise framework (sections 5.1, 5.2) for X25519, ChaCha20-Poly1305, SHA-256."""

from __future__ import annotations

import hmac
from hashlib import sha256
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from mesh.errors import Malformed
from mesh.identity.x25519 import Secret
from mesh.protocols.machine import Buffer

PROTOCOL_NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
KEY_BYTES = 32
NONCE = Struct("<IQ")
MAX_NONCE = 2**64 - 1
"""Reserved by the framework: a counter that arrives here may not be used (section 5.1)."""


def diffie_hellman(secret: Secret, public: bytes) -> bytes:
    """X25519; a low order point, which would give an all-zero secret, is `Malformed`."""
    try:
        return secret.exchange(public)
    except ValueError as error:
        raise Malformed("noise.dh", None, "low order point") from error


def hkdf2(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """HKDF with two outputs of 32 bytes (section 4.3)."""
    temporary = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(temporary, b"\x01", "sha256")
    return first, hmac.digest(temporary, first + b"\x02", "sha256")


class SymmetricState:
    """Chaining key, handshake hash and the current cipher key (section 5.2)."""

    __slots__ = ("_aead", "_nonce", "chaining_key", "hash")

    def __init__(self, prologue: bytes = b"") -> None:
        self.hash = PROTOCOL_NAME
        self.chaining_key = PROTOCOL_NAME
        self._aead: ChaCha20Poly1305 | None = None
        self._nonce = 0
        self.mix_hash(prologue)

    def mix_hash(self, data: Buffer) -> None:
        self.hash = sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.chaining_key, key = hkdf2(self.chaining_key, material)
        self._aead = ChaCha20Poly1305(key)
        self._nonce = 0

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Plaintext in the clear while there is no key yet; always mixed into the hash."""
        if self._aead is None:
            self.mix_hash(plaintext)
            return plaintext
        ciphertext = self._aead.encrypt(NONCE.pack(0, self._nonce), plaintext, self.hash)
        self._nonce += 1
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """Raises `Malformed` when authentication fails."""
        if self._aead is None:
            self.mix_hash(ciphertext)
            return ciphertext
        try:
            plaintext = self._aead.decrypt(NONCE.pack(0, self._nonce), ciphertext, self.hash)
        except InvalidTag:
            raise Malformed("noise.message", None, "authentication failed") from None
        self._nonce += 1
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """The two transport keys: initiator to responder, responder to initiator."""
        return hkdf2(self.chaining_key, b"")
