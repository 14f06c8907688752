"""Nodes that exchange blocks."""

from __future__ import annotations

from typing import Any

from mesh.ipld.block import Block
from mesh.multiformats.cid import RAW
from mesh.node import Node
from tests.network.live import Nodes, connected, eventually, identified

BLOCKS: dict[str, Any] = {"blocks": True, "exchange": True}


def block(text: str, size: int = 0) -> Block:
    return Block.of(text.encode().ljust(size, b"."), RAW)


async def exchanging(nodes: Nodes, *listen: str, **settings: Any) -> Node:
    """A node with blocks that it exchanges."""
    return await nodes.start(*listen, **BLOCKS, **settings)


async def join(one: Node, other: Node) -> None:
    """Connect two nodes; both know that the other exchanges blocks."""
    await identified(await one.connect(other.listen_addrs[0]))
    await identified(await connected(other, one))
    for a, b in ((one, other), (other, one)):
        await eventually(lambda a=a, b=b: a.bitswap._client.supplier(b.peer_id), "the exchange")  # type: ignore[misc]
