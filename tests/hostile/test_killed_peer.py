"""A peer's process is killed in the middle of a transfer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from mesh.errors import Closed, MeshError
from mesh.network.stream import Stream
from tests.hostile.conftest import Target
from tests.network.live import eventually

SINK = "/test/sink/1"
PROGRAM = Path(__file__).with_name("killed_peer.py")


def start(address: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(PROGRAM), address, SINK])


async def test_a_peer_killed_while_it_sends(target: Target) -> None:
    node = target.node
    received = 0
    ended: list[MeshError] = []

    async def sink(stream: Stream) -> None:
        nonlocal received
        try:
            while chunk := await stream.read_chunk():
                received += len(chunk)
        except MeshError as error:
            ended.append(error)
            raise
        finally:
            finished.set()

    finished = asyncio.Event()
    node.handle(SINK, sink)
    process = start(str(node.listen_addrs[0]))
    try:
        await eventually(lambda: received > 1_000_000, "the transfer")
    finally:
        process.kill()
        process.wait()
    async with asyncio.timeout(5):
        await finished.wait()
    assert all(isinstance(each, Closed) for each in ended)
    await eventually(lambda: node.counters.total("connection.closed") == 1)
