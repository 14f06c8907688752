"""Stateless resets (RFC 9000 section 10.3): an end that lost a connection's state can still say that it is over."""

from __future__ import annotations

import os
from hashlib import blake2s
from typing import Final

from mesh.codecs.quic import MIN_RESET_BYTES, RESET_TOKEN_BYTES

MAX_RESET_BYTES: Final = 42
"""No reset needs to be longer; one of 43 bytes or less is answered, if at all, by a shorter one."""
RESETS_PER_S: Final = 100
MIN_KEY_BYTES: Final = 16


class StatelessReset:
    """Makes tokens from ids under a ``key`` of at least 16 secret bytes, and resets no faster than a rate.

    With a key that outlives the process, peers learn quickly that it has started again.
    """

    __slots__ = ("_full_at", "_key", "_per_s")

    def __init__(self, key: bytes, per_s: float = RESETS_PER_S) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"a reset key of {len(key)} bytes, at least {MIN_KEY_BYTES}")
        self._key = blake2s(key, person=b"quicrst").digest()
        self._per_s = per_s
        self._full_at = 0.0

    def token(self, connection_id: bytes) -> bytes:
        """The 16 bytes that end a reset of this id."""
        return blake2s(connection_id, key=self._key, digest_size=RESET_TOKEN_BYTES).digest()

    def answer(self, connection_id: bytes, size: int, now: float) -> bytes | None:
        """The reset for a datagram of ``size`` bytes with this id, shorter than that; None when it is too short to be
        answered or too many were answered in the last second."""
        length = min(size - 1, MAX_RESET_BYTES)
        if length < MIN_RESET_BYTES:
            return None
        full_at = max(self._full_at, now) + 1 / self._per_s
        if full_at > now + 1:
            return None
        self._full_at = full_at
        padding = bytearray(os.urandom(length - RESET_TOKEN_BYTES))
        padding[0] = padding[0] & 0x3F | 0x40
        return bytes(padding) + self.token(connection_id)
