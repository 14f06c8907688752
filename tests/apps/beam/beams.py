"""Nodes with Beam under test, each ending with the test, and a TCP service to reach through them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mesh.apps.beam.beam import Beam
from mesh.config import BeamSection, GossipSection, KademliaSection, NodeSection
from mesh.identity.keys import PrivateKey
from mesh.node import Node
from tests.network.live import MEMORY, PATIENCE_S, Nodes, configured


class Beams(Nodes):
    """Starts nodes that are in one network; leaving it stops them."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Beam] = []

    async def beam(
        self,
        listen: str = MEMORY,
        *,
        to: Beam | None = None,
        key: PrivateKey | None = None,
        folder: Path | None = None,
        gossip: bool = False,
        dht: str = "server",
        **settings: Any,
    ) -> Beam:
        """A running Beam, in the network of another one; ``settings`` are those of its own section."""
        section = BeamSection(enabled=True, **({"query_s": 0.3, "sync_s": 0.0} | settings))
        config = replace(
            configured(listen),
            node=NodeSection(path=folder),
            kademlia=KademliaSection(mode=dht, prefix="/beam", addresses="all"),
            gossip=GossipSection(enabled=gossip, heartbeat_s=0.1),
            beam=section,
        )
        node = Node(config, key=key, memory=self.memory)
        self.push_async_callback(node.stop)
        await node.start()
        made = Beam(node, section)
        self.push_async_callback(made.stop)
        await made.start()
        self.all.append(made)
        if to is not None:
            await join(made, to)
        return made

    async def network(self, count: int, **settings: Any) -> list[Beam]:
        """So many, all of whom know the first one and each other through it."""
        first = await self.beam(**settings)
        return [first, *[await self.beam(to=first, **settings) for _ in range(count - 1)]]

    async def end(self, beam: Beam) -> None:
        """Stop one before the others."""
        await beam.stop()
        await beam.node.stop()


async def join(beam: Beam, other: Beam) -> None:
    """Connect to another, and have both in each other's routing table and among each other's neighbours."""
    await beam.node.connect(other.node.listen_addrs[0])
    async with asyncio.timeout(PATIENCE_S):
        for one, two in ((beam, other), (other, beam)):
            if one.directory.on and two.directory.on:
                await one.node.dht.check(two.node.peer_id)
            while two.node.peer_id not in one.gossip.neighbours.peers():  # noqa: ASYNC110 - identify has no event
                await asyncio.sleep(0.005)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that should come soon."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - any condition, few have an event
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def tcp_service(name: bytes = b"") -> AsyncIterator[int]:
    """A service on loopback that says its name and then says everything back; its port."""
    open_writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.add(writer)
        with contextlib.suppress(OSError):
            writer.write(name)
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
            writer.write_eof()
        writer.close()
        open_writers.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_writers:
            writer.transport.abort()
        await server.wait_closed()


async def exchange(port: int, data: bytes) -> bytes:
    """Send bytes to a local port, end, and read to the end."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()
