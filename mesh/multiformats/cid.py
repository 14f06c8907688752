"""Content identifiers: what the bytes are (codec) and their hash.

Version 0 is a bare sha2-256 multihash, means dag-pb and prints base58 (`Qm...`). Version 1 is `01`, codec,
multihash and prints in any multibase, base32 (`b...`) by default.
"""

from __future__ import annotations

from functools import total_ordering
from typing import Final

from mesh.errors import DecodeError, Malformed, UsageError
from mesh.multiformats import multibase, varint
from mesh.multiformats.multihash import SHA2_256, Multihash
from mesh.multiformats.positional import b58decode, b58encode

RAW: Final = 0x55
DAG_PB: Final = 0x70
DAG_CBOR: Final = 0x71
LIBP2P_KEY: Final = 0x72

_CODEC_NAMES: Final = {
    RAW: "raw",
    DAG_PB: "dag-pb",
    DAG_CBOR: "dag-cbor",
    LIBP2P_KEY: "libp2p-key",
    0x0129: "dag-json",
}
_V0_START: Final = b"\x12\x20"


@total_ordering
class Cid:
    """An immutable identifier; equality, hash and order are those of its bytes."""

    __slots__ = ("_bytes", "_codec", "_multihash", "_version")

    def __init__(self, version: int, codec: int, multihash: Multihash) -> None:
        """Raises UsageError when version 0 is asked for anything but dag-pb with sha2-256."""
        if version == 0:
            if codec != DAG_PB or multihash.code != SHA2_256:
                raise UsageError("CID version 0 is dag-pb with sha2-256 only")
            self._bytes = multihash.to_bytes()
        elif version == 1:
            self._bytes = b"\x01" + varint.encode(codec) + multihash.to_bytes()
        else:
            raise UsageError(f"CID version {version} does not exist")
        self._version = version
        self._codec = codec
        self._multihash = multihash

    @property
    def version(self) -> int:
        return self._version

    @property
    def codec(self) -> int:
        """The multicodec number of the content."""
        return self._codec

    @property
    def codec_name(self) -> str:
        """The codec's name, or its number in hexadecimal."""
        return _CODEC_NAMES.get(self._codec, f"0x{self._codec:x}")

    @property
    def multihash(self) -> Multihash:
        return self._multihash

    @classmethod
    def from_bytes(cls, data: bytes) -> Cid:
        """Reads exactly one binary CID of either version. Raises Truncated or Malformed."""
        if data[:2] == _V0_START:
            return cls(0, DAG_PB, Multihash.from_bytes(data))
        version, offset = varint.decode(data)
        if version != 1:
            raise Malformed("cid", 0, f"version {version} does not exist")
        codec, offset = varint.decode(data, offset)
        try:
            return cls(1, codec, Multihash.from_bytes(data[offset:]))
        except DecodeError as error:
            at = None if error.offset is None else error.offset + offset
            raise type(error)("cid", at, error.reason) from None

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Reads the text of either version, version 1 in any multibase. Raises DecodeError."""
        if len(text) == 46 and text.startswith("Qm"):
            return cls.from_bytes(b58decode(text))
        data = multibase.decode(text)
        if data[:1] == b"\x12":
            raise Malformed("cid", 0, "version 0 has no multibase form")
        return cls.from_bytes(data)

    def to_bytes(self) -> bytes:
        return self._bytes

    def to_text(self, base: str = "base32") -> str:
        """Version 1 in the named multibase. Raises UsageError for version 0, which has one form: `str()`."""
        if self._version == 0:
            raise UsageError("CID version 0 is always base58; convert it with to_v1() first")
        return multibase.encode(base, self._bytes)

    def to_v1(self) -> Cid:
        """The same content as a version 1 identifier."""
        return self if self._version == 1 else Cid(1, self._codec, self._multihash)

    def __str__(self) -> str:
        return b58encode(self._bytes) if self._version == 0 else multibase.encode("base32", self._bytes)

    def __repr__(self) -> str:
        return f"Cid({str(self)!r})"

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __eq__(self, other: object) -> bool:
        return self._bytes == other._bytes if isinstance(other, Cid) else NotImplemented

    def __lt__(self, other: Cid) -> bool:
        return self._bytes < other._bytes if isinstance(other, Cid) else NotImplemented
