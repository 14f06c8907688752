"""Ed25519 keys, by AWS-LC where it is to be had, else by libsodium; both are quicker than OpenSSL.

Verification has no cofactor and refuses scalars that are not reduced and keys of small order. Go accepts such keys; no
honest peer has one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from nacl.bindings import crypto_sign_seed_keypair

from mesh.errors import Malformed
from mesh.identity import libsodium

SEED_BYTES = 32
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64


class Ed25519Public:
    """32 raw bytes. Whether they are a point of the curve shows when a signature is verified."""

    __slots__ = ("_verify", "raw")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != PUBLIC_BYTES:
            raise Malformed("Ed25519 public key", None, f"{len(raw)} bytes instead of {PUBLIC_BYTES}")
        self.raw = bytes(raw)
        self._verify: Callable[[bytes, bytes], bool] | None = None

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's over `message` itself."""
        if len(signature) != SIGNATURE_BYTES:
            return False
        verify = self._verify
        if verify is None:
            verify = self._verify = _verifier()(self.raw)
        return verify(message, signature)

    def verify_beside(self, message: bytes, signature: bytes) -> bool:
        """`verify` while other threads work: libsodium lets go of the interpreter's lock, AWS-LC keeps it."""
        return len(signature) == SIGNATURE_BYTES and libsodium.verify(self.raw, message, signature)


class Ed25519Private:
    """`raw` is the 32-byte seed and then the public key."""

    __slots__ = ("_sign", "public", "raw")

    def __init__(self, raw: bytes) -> None:
        """Takes 64 bytes, or the legacy 96 with the public key twice; the copies must fit the seed."""
        if len(raw) not in (64, 96):
            raise Malformed("Ed25519 private key", None, f"{len(raw)} bytes instead of 64")
        public, self.raw = crypto_sign_seed_keypair(bytes(raw[:SEED_BYTES]))
        if any(raw[at : at + PUBLIC_BYTES] != public for at in range(SEED_BYTES, len(raw), PUBLIC_BYTES)):
            raise Malformed("Ed25519 private key", None, "the public key in it is not the seed's")
        self.public = Ed25519Public(public)
        self._sign: Callable[[bytes], bytes] | None = None

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
        if self._sign is None:
            self._sign = _signer()(self.seed)
        return self._sign(message)


@cache
def _verifier() -> Callable[[bytes], Callable[[bytes, bytes], bool]]:
    try:
        from mesh.identity.aws_lc import verifier
    except ImportError:
        return libsodium.verifier
    return verifier


@cache
def _signer() -> Callable[[bytes], Callable[[bytes], bytes]]:
    try:
        from mesh.identity.aws_lc import signer
    except ImportError:
        return libsodium.signer
    return signer
