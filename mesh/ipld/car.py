"""Content-addressable archives, version 1: blocks in a file, with the roots that they belong to (IPLD specs, carv1).

An archive is read piece by piece, as it comes; every block is checked against its CID, and only one is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mesh.codecs.car import MAX_ROOTS, decode_section, encode_section
from mesh.errors import Malformed, Truncated, UsageError
from mesh.ipld.block import Block
from mesh.multiformats import dag_cbor, varint
from mesh.multiformats.cid import Cid

VERSION: Final = 1


def write_car(roots: list[Cid], blocks: Iterable[Block]) -> Iterator[bytes]:
    """The pieces of an archive. Raises UsageError for more than 1,024 roots."""
    if len(roots) > MAX_ROOTS:
        raise UsageError(f"an archive has at most {MAX_ROOTS} roots, not {len(roots)}")
    yield encode_section(dag_cbor.encode({"roots": list(roots), "version": VERSION}))
    for block in blocks:
        yield encode_section(block.cid.to_bytes() + block.data)


class CarReader:
    """Reads an archive. `roots` is None until its header has come; an archive may hold other blocks, or not all."""

    def __init__(self) -> None:
        self._left = bytearray()
        self.roots: list[Cid] | None = None

    def feed(self, data: bytes) -> list[Block]:
        """Bytes that follow what came before; returns the blocks in them. Raises Malformed."""
        self._left += data
        whole, at, blocks = bytes(self._left), 0, []
        while at < len(whole):
            try:
                content, used = decode_section(whole[at:])
            except Truncated:
                break
            at += used
            if self.roots is None:
                self.roots = _roots(content)
            else:
                blocks.append(_block(content))
        del self._left[:at]
        return blocks

    def finish(self) -> list[Cid]:
        """The roots, when there is nothing more. Raises Truncated for an archive that ends in the middle."""
        if self._left or self.roots is None:
            raise Truncated("car", len(self._left))
        return self.roots


def _roots(content: bytes) -> list[Cid]:
    header = dag_cbor.decode(content)
    if not isinstance(header, dict) or header.get("version") != VERSION:
        version = header.get("version") if isinstance(header, dict) else None
        raise Malformed("car", 0, f"version {version!r}: only archives of version 1 are read")
    roots = header.get("roots")
    if not isinstance(roots, list) or len(roots) > MAX_ROOTS:
        raise Malformed("car", 0, f"the header has no list of at most {MAX_ROOTS} roots")
    found = [each for each in roots if isinstance(each, Cid)]
    if len(found) != len(roots):
        raise Malformed("car", 0, "a root is no CID")
    return found


def _block(content: bytes) -> Block:
    """A section: the CID ends where its digest does."""
    if content[:2] == b"\x12\x20":
        end = 34
    else:
        at = 0
        for _ in range(3):
            _, at = varint.decode(content, at)
        size, at = varint.decode(content, at)
        end = at + size
    return Block.verified(Cid.from_bytes(content[:end]), content[end:])
