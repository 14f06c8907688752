"""Blocks into bytes: a file read in order, with the blocks to be fetched ahead.

A tree from elsewhere is not believed: sizes have to add up, and it is only so deep.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from mesh.codecs.unixfs import Data, DataType
from mesh.errors import Malformed, UsageError
from mesh.ipld.block import Block
from mesh.ipld.dag_pb import Link, Node
from mesh.multiformats.cid import DAG_PB, RAW, Cid

MAX_DEPTH: Final = 32
_FILES: Final = (DataType.FILE, DataType.RAW)


@dataclass(slots=True)
class _Part:
    """A part of the file that was not read yet; `size` is what its parent says, None for the root."""

    cid: Cid
    size: int | None
    depth: int
    skip: int = 0
    block: Block | None = None
    asked: bool = False


class FileReader:
    """Reads the file below `root`, from byte `start`. Ask `wanted` for blocks, `give` them, `read` what is there."""

    def __init__(self, root: Cid, start: int = 0) -> None:
        if start < 0:
            raise UsageError("a file starts at byte 0")
        self._parts: deque[_Part] = deque([_Part(root, None, 0, start)])
        self.size: int | None = None
        """Bytes of the whole file, once its root is known."""

    @property
    def done(self) -> bool:
        """Whether all was read."""
        return not self._parts

    def wanted(self, most: int) -> list[Cid]:
        """Blocks to fetch that were not asked for before, nearest first; at most so many are on their way at once."""
        found = []
        for part, _ in zip(self._parts, range(most), strict=False):
            if not part.asked and part.block is None:
                part.asked = True
                found.append(part.cid)
        return found

    def give(self, block: Block) -> None:
        """A block that was asked for."""
        for part in self._parts:
            if part.asked and part.block is None and part.cid == block.cid:
                part.block = block

    def read(self) -> list[bytes]:
        """The content that can be told now, in order. Raises Malformed for what is no file of this size."""
        found = []
        while self._parts and self._parts[0].block is not None:
            part = self._parts.popleft()
            data, below = self._opened(part)
            self._parts.extendleft(reversed(below))
            if data:
                found.append(data)
        return found

    def _opened(self, part: _Part) -> tuple[bytes, list[_Part]]:
        """What a part holds itself, and the parts below it."""
        assert part.block is not None
        if part.cid.codec == RAW:
            self._check(part, len(part.block.data))
            return part.block.data[part.skip :], []
        if part.cid.codec != DAG_PB:
            raise Malformed("file", None, f"{part.cid} is {part.cid.codec_name}, no part of a file")
        node = Node.decode(part.block.data)
        data = Data.decode(node.data or b"")
        if data.type not in _FILES:
            raise Malformed(
                "file", None, f"{part.cid} is a {data.type.name.lower().replace('_', ' ')}, no file"
            )
        if len(data.block_sizes) != len(node.links):
            raise Malformed(
                "file", None, f"{part.cid} has {len(node.links)} links and {len(data.block_sizes)} sizes"
            )
        own = data.data or b""
        size = len(own) + sum(data.block_sizes)
        if data.file_size not in (None, size):
            raise Malformed("file", None, f"{part.cid} says {data.file_size} bytes and holds {size}")
        self._check(part, size)
        if node.links and part.depth == MAX_DEPTH:
            raise Malformed("file", None, f"{part.cid} is more than {MAX_DEPTH} nodes below the root")
        return own[part.skip :], _parts(
            node.links, data.block_sizes, max(0, part.skip - len(own)), part.depth + 1
        )

    def _check(self, part: _Part, size: int) -> None:
        if part.size is None:
            self.size = size
        elif part.size != size:
            raise Malformed("file", None, f"{part.cid} has {size} bytes where {part.size} were announced")


def _parts(links: tuple[Link, ...], sizes: list[int], skip: int, depth: int) -> list[_Part]:
    """The parts behind links, without those that lie wholly before what is read; empty ones say nothing."""
    found = []
    for link, size in zip(links, sizes, strict=True):
        if skip < size:
            found.append(_Part(link.cid, size, depth, skip))
        skip = max(0, skip - size)
    return found
