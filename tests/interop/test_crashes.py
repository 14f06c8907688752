"""One side is killed in the middle: the other says so in bounded time and goes on."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from mesh.errors import MeshError
from mesh.network.stream import Stream
from mesh.services import echo
from tests.interop.peers import Daemon, GoPeer, daemon, meet
from tests.network.live import Nodes, eventually
from tools.interop_peers.process import CommandFailed

pytestmark = pytest.mark.interop

BOUND_S = 5.0
ENDLESS_BYTES = 1 << 40


async def pump(stream: Stream) -> None:
    """Write for ever."""
    while True:
        await stream.write(bytes(65536))


async def drain(stream: Stream, flowing: asyncio.Event) -> None:
    """Read for ever."""
    while await stream.read_chunk():
        flowing.set()


@pytest.mark.both_loops
async def test_killed_go_peer_ends_our_streams_with_an_error_and_the_node_lives(nodes: Nodes) -> None:
    node = await nodes.start()
    async with GoPeer() as go, GoPeer() as other:
        connection = await meet(node, go)
        stream = await node.open(connection, echo.PROTOCOL_ID)
        flowing = asyncio.Event()
        work = [asyncio.create_task(pump(stream)), asyncio.create_task(drain(stream, flowing))]
        async with asyncio.timeout(BOUND_S):
            await flowing.wait()
        await go.kill()
        async with asyncio.timeout(BOUND_S):
            ends = await asyncio.gather(*work, return_exceptions=True)
        for end in ends:
            assert isinstance(end, MeshError)
            assert "connection" in str(end)
        assert connection.closed
        assert not node.connections
        with pytest.raises(MeshError):
            await node.open(connection, echo.PROTOCOL_ID)
        again = await meet(node, other)
        assert [each async for each in node.ping(again, count=10, interval_s=0)].count(None) == 0


async def test_go_killed_while_it_sends_to_us_leaves_no_handler(nodes: Nodes) -> None:
    node = await nodes.start()
    async with GoPeer() as go:
        connection = await meet(node, go, we_dial=False)
        sending = asyncio.create_task(go.call("echo", peer=str(node.peer_id), bytes=ENDLESS_BYTES))
        await eventually(lambda: connection.driver.received_bytes > 10_000_000, "the flow of bytes")
        await go.kill()
        await asyncio.wait([sending])
        assert sending.exception() is not None
        await eventually(lambda: not node.connections, "the end of the connection")


async def reached(go: GoPeer, running: Daemon) -> None:
    """The Go peer dials the printed address of a daemon and has a byte echoed."""
    assert (await go.call("connect", addr=running.addresses[0]))["peer"] == running.peer
    assert (await go.call("streams", peer=running.peer))["failed"] == 0


async def under_way(go: GoPeer, sending: asyncio.Task[object]) -> None:
    """Until the Go peer has spent a tenth of a second of processor time on what it is sending."""
    before = (await go.call("stats"))["cpu_seconds"]
    async with asyncio.timeout(BOUND_S):
        while (await go.call("stats"))["cpu_seconds"] < before + 0.1:
            assert not sending.done()


async def test_killed_daemon_is_reported_by_go_and_comes_back_with_its_identity(tmp_path: Path) -> None:
    async with GoPeer() as go:
        async with daemon(tmp_path) as running:
            peer = running.peer
            await reached(go, running)
            sending = asyncio.create_task(go.call("echo", peer=peer, bytes=ENDLESS_BYTES))
            await under_way(go, sending)
            status, _ = await running.end(signal.SIGKILL)
            assert status == -signal.SIGKILL
            with pytest.raises(CommandFailed):
                async with asyncio.timeout(BOUND_S):
                    await sending
            await go.event("disconnected", lambda each: each["peer"] == peer)
        async with daemon(tmp_path) as running:
            assert running.peer == peer
            await reached(go, running)
            answer = await go.call("perf", peer=peer, upload=1 << 20, download=1 << 20)
            assert answer["download_bytes"] == 1 << 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_daemon_ends_in_order_while_go_is_connected(
    tmp_path: Path, go: GoPeer, number: signal.Signals
) -> None:
    async with daemon(tmp_path) as running:
        await reached(go, running)
        assert await running.end(number) == (0, "")
        await go.event("disconnected", lambda each: each["peer"] == running.peer)


async def test_daemon_ends_in_order_in_the_middle_of_an_echo(tmp_path: Path, go: GoPeer) -> None:
    async with daemon(tmp_path) as running:
        await reached(go, running)
        sending = asyncio.create_task(go.call("echo", peer=running.peer, bytes=ENDLESS_BYTES))
        await under_way(go, sending)
        assert await running.end(signal.SIGTERM) == (0, "")
        with pytest.raises(CommandFailed):
            async with asyncio.timeout(BOUND_S):
                await sending
