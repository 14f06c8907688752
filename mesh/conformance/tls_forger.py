"""Records of TLS 1.3 made from a traffic secret (RFC 8446, 5.2, 7.2, 7.3), for what OpenSSL does not send when told."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SUITE: Final = b"TLS_AES_128_GCM_SHA256"
"""Every implementation has it."""
KEY_UPDATE_RECORD_HEAD: Final = b"\x17\x03\x03\x00\x16"
"""How a record begins that holds a KeyUpdate and no padding."""
_APPLICATION_DATA: Final = 23
_HANDSHAKE: Final = 22
_TAG_BYTES: Final = 16
_KEY_UPDATE: Final = b"\x18\x00\x00\x01"


class Forger:
    """The writing half of a connection under its current secret. ``sequence``: records sent under it so far."""

    def __init__(self, secret: bytes, sequence: int) -> None:
        self._secret = secret
        self._sequence = sequence

    def data(self, content: bytes) -> bytes:
        """Application data, at most 16 KiB."""
        return self._record(_APPLICATION_DATA, content)

    def key_update(self, *, asks: bool) -> bytes:
        """A KeyUpdate, behind which the next secret counts; ``asks`` for the other end's own."""
        record = self._record(_HANDSHAKE, _KEY_UPDATE + bytes((asks,)))
        self._secret, self._sequence = _expand(self._secret, b"traffic upd", 32), 0
        return record

    def _record(self, kind: int, content: bytes) -> bytes:
        mask = int.from_bytes(_expand(self._secret, b"iv", 12), "big")
        nonce = (mask ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        size = len(content) + 1 + _TAG_BYTES
        head = bytes((_APPLICATION_DATA, 3, 3)) + size.to_bytes(2, "big")
        cipher = AESGCM(_expand(self._secret, b"key", 16))
        return head + cipher.encrypt(nonce, content + bytes((kind,)), head)


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label without a context."""
    full = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes((len(full),)) + full + b"\x00"
    return HKDFExpand(SHA256(), size, info).derive(secret)
