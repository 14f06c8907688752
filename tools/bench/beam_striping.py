"""`python -m tools.bench.beam_striping`: a session's throughput over one path and over two of the same speed.

Two nodes in one process, two connections between them, each through a link that passes so many bytes a second and no
more: the links are the limit, not the processor.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import uvloop

from mesh.apps.beam.beam import Beam
from mesh.apps.beam.session_end import SessionEnd
from mesh.config import BeamSection, Config, KademliaSection, NetworkSection
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from mesh.protocols.machine import Role

PROTOCOL: Final = "/beam-bench/source"
CHUNK_BYTES: Final = 16 * 1024
SLACK_S: Final = 0.05
"""What a link may catch up on where a turn of the loop came late."""
GOAL: Final = 1.7


async def measure(link_bytes_s: float = 4_000_000, size: int = 12_000_000) -> tuple[float, float]:
    """Bytes/s over one path, and over two."""
    async with AsyncExitStack() as stack:
        ends = []
        for listen in (("/ip4/127.0.0.1/tcp/0",), ()):
            settings = BeamSection(enabled=True)
            config = Config(
                network=NetworkSection(listen=listen),
                kademlia=KademliaSection(mode="off", prefix="/beam"),
                beam=settings,
            )
            node = await stack.enter_async_context(Node(config))
            ends.append(await stack.enter_async_context(Beam(node, settings)))
        source, reader = ends

        async def send(end: SessionEnd, _: PeerId) -> None:
            await end.write(bytes(size))
            await end.close_write()

        source.routing.sessions.serve(PROTOCOL, send)
        target = source.node.listen_addrs[0].value("tcp")
        ports = [await stack.enter_async_context(_link(int(target or 0), link_bytes_s)) for _ in range(2)]
        return await _rate(source, reader, ports[:1], size), await _rate(source, reader, ports, size)


async def _rate(source: Beam, reader: Beam, ports: list[int], size: int) -> float:
    connections = [
        await reader.node.swarm.dial_as(
            source.node.peer_id, Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}"), Role.INITIATOR, 10.0
        )
        for port in ports
    ]
    end = await reader.routing.sessions.open(connections[0], PROTOCOL)
    for connection in connections[1:]:
        await reader.routing.sessions.join(end, connection)
    end.carry_by(set(end.session.paths))
    began, got = time.perf_counter(), 0
    while chunk := await end.read_chunk():
        got += len(chunk)
    took_s = time.perf_counter() - began
    await end.close()
    for connection in connections:
        await connection.close()
    assert got == size
    return got / took_s


@asynccontextmanager
async def _link(target: int, bytes_s: float) -> AsyncIterator[int]:
    """A port that leads to another one, both ways at that speed."""

    carried: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        due = time.monotonic()
        try:
            while data := await reader.read(CHUNK_BYTES):
                due = max(due, time.monotonic() - SLACK_S) + len(data) / bytes_s
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        writers.extend((writer, far_writer))
        for way in (passed(reader, far_writer), passed(far_reader, writer)):
            carried.add(asyncio.ensure_future(way))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in carried:
            each.cancel()
        await asyncio.gather(*carried, return_exceptions=True)
        await asyncio.gather(*(each.wait_closed() for each in writers), return_exceptions=True)


def main() -> int:
    """Run and print; 1 when two paths carry too little."""
    one, two = uvloop.run(measure())
    print(
        f"one path {one / 1e6:.2f} MB/s, two paths {two / 1e6:.2f} MB/s: {two / one:.2f} times (goal > {GOAL})"
    )
    return 0 if two / one > GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
