"""Names into blocks and back: directories of one node, and tries where one node would be too large.

A trie has 256 places a node, chosen by one byte after another of the name's hash (murmur3, 64 bits); a link's name is the
place in hexadecimal, then the entry's name, or nothing for a node below. What a reader of others' tries wants is in
`Directory.below`: nodes to be read for more entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mesh.codecs.unixfs import Data, DataType
from mesh.errors import Malformed, UsageError
from mesh.ipld.block import Block
from mesh.ipld.dag_pb import Link, Node
from mesh.ipld.unixfs.murmur3 import murmur3
from mesh.multiformats.cid import Cid

FLAT_BYTES: Final = 256 * 1024
"""Names and CIDs of a larger directory become a trie."""
FANOUT: Final = 256
_MURMUR3: Final = 0x22
MAX_NAME_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Directory:
    """The entries in one node, and the nodes below it that hold more."""

    entries: tuple[Link, ...]
    below: tuple[Cid, ...] = ()


def build_directory(entries: Mapping[str, Link]) -> list[Block]:
    """The blocks of a directory, its root the last; an entry's own name is what it is called here.

    Raises UsageError for names that are empty, `.`, `..`, hold a slash or NUL, or are over 1,024 bytes.
    """
    for name in entries:
        if name in ("", ".", "..") or "/" in name or "\0" in name or len(name.encode()) > MAX_NAME_BYTES:
            raise UsageError(f"{name!r} is no name for a file")
    named = [Link(each.cid, name, each.total_bytes) for name, each in entries.items()]
    if sum(len(each.name.encode()) + len(each.cid.to_bytes()) for each in named) < FLAT_BYTES:
        return [Block.of(Node(Data(type=DataType.DIRECTORY).encode(), tuple(named)).encode())]
    blocks: list[Block] = []
    _build_trie([(murmur3(each.name.encode()), each) for each in named], 0, blocks)
    return blocks


def total_bytes(blocks: Iterable[Block], entries: Mapping[str, Link]) -> int:
    """What a link to a directory says of its size: its own blocks and all below its entries."""
    return sum(len(each.data) for each in blocks) + sum(each.total_bytes for each in entries.values())


def read_directory(block: Block) -> Directory:
    """The entries of a block. Raises DecodeError for what is no directory."""
    node = Node.decode(block.data)
    data = Data.decode(node.data or b"")
    if data.type == DataType.DIRECTORY:
        return Directory(node.links)
    if data.type != DataType.HAMT_SHARD:
        raise Malformed("directory", None, f"{block.cid} is a {data.type.name.lower()}, no directory")
    if data.hash_type != _MURMUR3 or not data.fanout or data.fanout & (data.fanout - 1):
        raise Malformed("directory", None, f"{block.cid} has hash {data.hash_type} and fanout {data.fanout}")
    digits = len(f"{data.fanout - 1:X}")
    entries = [
        Link(each.cid, each.name[digits:], each.total_bytes) for each in node.links if len(each.name) > digits
    ]
    return Directory(tuple(entries), tuple(each.cid for each in node.links if len(each.name) == digits))


def _build_trie(entries: list[tuple[bytes, Link]], depth: int, blocks: list[Block]) -> tuple[Cid, int]:
    """Append the blocks of a trie's node and of those below it; returns its CID and the bytes of all below."""
    places: dict[int, list[tuple[bytes, Link]]] = {}
    for digest, entry in entries:
        places.setdefault(digest[depth], []).append((digest, entry))
    links, bits = [], 0
    for place, held in sorted(places.items()):
        bits |= 1 << place
        if len(held) == 1:
            entry = held[0][1]
            links.append(Link(entry.cid, f"{place:02X}{entry.name}", entry.total_bytes))
        elif depth == len(held[0][0]) - 1:
            raise UsageError(f"the names {held[0][1].name!r} and {held[1][1].name!r} have one hash")
        else:
            cid, size = _build_trie(held, depth + 1, blocks)
            links.append(Link(cid, f"{place:02X}", size))
    field = bits.to_bytes(FANOUT // 8, "big").lstrip(b"\0")
    data = Data(type=DataType.HAMT_SHARD, data=field, hash_type=_MURMUR3, fanout=FANOUT)
    block = Block.of(Node(data.encode(), tuple(links)).encode())
    blocks.append(block)
    return block.cid, len(block.data) + sum(each.total_bytes for each in links)
