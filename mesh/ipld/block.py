"""Bytes and the content identifier that they hash to."""

from __future__ import annotations

from base64 import b32encode
from functools import lru_cache
from typing import Final

from mesh.codecs.dag_pb import MAX_BLOCK_BYTES
from mesh.errors import Malformed, UsageError
from mesh.multiformats import multihash
from mesh.multiformats.cid import DAG_PB, Cid

_HASH: Final = "sha2-256"
NAMES_REMEMBERED: Final = 512
"""Base32 takes longer than all else that is done with a name, and one is asked for several times in a row."""


class Block:
    """An immutable block; equality and hash are those of its CID."""

    __slots__ = ("cid", "data")

    def __init__(self, cid: Cid, data: bytes) -> None:
        """For bytes known to be the CID's, such as those of an own store; see `verified`."""
        self.cid = cid
        self.data = data

    @classmethod
    def of(cls, data: bytes, codec: int = DAG_PB) -> Block:
        """The block of these bytes: CID version 1, sha2-256. Raises UsageError over 2 MiB."""
        if len(data) > MAX_BLOCK_BYTES:
            raise UsageError(f"a block of {len(data)} bytes: at most {MAX_BLOCK_BYTES}")
        return cls(Cid(1, codec, multihash.digest(data, _HASH)), data)

    @classmethod
    def verified(cls, cid: Cid, data: bytes) -> Block:
        """A block from elsewhere. Raises Malformed when the bytes are too many or hash to something else."""
        if len(data) > MAX_BLOCK_BYTES:
            raise Malformed("block", None, f"{len(data)} bytes, at most {MAX_BLOCK_BYTES}")
        if not cid.multihash.matches(data):
            raise Malformed("block", None, f"the bytes are not those of {cid}")
        return cls(cid, data)

    def __eq__(self, other: object) -> bool:
        return self.cid == other.cid if isinstance(other, Block) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.cid)

    def __repr__(self) -> str:
        return f"Block({str(self.cid)!r}, {len(self.data)} bytes)"


@lru_cache(maxsize=NAMES_REMEMBERED)
def store_name(cid: Cid) -> str:
    """How stores name a block: `/` and the base32 of its multihash, upper case without padding.

    CIDs of one hash share it, whatever their version and codec.
    """
    return "/" + b32encode(cid.multihash.to_bytes()).decode().rstrip("=")
