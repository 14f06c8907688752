"""CipherState and SymmetricState of the Noise framework (sections 5.1, 5.2) for X25519, ChaCha20-Poly1305, SHA-256."""

from __future__ import annotations

from hashlib import sha256

from cryptography.exceptions import InvalidTag

from mesh.errors import Malformed
from mesh.identity.chacha20_poly1305 import Cipher
from mesh.identity.x25519 import Secret
from mesh.protocols.machine import Buffer

PROTOCOL_NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
KEY_BYTES = 32
MAX_NONCE = 2**64 - 1
"""Reserved by the framework: a counter that arrives here may not be used (section 5.1)."""
_INNER = bytes(each ^ 0x36 for each in range(256))
_OUTER = bytes(each ^ 0x5C for each in range(256))
_INNER_REST = b"\x36" * 32
_OUTER_REST = b"\x5c" * 32


def diffie_hellman(secret: Secret, public: bytes) -> bytes:
    """X25519; a low order point, which would give an all-zero secret, is `Malformed`."""
    try:
        return secret.exchange(public)
    except ValueError as error:
        raise Malformed("noise.dh", None, "low order point") from error


def hkdf2(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """HKDF with two outputs of 32 bytes (section 4.3)."""
    inner, outer = _pads(chaining_key)
    inner, outer = _pads(sha256(outer + sha256(inner + material).digest()).digest())
    first = sha256(outer + sha256(inner + b"\x01").digest()).digest()
    return first, sha256(outer + sha256(inner + first + b"\x02").digest()).digest()


def _pads(key: bytes) -> tuple[bytes, bytes]:
    """What HMAC puts before the text and before the inner hash, for a key of 32 bytes (RFC 2104). Two of the three
    HMACs of an HKDF share theirs, and hashing costs less than a call of OpenSSL's HMAC."""
    return key.translate(_INNER) + _INNER_REST, key.translate(_OUTER) + _OUTER_REST


class SymmetricState:
    """Chaining key, handshake hash and the current cipher key (section 5.2)."""

    __slots__ = ("_aead", "_nonce", "chaining_key", "hash")

    def __init__(self, prologue: bytes = b"") -> None:
        self.hash = PROTOCOL_NAME
        self.chaining_key = PROTOCOL_NAME
        self._aead: Cipher | None = None
        self._nonce = 0
        self.mix_hash(prologue)

    def mix_hash(self, data: Buffer) -> None:
        self.hash = sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.chaining_key, key = hkdf2(self.chaining_key, material)
        self._aead = Cipher(key)
        self._nonce = 0

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Plaintext in the clear while there is no key yet; always mixed into the hash."""
        if self._aead is None:
            self.mix_hash(plaintext)
            return plaintext
        ciphertext = self._aead.encrypt(self._nonce, plaintext, self.hash)
        self._nonce += 1
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """Raises `Malformed` when authentication fails."""
        if self._aead is None:
            self.mix_hash(ciphertext)
            return ciphertext
        try:
            plaintext = self._aead.decrypt(self._nonce, ciphertext, self.hash)
        except InvalidTag:
            raise Malformed("noise.message", None, "authentication failed") from None
        self._nonce += 1
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        """The two transport keys: initiator to responder, responder to initiator."""
        return hkdf2(self.chaining_key, b"")
