"""The mesh's cipher: XChaCha20-Poly1305 over text that a keystream of SHA-256 was laid over (section 5.1).

The keystream is one hash for each 32 bytes, `SHA-256(nonce || counter)`; the XOR runs over 32 KiB at once as one
integer, so that a large text costs little more memory than itself. A box is nonce, ciphertext and tag: 40 bytes more.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from mesh.codecs.smsg import NONCE_BYTES, OVERHEAD_BYTES
from mesh.errors import Malformed, UsageError

KEY_BYTES: Final = 32
BLOCK_BYTES: Final = 32

_COUNTERS: Final = tuple(number.to_bytes(8, "big") for number in range(1024))
_PART_BYTES: Final = BLOCK_BYTES * len(_COUNTERS)


def seal(key: bytes, nonce: bytes, text: bytes) -> bytes:
    """The box of a text. The nonce is 24 random bytes, never used again under this key."""
    if len(nonce) != NONCE_BYTES or len(key) != KEY_BYTES:
        raise UsageError(f"a sigil wants a key of {KEY_BYTES} and a nonce of {NONCE_BYTES} bytes")
    return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(_overlay(nonce, text), None, nonce, key)


def unseal(key: bytes, box: bytes) -> bytes:
    """The text of a box. Raises Malformed when it is too short, or was changed, or has another key."""
    if len(box) < OVERHEAD_BYTES:
        raise Malformed("sigil", None, "ciphertext too short")
    nonce = box[:NONCE_BYTES]
    try:
        hidden = crypto_aead_xchacha20poly1305_ietf_decrypt(box[NONCE_BYTES:], None, nonce, key)
    except CryptoError:
        raise Malformed("sigil", None, "decryption failed") from None
    return _overlay(nonce, hidden)


def _overlay(nonce: bytes, text: bytes) -> bytes:
    if len(text) <= _PART_BYTES:
        return _overlay_part(nonce, text, _COUNTERS)
    parts = []
    for start in range(0, len(text), _PART_BYTES):
        first = start // BLOCK_BYTES
        counters = [number.to_bytes(8, "big") for number in range(first, first + len(_COUNTERS))]
        parts.append(_overlay_part(nonce, text[start : start + _PART_BYTES], counters))
    return b"".join(parts)


def _overlay_part(nonce: bytes, text: bytes, counters: Sequence[bytes]) -> bytes:
    size = len(text)
    blocks = [sha256(nonce + counter).digest() for counter in counters[: -(-size // BLOCK_BYTES)]]
    keystream = b"".join(blocks)[:size]
    return (int.from_bytes(text, "little") ^ int.from_bytes(keystream, "little")).to_bytes(size, "little")
