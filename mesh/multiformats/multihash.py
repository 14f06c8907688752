"""Multihash: a digest that names its hash function: uvarint code, uvarint length, digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh.errors import Malformed, Truncated, UsageError
from mesh.multiformats import varint

MAX_DIGEST_BYTES = 128

IDENTITY: Final = 0x00
SHA2_256: Final = 0x12

_LENGTHS: Final = {
    "sha1": (0x11, 20),
    "sha2-256": (SHA2_256, 32),
    "sha2-512": (0x13, 64),
    "sha3-512": (0x14, 64),
    "sha3-384": (0x15, 48),
    "sha3-256": (0x16, 32),
    "sha3-224": (0x17, 28),
    "keccak-256": (0x1B, 32),
    "blake3": (0x1E, 32),
    "sha2-384": (0x20, 48),
    "dbl-sha2-256": (0x56, 32),
    "md5": (0xD5, 16),
    "blake2b-256": (0xB220, 32),
    "blake2s-256": (0xB260, 32),
}
_NAMES: Final = {IDENTITY: "identity", **{code: name for name, (code, _) in _LENGTHS.items()}}
_DIGEST_BYTES: Final = dict(_LENGTHS.values())

_FUNCTIONS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "identity": lambda data: data,
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha2-256": lambda data: hashlib.sha256(data).digest(),
    "sha2-384": lambda data: hashlib.sha384(data).digest(),
    "sha2-512": lambda data: hashlib.sha512(data).digest(),
    "sha3-224": lambda data: hashlib.sha3_224(data).digest(),
    "sha3-256": lambda data: hashlib.sha3_256(data).digest(),
    "sha3-384": lambda data: hashlib.sha3_384(data).digest(),
    "sha3-512": lambda data: hashlib.sha3_512(data).digest(),
    "dbl-sha2-256": lambda data: hashlib.sha256(hashlib.sha256(data).digest()).digest(),
    "blake2b-256": lambda data: hashlib.blake2b(data, digest_size=32).digest(),
    "blake2s-256": lambda data: hashlib.blake2s(data, digest_size=32).digest(),
}


@dataclass(frozen=True, slots=True)
class Multihash:
    """`code` is the multicodec number of the hash function, `digest` its whole output.

    A function that is not in the table is carried along with a digest of at most MAX_DIGEST_BYTES; a known
    one must have its full length. Construction raises Malformed otherwise.
    """

    code: int
    digest: bytes

    def __post_init__(self) -> None:
        size = len(self.digest)
        if size > MAX_DIGEST_BYTES:
            raise Malformed("multihash", None, f"digest of {size} bytes, the maximum is {MAX_DIGEST_BYTES}")
        expected = _DIGEST_BYTES.get(self.code)
        if expected is not None and size != expected:
            raise Malformed("multihash", None, f"{self.name} digest of {size} bytes instead of {expected}")
        if not 0 <= self.code <= varint.MAX_VALUE:
            raise Malformed("multihash", None, f"code {self.code} is out of range")

    @classmethod
    def from_bytes(cls, data: bytes) -> Multihash:
        """Reads exactly one multihash. Raises Truncated or Malformed."""
        code, offset = varint.decode(data)
        size, offset = varint.decode(data, offset, MAX_DIGEST_BYTES)
        left = len(data) - offset
        if left < size:
            raise Truncated("multihash", offset, f"digest of {size} bytes has {left}")
        if left > size:
            raise Malformed("multihash", offset + size, f"{left - size} bytes follow the digest")
        return cls(code, bytes(data[offset:]))

    def to_bytes(self) -> bytes:
        """Code, length, digest."""
        return varint.encode(self.code) + varint.encode(len(self.digest)) + self.digest

    @property
    def name(self) -> str:
        """The multicodec name, or the code in hexadecimal when it is not in the table."""
        return _NAMES.get(self.code, f"0x{self.code:x}")

    def matches(self, data: bytes) -> bool:
        """Whether `data` has this hash. Raises UsageError for a function that cannot be computed here."""
        return digest(data, self.name) == self


def digest(data: bytes, name: str = "sha2-256") -> Multihash:
    """The multihash of `data` by the function called `name`.

    Raises UsageError for a name that cannot be computed, and for identity above MAX_DIGEST_BYTES.
    """
    function = _FUNCTIONS.get(name)
    if function is None:
        raise UsageError(f"hash function {name!r} is not known; these are: {', '.join(_FUNCTIONS)}")
    code = IDENTITY if name == "identity" else _LENGTHS[name][0]
    if code == IDENTITY and len(data) > MAX_DIGEST_BYTES:
        raise UsageError(f"an identity multihash holds {MAX_DIGEST_BYTES} bytes, not {len(data)}")
    return Multihash(code, function(data))
