"""Retry packets and their tokens (RFC 9000 section 8.1.2): a client proves that it gets what is sent to its address,
and nothing about it is kept meanwhile."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mesh.codecs.quic import OWN_ID_BYTES, TAG_BYTES, Initial, Retry, RetryToken
from mesh.errors import DecodeError
from mesh.network.quic.engine import Address

LIFETIME_S: Final = 10.0
"""How long a client may take to come back with a token."""

_NONCE_BYTES: Final = 12
_INTEGRITY_KEY: Final = AESGCM(bytes.fromhex("be0c690b9f66575a1d766b54e368c84e"))
_INTEGRITY_NONCE: Final = bytes.fromhex("461599d35d632bf2239825bb")


@dataclass(frozen=True, slots=True)
class Validated:
    """What a token proved: the destination of the client's first Initial, and the source of the Retry."""

    original_id: bytes
    retry_id: bytes


class Stale(Exception):  # noqa: N818 - a condition of the token
    """A token of ours, but for another address or id, or too old."""


class RetryTokens:
    """Seals and opens tokens under a key of its own that lives as long as it does."""

    __slots__ = ("_aead", "_count")

    def __init__(self) -> None:
        self._aead = AESGCM(AESGCM.generate_key(256))
        self._count = 0

    def answer(self, initial: Initial, address: Address, now: float) -> bytes:
        """The Retry packet for an Initial."""
        retry_id = os.urandom(OWN_ID_BYTES)
        token = RetryToken(int((now + LIFETIME_S) * 1000), initial.destination_id, retry_id).encode()
        self._count += 1
        nonce = self._count.to_bytes(_NONCE_BYTES, "big")
        sealed = nonce + self._aead.encrypt(nonce, token, _bound(address))
        first = 0xF0 | retry_id[0] & 0x0F
        packet = Retry(first, initial.source_id, retry_id, sealed).encode()
        return packet + integrity_tag(initial.destination_id, packet)

    def open(self, initial: Initial, address: Address, now: float) -> Validated | None:
        """What the token of an Initial proves; None when it is no token of ours. Raises `Stale`."""
        nonce, sealed = initial.token[:_NONCE_BYTES], initial.token[_NONCE_BYTES:]
        if len(sealed) < TAG_BYTES:
            return None
        try:
            token = RetryToken.decode(self._aead.decrypt(nonce, sealed, _bound(address)))
        except (InvalidTag, DecodeError):
            return None
        if token.expires_ms < now * 1000 or token.retry_id != initial.destination_id:
            raise Stale
        return Validated(token.original_id, token.retry_id)


def integrity_tag(original_id: bytes, packet: bytes) -> bytes:
    """The tag that ends a Retry ``packet`` (RFC 9001 section 5.8)."""
    return _INTEGRITY_KEY.encrypt(_INTEGRITY_NONCE, b"", bytes((len(original_id),)) + original_id + packet)


def _bound(address: Address) -> bytes:
    """What a token is bound to: host and port, and the zone if there is one."""
    return repr((address[0], address[1], address[3:])).encode()
