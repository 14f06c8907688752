"""Under which keys a replica keeps what it knows, and how the rows of its mapping are written.

=====================  ==============================================================================================
key in the namespace   row
=====================  ==============================================================================================
``h<block>``           a head: its height
``b<block>``           a merged node: empty
``w<block>``           a head of others whose branch is not merged yet: whether it stands among the heads, its CID
``k<key>``             a mapping key that has elements: see `Shown`
``e<key>\\0<block>``    one more element of it: length of the key, height, value
``t<key>\\0<block>``    a tombstone: whether its element was there
``f<block>``           a block that tombstones named before it was merged: empty
=====================  ==============================================================================================

A key with one element is one row, and rows say all that merging ever asks for: blocks are read for others alone.
The original has four rows for an element (go-ds-crdt 0.6.8, set.go), from which blocks have to be read again.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from dataclasses import dataclass
from typing import Final

from mesh.errors import DecodeError, StorageError
from mesh.multiformats import varint
from mesh.multiformats.multihash import Multihash

ADOPTED: Final = b"\x01"
WANTED: Final = b"\x00"
"""First byte of the value of a wanted head: whether it stands among the heads already. Its CID follows."""
KNOWN: Final = b"\x01"
UNKNOWN: Final = b"\x00"
"""Of a tombstone: whether its element was there."""
OTHERS: Final = 1
HIDDEN: Final = 2
"""Flags of a `Shown`."""


class Shown:
    """What a mapping key has: flags, and unless it is `HIDDEN` the visible value with its height and the multihash of the
    block that it is from. `OTHERS`: elements besides that one have rows of their own; of a hidden key all have."""

    __slots__ = ("block", "flags", "height", "value")

    def __init__(self, flags: int, height: int, block: bytes, value: bytes) -> None:
        self.flags = flags
        self.height = height
        self.block = block
        self.value = value

    @classmethod
    def read(cls, row: bytes) -> Shown:
        """Raises StorageError for what nobody wrote."""
        try:
            height, offset = varint.decode(row, 1)
            end = offset + 1 + row[offset]
        except (DecodeError, IndexError):
            raise damaged(row) from None
        if row[0] > OTHERS | HIDDEN or end > len(row):
            raise damaged(row)
        return cls(row[0], height, row[offset + 1 : end], row[end:])

    def write(self) -> bytes:
        return shown_start(self.flags, self.height, self.block) + self.value

    @property
    def visible(self) -> bytes | None:
        return None if self.flags & HIDDEN else self.value


def shown_start(flags: int, height: int, block: bytes) -> bytes:
    """What the row of a `Shown` begins with; its value follows."""
    return bytes([flags]) + varint.encode(height) + bytes([len(block)]) + block


NOTHING_SHOWN: Final = Shown(HIDDEN, 0, b"", b"").write()


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of one namespace. Blocks have names as in `store_name`, mapping keys are clean."""

    namespace: str

    def head(self, block: str) -> bytes:
        return f"{self.namespace}/h{block}".encode()

    def processed(self, block: str) -> bytes:
        return f"{self.namespace}/b{block}".encode()

    def wanted(self, block: str) -> bytes:
        return f"{self.namespace}/w{block}".encode()

    def foretold(self, block: str) -> bytes:
        return f"{self.namespace}/f{block}".encode()

    def shown(self, key: str) -> bytes:
        return f"{self.namespace}/k{key}".encode()

    def element(self, key: str, block: str) -> bytes:
        return f"{self.namespace}/e{key}\0{block}".encode()

    def tombstone(self, key: str, block: str) -> bytes:
        return f"{self.namespace}/t{key}\0{block}".encode()

    @property
    def heads(self) -> bytes:
        """What the keys of all heads begin with."""
        return self.head("/")

    @property
    def all_wanted(self) -> bytes:
        return self.wanted("/")

    @property
    def all_shown(self) -> bytes:
        return self.shown("/")

    def elements(self, key: str) -> bytes:
        """What the keys of a mapping key's other elements begin with; those of keys with NUL may as well."""
        return f"{self.namespace}/e{key}\0".encode()


def element_row(key: str, height: int, value: bytes) -> bytes:
    """The row of an element."""
    return varint.encode(len(key)) + varint.encode(height) + value


def read_element(key: str, row: bytes) -> tuple[int, bytes] | None:
    """Its height and value; None for the element of a longer key. Raises StorageError."""
    try:
        length, offset = varint.decode(row)
        height, offset = varint.decode(row, offset)
    except DecodeError:
        raise damaged(row) from None
    return (height, row[offset:]) if length == len(key) else None


def block_name(multihash: bytes) -> str:
    """How a block is named whose multihash this is."""
    return "/" + b32encode(multihash).decode().rstrip("=")


def multihash_of(block: str) -> Multihash:
    """The inverse of `store_name`. Raises DecodeError, ValueError for the name of no block."""
    return Multihash.from_bytes(b32decode(block[1:] + "=" * (-len(block[1:]) % 8)))


def write_number(number: int) -> bytes:
    """A height as it is stored."""
    return varint.encode(number)


def read_number(data: bytes) -> int:
    """The inverse. Raises StorageError for what nobody wrote."""
    try:
        return varint.decode(data)[0]
    except DecodeError:
        raise damaged(data) from None


def damaged(row: bytes) -> StorageError:
    """The error for a row that nobody wrote."""
    return StorageError(f"the replica's store is damaged: {row[:64].hex()!r} is none of its rows")
