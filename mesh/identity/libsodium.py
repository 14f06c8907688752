"""Ed25519 by libsodium, called as PyNaCl's own functions do, but for the copies that those make of what goes in and comes
out. It refuses keys and nonces of small order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from nacl._sodium import ffi, lib
from nacl.bindings import crypto_sign_seed_keypair

SIGNATURE_BYTES = 64

_NULL = ffi.NULL
_open = lib.crypto_sign_open
_sign = lib.crypto_sign


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature of 64 bytes is that of a key of 32 bytes over the message."""
    signed = signature + message
    found: int = _open(_NULL, _NULL, signed, len(signed), public)
    return found == 0


def verifier(public: bytes) -> Callable[[bytes, bytes], bool]:
    """What tells whether a signature of 64 bytes is that of a key of 32 bytes over a message."""
    return partial(verify, public)


def signer(seed: bytes) -> Callable[[bytes], bytes]:
    """What signs with the key of a seed of 32 bytes."""
    _, secret = crypto_sign_seed_keypair(seed)

    def sign(message: bytes) -> bytes:
        size = len(message)
        signed = ffi.new("unsigned char[]", SIGNATURE_BYTES + size)
        _sign(signed, _NULL, message, size, secret)
        signature: bytes = ffi.buffer(signed, SIGNATURE_BYTES)[:]
        return signature

    return sign
