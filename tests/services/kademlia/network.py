"""A network of DHT nodes in one loop."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import Any

from mesh.node import Node
from mesh.protocols.kademlia.validators import Validator
from tests.network.live import MEMORY, Nodes, eventually

PREFIX = "/test"


class Latest:
    """Values of the namespace `v`: any bytes, the greatest wins."""

    def validate(self, key: bytes, value: bytes, now: float) -> None:
        return

    def select(self, key: bytes, values: Any) -> int:
        return max(range(len(values)), key=values.__getitem__)


VALUES: Validator = Latest()


def multihash(data: bytes = b"") -> bytes:
    """The sha2-256 multihash of something, of randomness when nothing is given."""
    return b"\x12\x20" + hashlib.sha256(data or os.urandom(16)).digest()


async def dht_node(nodes: Nodes, listen: str = MEMORY, **settings: Any) -> Node:
    """A running server of the test network."""
    given: dict[str, Any] = {"mode": "server", "prefix": PREFIX, **settings}
    node = await nodes.start(listen, **given)
    node.dht.validators.register("v", VALUES)
    return node


async def network(nodes: Nodes, count: int, listen: str = MEMORY, **settings: Any) -> list[Node]:
    """Servers that all know the first one, and have refreshed their tables since."""
    members = [await dht_node(nodes, listen, **settings) for _ in range(count)]
    hub = members[0]
    for node in members[1:]:
        await node.connect(hub.listen_addrs[0])
    for node in members[1:]:
        await eventually(lambda node=node: hub.peer_id in node.dht.table, "the hub in the table")  # type: ignore[misc]
    await eventually(lambda: len(hub.dht.table) >= min(count - 1, 20), "the hub's table")
    for _ in range(2):
        await asyncio.gather(*(node.dht.refresh() for node in members))
    return members
