"""STIM: a configuration and a root file system, each in a sigil box of its own, in one Trix container (section 11.1)."""

from __future__ import annotations

from typing import Final

from mesh.codecs.smsg import MAX_PAYLOAD_BYTES, NONCE_BYTES, OVERHEAD_BYTES
from mesh.codecs.tim import Payload
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.protocols.lethean import sigil
from mesh.protocols.lethean.smsg import NO_DECRYPTION, derive_key
from mesh.protocols.lethean.trix import read_container, write_container

MAGIC: Final = b"STIM"


def seal_stim(password: str, config: bytes, rootfs: bytes, nonces: bytes) -> bytes:
    """A bundle. `nonces` are 48 fresh random bytes, one nonce for each box. Raises UsageError for an empty password."""
    if not password:
        raise UsageError("password is required for encryption")
    if len(nonces) != 2 * NONCE_BYTES:
        raise UsageError(f"a STIM wants {2 * NONCE_BYTES} bytes of nonces")
    if max(len(config), len(rootfs)) > MAX_PAYLOAD_BYTES - 2 * OVERHEAD_BYTES:
        raise UsageError(f"a part of the bundle has more than {MAX_PAYLOAD_BYTES} bytes")
    key = derive_key(password)
    first = sigil.seal(key, nonces[:NONCE_BYTES], config)
    second = sigil.seal(key, nonces[NONCE_BYTES:], rootfs)
    header = (
        f'{{"config_size":{len(first)},"encryption_algorithm":"chacha20poly1305",'
        f'"rootfs_size":{len(second)},"tim":true,"version":"1.0"}}'
    )
    return write_container(MAGIC, header, Payload(first, second).encode())


def open_stim(password: str, data: bytes) -> tuple[bytes, bytes]:
    """Configuration and tar. Only the length before the configuration counts, header values are not looked at.

    Raises UsageError for an empty password, Truncated or Malformed for the data.
    """
    if not password:
        raise UsageError("password is required for encryption")
    try:
        _, payload = read_container(MAGIC, data)
    except DecodeError as error:
        raise type(error)("stim", error.offset, f"failed to decode stim: {error}") from None
    try:
        parts = Payload.decode(payload)
    except DecodeError:
        raise Malformed("stim", None, "invalid stim payload") from None
    key = derive_key(password)
    try:
        return sigil.unseal(key, parts.config), sigil.unseal(key, parts.rootfs)
    except Malformed as error:
        raise Malformed("stim", None, f"{NO_DECRYPTION}: {error.reason}") from None
