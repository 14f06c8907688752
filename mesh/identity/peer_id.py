"""Peer ids: the multihash of a public key's protobuf (libp2p digest, section 2).

Up to 42 bytes of protobuf become an identity multihash, from which the key can be read back (Ed25519,
Secp256k1); more become sha2-256 (RSA, ECDSA).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Self

from mesh.errors import DecodeError
from mesh.identity.keys import PublicKey
from mesh.multiformats import multihash, peer_multihash
from mesh.multiformats.cid import LIBP2P_KEY, Cid
from mesh.multiformats.multihash import IDENTITY, Multihash
from mesh.multiformats.positional import b58encode

MAX_INLINE_BYTES = 42


class PeerId(bytes):
    """An immutable id. It is its multihash bytes, and equal to them: tables of peers hash and compare at their speed."""

    __slots__ = ()

    def __new__(cls, data: bytes) -> Self:
        """Takes the bytes of a whole sha2-256 or identity multihash. Raises DecodeError for others."""
        peer_multihash.check(data)
        return super().__new__(cls, data)

    @classmethod
    def from_bytes(cls, data: bytes) -> PeerId:
        """Reads multihash bytes. Raises DecodeError."""
        return cls(data)

    @classmethod
    def from_public_key(cls, public_key: PublicKey) -> PeerId:
        message = public_key.to_protobuf()
        if len(message) <= MAX_INLINE_BYTES:
            return cls(bytes((IDENTITY, len(message))) + message)
        return cls(multihash.digest(message, "sha2-256").to_bytes())

    @classmethod
    def parse(cls, text: str) -> PeerId:
        """Reads base58 (starts with `Qm` or `1`) or a libp2p-key CID in any multibase. Raises DecodeError."""
        return cls(peer_multihash.parse(text))

    def to_bytes(self) -> bytes:
        return bytes(self)

    def to_cid(self, base: str = "base32") -> str:
        """The text of the version 1 CID, in `base32` (bafz...), `base36` (k51...) or another multibase."""
        return Cid(1, LIBP2P_KEY, Multihash.from_bytes(self)).to_text(base)

    def public_key(self) -> PublicKey | None:
        """The key inside an identity multihash; None when the id is a digest, or holds no valid key."""
        inline = Multihash.from_bytes(self)
        if inline.code != IDENTITY:
            return None
        try:
            key = PublicKey.from_protobuf(inline.digest)
        except DecodeError:
            return None
        return key if self.matches(key) else None

    def matches(self, public_key: PublicKey) -> bool:
        """Whether this is the id of `public_key`."""
        return PeerId.from_public_key(public_key) == self

    def short(self) -> str:
        """The last eight characters, for logs."""
        return str(self)[-8:]

    def __str__(self) -> str:
        return _text_of(bytes(self))

    def __repr__(self) -> str:
        return f"PeerId({str(self)!r})"

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return PeerId, (bytes(self),)


@lru_cache(maxsize=8192)
def _text_of(data: bytes) -> str:
    """Base58 takes long, and the same ids are shown over and over."""
    return b58encode(data)
