"""Nodes with Beam in this process, for its benchmarks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from mesh.apps.beam.beam import Beam
from mesh.config import BeamSection, Config, KademliaSection, NetworkSection, RelaySection
from mesh.node import Node

FIRST: Final = 3
"""Nodes that everybody joins through."""
LOOPBACK: Final = "/ip4/127.0.0.1/tcp/0"
LOOK_S: Final = 0.002
PATIENCE_S: Final = 60.0


class Network(AsyncExitStack):
    """Nodes with Beam, in order of birth; all end with it."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Beam] = []
        self.joins_ms: list[float] = []

    async def start(
        self, listen: Sequence[str] = (LOOPBACK,), *, dht: str = "server", forward: bool = False, **relay: Any
    ) -> Beam:
        """A node that knows nobody; ``relay`` are settings of its section."""
        settings = BeamSection(enabled=True, forward=forward)
        config = Config(
            network=NetworkSection(listen=tuple(listen)),
            kademlia=KademliaSection(mode=dht, prefix="/beam"),
            relay=RelaySection(**relay),
            beam=settings,
        )
        node = await self.enter_async_context(Node(config))
        return await self.enter_async_context(Beam(node, settings))

    async def join(self, through: Sequence[str] | None = None, listen: str = LOOPBACK) -> Beam:
        """One more node, of which others are told through the first ones, or those at ``through``; measured until it
        found its own neighbourhood in the DHT and a neighbour for gossip."""
        began = time.perf_counter()
        beam = await self.start((listen,))
        if through is None:
            through = [str(each.node.listen_addrs[0]) for each in self.all[:FIRST]]
        for address in through:
            await beam.node.connect(address)
        if through:
            await until(lambda: beam.directory.known_peers)
            await beam.node.dht.refresh()
            self.joins_ms.append(1000 * (time.perf_counter() - began))
        self.all.append(beam)
        return beam


async def until(condition: Any) -> None:
    """Wait for something that has no event."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def echo_service(host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A TCP service that says everything back; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def first_byte(port: int) -> float:
    """From connecting to a port of this machine to the first byte back, in ms."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x")
    await reader.readexactly(1)
    writer.close()
    return 1000 * (time.perf_counter() - began)


def p95(samples: Sequence[float]) -> float:
    """The 95th of a hundred."""
    return sorted(samples)[int(0.95 * (len(samples) - 1))]
