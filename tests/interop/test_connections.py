"""Many connections from Go at once: all identified, and none left when they are released."""

from __future__ import annotations

import asyncio

import pytest

from mesh.services.identify import PeerInfo
from tests.interop.peers import GoPeer
from tests.network.live import Nodes, eventually, identified

pytestmark = pytest.mark.interop

HELD = 100


async def test_held_connections_are_identified_and_released(nodes: Nodes) -> None:
    node = await nodes.start()
    async with GoPeer("--unlimited") as go:
        answer = await go.call("hold", addr=str(node.listen_addrs[0]), count=HELD)
        assert (answer["failed"], answer["held"]) == (0, HELD), answer
        await eventually(lambda: len(node.connections) == HELD, "all connections")
        await asyncio.gather(*map(identified, node.connections))
        infos = [each.remote_info for each in node.connections]
        assert all(isinstance(each, PeerInfo) and "/ipfs/ping/1.0.0" in each.protocols for each in infos)
        assert len({each.peer for each in node.connections}) == HELD
        assert (await go.call("release"))["released"] == HELD
        await eventually(lambda: not node.connections, "the end of all connections")
    assert node.counters.total("identify.failed") == 0


async def test_go_connects_over_and_over(nodes: Nodes) -> None:
    node = await nodes.start()
    async with GoPeer("--unlimited") as go:
        answer = await go.call("connections", addr=str(node.listen_addrs[0]), count=200, concurrency=16)
        assert answer["failed"] == 0, answer["first_error"]
        await eventually(lambda: not node.connections, "the end of all connections")


async def test_we_connect_over_and_over(nodes: Nodes) -> None:
    node = await nodes.start("")
    async with GoPeer("--unlimited") as go:
        for _ in range(100):
            connection = await node.connect(go.address)
            await identified(connection)
            assert connection.remote_info is not None
            await connection.close()
        assert not node.connections
