"""Bytes into blocks: a balanced tree of chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mesh.codecs.unixfs import Data, DataType
from mesh.errors import UsageError
from mesh.ipld.block import Block
from mesh.ipld.dag_pb import Link, Node
from mesh.multiformats.cid import RAW, Cid

CHUNK_BYTES: Final = 256 * 1024
LINKS_OF_NODE: Final = 174
MAX_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class File:
    """A file or a part of one: its block, the bytes of content in it, the bytes of its blocks (Tsize)."""

    cid: Cid
    size: int
    total_bytes: int


class FileBuilder:
    """Takes content piece by piece and gives blocks as they are complete, children before parents.

    With `raw_leaves` chunks are blocks of codec raw, else dag-pb nodes, as older versions and Betar write them.
    """

    def __init__(self, *, chunk_bytes: int = CHUNK_BYTES, raw_leaves: bool = True) -> None:
        if not 1 <= chunk_bytes <= MAX_CHUNK_BYTES:
            raise UsageError(f"chunks have 1 to {MAX_CHUNK_BYTES} bytes, not {chunk_bytes}")
        self._chunk_bytes = chunk_bytes
        self._raw_leaves = raw_leaves
        self._left = bytearray()
        self._levels: list[list[File]] = [[]]
        self._blocks: list[Block] = []

    def add(self, data: bytes | bytearray | memoryview) -> list[Block]:
        """Content that follows what came before; returns the blocks that are complete now."""
        self._left += data
        size = self._chunk_bytes
        whole = len(self._left) - len(self._left) % size
        with memoryview(self._left) as view:
            for at in range(0, whole, size):
                self._add_leaf(bytes(view[at : at + size]))
        del self._left[:whole]
        return self._taken()

    def finish(self) -> tuple[File, list[Block]]:
        """The whole file, and the last of its blocks; its root is the last of all. An empty file is one block."""
        if self._left or not any(self._levels):
            self._add_leaf(bytes(self._left))
            self._left.clear()
        level = 0
        while level < len(self._levels) - 1 or len(self._levels[level]) > 1:
            if self._levels[level]:
                self._close(level)
            level += 1
        return self._levels[level][0], self._taken()

    def _taken(self) -> list[Block]:
        blocks, self._blocks = self._blocks, []
        return blocks

    def _add_leaf(self, data: bytes) -> None:
        block = Block.of(data, RAW) if self._raw_leaves else Block.of(_leaf(data))
        self._add(0, block, File(block.cid, len(data), len(block.data)))

    def _add(self, level: int, block: Block, part: File) -> None:
        self._blocks.append(block)
        if level == len(self._levels):
            self._levels.append([])
        parts = self._levels[level]
        parts.append(part)
        if len(parts) == LINKS_OF_NODE:
            self._close(level)

    def _close(self, level: int) -> None:
        """Put the parts of a level under one node of the level above."""
        parts, self._levels[level] = self._levels[level], []
        size = sum(each.size for each in parts)
        data = Data(type=DataType.FILE, file_size=size, block_sizes=[each.size for each in parts])
        links = tuple(Link(each.cid, "", each.total_bytes) for each in parts)
        block = Block.of(Node(data.encode(), links).encode())
        total = len(block.data) + sum(each.total_bytes for each in parts)
        self._add(level + 1, block, File(block.cid, size, total))


def build(content: Iterable[bytes], *, raw_leaves: bool = True) -> Iterator[Block]:
    """The blocks of a file whose content comes in pieces; its root is the last."""
    builder = FileBuilder(raw_leaves=raw_leaves)
    for piece in content:
        yield from builder.add(piece)
    yield from builder.finish()[1]


def _leaf(data: bytes) -> bytes:
    content = Data(type=DataType.FILE, data=data or None, file_size=len(data))
    return Node(content.encode()).encode()
