"""BSV attestation: a secp256k1 key says that it and a peer id are one's (section 7.2).

The text `peerId:key:timestamp` is hashed with SHA-256 and the digest is signed, by ECDSA over its SHA-256, with the nonce
of RFC 6979 and the lower s. Nobody is required to have one; who has a valid one is shown with it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final, Self

from mesh.errors import DecodeError, Malformed
from mesh.identity.elliptic import Secp256k1Private, Secp256k1Public
from mesh.identity.peer_id import PeerId

VERSION: Final = 1
MAX_AGE_MS: Final = 24 * 3600 * 1000
MAX_AHEAD_MS: Final = 3600 * 1000
MAX_CHARACTERS: Final = 512
MAX_MS: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Attestation:
    """``key`` is the compressed public key, ``signature`` the DER of r and s, ``timestamp`` milliseconds since 1970."""

    peer_id: PeerId
    key: bytes
    timestamp: int
    signature: bytes

    @classmethod
    def make(cls, private: bytes, peer_id: PeerId, timestamp: int) -> Self:
        """Sign with a 32-byte scalar. Raises `Malformed` for one that is out of range."""
        key = Secp256k1Private(private)
        return cls(peer_id, key.public.raw, timestamp, key.sign(_digest(peer_id, key.public.raw, timestamp)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the compact form `version:peerId:key:timestamp:signature`. Raises `Malformed`."""
        parts = text.split(":") if len(text) <= MAX_CHARACTERS else []
        if len(parts) != 5:
            raise Malformed("attestation", None, "not of five parts")
        return cls._read(parts[1], parts[2], parts[3], parts[4], parts[0])

    @classmethod
    def from_document(cls, value: Any) -> Self:
        """From the object form. Raises `Malformed`."""
        found = value if isinstance(value, dict) else {}
        keys = ("peerId", "bsvIdentityKey", "timestamp", "signature", "version")
        peer, key, timestamp, signature, version = (found.get(each) for each in keys)
        whole = type(timestamp) is int and type(version) is int
        texts = [
            each for each in (peer, key, signature) if isinstance(each, str) and len(each) <= MAX_CHARACTERS
        ]
        if not whole or len(texts) != 3:
            raise Malformed("attestation", None, "an object with other keys")
        return cls._read(texts[0], texts[1], str(timestamp), texts[2], str(version))

    def document(self) -> dict[str, Any]:
        """The object form."""
        return {
            "peerId": str(self.peer_id),
            "bsvIdentityKey": self.key.hex(),
            "timestamp": self.timestamp,
            "signature": self.signature.hex(),
            "version": VERSION,
        }

    def __str__(self) -> str:
        return f"{VERSION}:{self.peer_id}:{self.key.hex()}:{self.timestamp}:{self.signature.hex()}"

    def check(self, now_ms: int) -> None:
        """Whether it holds now. Raises `Malformed` that says why not."""
        if self.timestamp > now_ms + MAX_AHEAD_MS:
            raise Malformed("attestation.timestamp", None, "more than an hour in the future")
        if self.timestamp < now_ms - MAX_AGE_MS:
            raise Malformed("attestation.timestamp", None, "older than a day")
        digest = _digest(self.peer_id, self.key, self.timestamp)
        if not Secp256k1Public(self.key).verify(digest, self.signature):
            raise Malformed("attestation.signature", None, "not the key's over this peer id and time")

    @classmethod
    def _read(cls, peer: str, key: str, timestamp: str, signature: str, version: str) -> Self:
        if version != str(VERSION):
            raise Malformed("attestation.version", None, f"{version[:8]!r} instead of {VERSION}")
        if not (
            timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 16 and int(timestamp) <= MAX_MS
        ):
            raise Malformed("attestation.timestamp", None, "no time")
        try:
            peer_id = PeerId.parse(peer)
            found = cls(peer_id, bytes.fromhex(key), int(timestamp), bytes.fromhex(signature))
        except DecodeError as error:
            raise Malformed("attestation.peerId", None, error.reason) from None
        except ValueError:
            raise Malformed("attestation", None, "key or signature is not hexadecimal") from None
        if str(peer_id) != peer or found.key.hex() != key or found.signature.hex() != signature:
            raise Malformed("attestation", None, "not in its one form")
        return found


def _digest(peer_id: PeerId, key: bytes, timestamp: int) -> bytes:
    return hashlib.sha256(f"{peer_id}:{key.hex()}:{timestamp}".encode()).digest()
