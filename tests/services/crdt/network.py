"""Replicas on live nodes in one process; blocks come out of each other's stores at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from mesh.errors import RecordNotFound
from mesh.ipld.block import Block
from mesh.multiformats.cid import Cid
from mesh.network.scope import Scope
from mesh.node import Node
from mesh.services.crdt import Crdt
from mesh.storage.blockstore import Blockstore
from mesh.storage.sqlite_datastore import SqliteDatastore
from tests.network.live import Nodes
from tests.services.gossip.network import gossip_node, meshed

TOPIC = "prices"
ROOM = 10**8


class Elsewhere:
    """A block source: the stores of others. ``absent`` blocks are had by nobody."""

    def __init__(self, stores: Sequence[Blockstore]) -> None:
        self.stores = stores
        self.absent: set[Cid] = set()
        self.asked: list[Cid] = []

    async def get(self, cid: Cid) -> Block:
        self.asked.append(cid)
        await asyncio.sleep(0)
        for store in self.stores:
            block = store.get(cid)
            if block is not None and cid not in self.absent:
                return block
        raise RecordNotFound(f"nobody has {cid}")


class Replicas(AsyncExitStack):
    """Starts replicas of one topic in a folder; leaving it stops them, then the nodes."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        super().__init__()
        self.nodes = nodes
        self.folder = folder
        self.stores: list[Blockstore] = []
        self.source = Elsewhere(self.stores)
        self.all: list[Crdt] = []
        self.homes: list[Node] = []

    async def start(self, name: str, node: Node | None = None, room: int = ROOM) -> Crdt:
        """A replica whose files are called so, on a node of its own, connected to all before it."""
        here = node or await gossip_node(self.nodes)
        for other in self.homes:
            if other is not here:
                await here.connect(other.listen_addrs[0])
        datastore = await self.enter_async_context(SqliteDatastore(self.folder / f"{name}.sqlite"))
        store = Blockstore(datastore, room)
        self.stores.append(store)
        crdt = Crdt(TOPIC, here.pubsub, store, self.source, here.counters)
        scope = Scope(name)
        self.push_async_callback(scope.close)
        await crdt.start(scope)
        self.push_async_callback(crdt.stop)
        self.homes.append(here)
        self.all.append(crdt)
        if len(self.all) > 1:
            await meshed(*(each._joined for each in self.all if each._joined is not None))
        return crdt
