"""What a node of the DAG holds: a delta, and links to the heads that its writer knew (go-ds-crdt ipld.go)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mesh.codecs.crdt import Delta
from mesh.errors import Malformed
from mesh.ipld.block import Block
from mesh.ipld.dag_pb import Link, Node
from mesh.multiformats.cid import DAG_PB, Cid

MAX_PRIORITY: Final = 2**62
"""Heights grow by one with each change. What is beyond was made up, and its successors would not fit the format."""


@dataclass(frozen=True, slots=True)
class Change:
    """A node of the DAG, read."""

    cid: Cid
    delta: Delta
    links: tuple[Cid, ...]

    @property
    def height(self) -> int:
        """Its priority: 1 for a node without links, else one more than the highest of them."""
        return self.delta.priority


def make_block(delta: Delta, heads: Iterable[Cid]) -> Block:
    """The block of a delta above these heads, which are linked in the order of their bytes. Raises UsageError."""
    links = tuple(Link(each) for each in sorted(heads))
    return Block.of(Node(delta.encode(), links).encode())


def read_block(block: Block) -> Change:
    """What a block says. Raises DecodeError."""
    if block.cid.codec != DAG_PB:
        raise Malformed("delta", None, f"{block.cid.codec_name} is no dag-pb")
    node = Node.decode(block.data)
    delta = Delta.decode(node.data or b"")
    if delta.priority > MAX_PRIORITY:
        raise Malformed("Delta.priority", None, f"{delta.priority}, at most {MAX_PRIORITY}")
    return Change(block.cid, delta, tuple(each.cid for each in node.links))


def clean_key(key: str) -> str:
    """A key as datastores of the original have it: one leading slash, no empty, `.` or `..` parts."""
    if key[:1] == "/" and "//" not in key and "/." not in key and key[-1] != "/":
        return key
    return posixpath.normpath("/" + key.lstrip("/"))
