"""X25519 keys (RFC 7748): fresh ones by AWS-LC where it is to be had, else, like those of given bytes, by OpenSSL."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey


class Secret(Protocol):
    """One end of an agreement. ``public`` has 32 bytes."""

    @property
    def public(self) -> bytes: ...

    def exchange(self, public: bytes) -> bytes:
        """The 32 bytes shared with who has this public key; ValueError for a point of low order, or not of 32 bytes."""


class GivenSecret:
    """The key of 32 secret bytes; without them, a fresh one."""

    __slots__ = ("_key", "public")

    def __init__(self, raw: bytes | None = None) -> None:
        self._key = X25519PrivateKey.generate() if raw is None else X25519PrivateKey.from_private_bytes(raw)
        self.public = self._key.public_key().public_bytes_raw()

    def exchange(self, public: bytes) -> bytes:
        return self._key.exchange(X25519PublicKey.from_public_bytes(public))


def fresh() -> Secret:
    """A key that nobody has seen."""
    return _source()()


@cache
def _source() -> Callable[[], Secret]:
    try:
        from mesh.identity.aws_lc import Secret as AwsLcSecret
    except ImportError:
        return GivenSecret
    return AwsLcSecret
