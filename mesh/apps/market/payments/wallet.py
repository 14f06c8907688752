"""The wallet: a secp256k1 key in a file, and what is done with keys (sections 3.7, 3.9).

The file holds 64 hexadecimal digits and a newline, mode 0600, and is made when there is none. eth-account, with coincurve
behind it, comes with the extra `market` and is loaded when a wallet is.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from mesh.errors import ConfigError
from mesh.extras import load_signing
from mesh.protocols.x402.amounts import checksummed
from mesh.protocols.x402.seller import Crypto
from mesh.storage.keystore import create_private, read_private

if TYPE_CHECKING:
    from eth_keys.datatypes import PrivateKey

_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Wallet:
    """A key that pays and is paid. ``address`` is 20 bytes."""

    def __init__(self, secret: bytes) -> None:
        """Takes 32 bytes. Raises `ConfigError` for what is no key, or without the extra `market`."""
        keccak, keys = _libraries()
        if len(secret) != 32 or not 0 < int.from_bytes(secret) < _ORDER:
            raise ConfigError("the wallet's key is no number of secp256k1; make another one")
        self._key: PrivateKey = keys.PrivateKey(secret)
        self.address: bytes = self._key.public_key.to_canonical_address()
        self._keccak = keccak

    @classmethod
    def from_text(cls, text: str, source: str) -> Self:
        """The wallet of 64 hexadecimal digits; ``source`` is where they came from. Raises `ConfigError`."""
        digits = text.strip()
        if _KEY.fullmatch(digits) is None:
            raise ConfigError(f"{source}: a wallet's key is 64 hexadecimal digits, without 0x")
        return cls(bytes.fromhex(digits))

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """The wallet of a file, after making one with a random key where there is none. Raises `ConfigError`."""
        try:
            if not os.path.lexists(path):
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    create_private(path, f"{_random_key():064x}\n".encode())
            data = read_private(path)
        except OSError as error:
            cause = error.strerror or str(error)
            raise ConfigError(
                f"{path}: cannot read the wallet's key: {cause}; check the folder's owner and mode"
            ) from None
        return cls.from_text(data.decode("ascii", "replace"), str(path))

    @property
    def address_text(self) -> str:
        """The address in checksum form."""
        return checksummed(self.address, self._keccak)

    def sign(self, digest: bytes) -> bytes:
        """A signature of 65 bytes over a digest of 32, v of 27 or 28, s in the lower half, the same one every time."""
        signature = self._key.sign_msg_hash(digest).to_bytes()
        return signature[:64] + bytes((27 + signature[64],))

    def crypto(self) -> Crypto:
        """What the machines are given."""
        return Crypto(self._keccak, recover, self.sign, secrets.token_bytes)


def recover(digest: bytes, signature: bytes) -> bytes | None:
    """The 20 bytes of the address that made a signature of 65 bytes, v of 27 or 28; None where there is none."""
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    keys = _libraries()[1]
    try:
        found = keys.Signature(signature[:64] + bytes((signature[64] - 27,)))
        address: bytes = found.recover_public_key_from_msg_hash(digest).to_canonical_address()
    except (BadSignature, ValidationError):
        return None
    return address


def keyless() -> Crypto:
    """What the machines are given where there is no wallet: they take and do only what is free."""

    def unavailable(*_: Any) -> Any:
        raise ConfigError("payments are off: there is no wallet")

    return Crypto(unavailable, unavailable, unavailable, secrets.token_bytes)


def _libraries() -> tuple[Callable[[bytes], bytes], Any]:
    """Keccak, and the keys of eth-account. Raises `ConfigError` without the extra `market`."""
    load_signing()
    from eth_hash.auto import keccak
    from eth_keys.main import lazy_key_api

    return keccak, lazy_key_api


def _random_key() -> int:
    return 1 + secrets.randbelow(_ORDER - 1)
