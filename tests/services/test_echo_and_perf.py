"""echo, perf and the table of what is served."""

from __future__ import annotations

import asyncio

import pytest

from mesh.codecs.perf import Request
from mesh.errors import StreamReset, UsageError
from mesh.network.stream import Stream
from mesh.services import echo, perf
from mesh.services.registry import Registry
from tests.network.live import Nodes, eventually, exchange

MIB = 1024 * 1024


async def ignore(_stream: Stream) -> None:
    """A handler that has only to be there."""


async def test_optional_services_are_off_by_default(nodes: Nodes) -> None:
    node = nodes.make(serve=())
    assert node.protocols == [
        "/ipfs/id/1.0.0",
        "/ipfs/id/push/1.0.0",
        "/ipfs/ping/1.0.0",
        "/libp2p/autonat/2/dial-back",
    ]


async def test_echo_until_the_end(nodes: Nodes, listen: str) -> None:
    _, _, connection = await nodes.pair(listen)
    stream = await connection.open([echo.PROTOCOL_ID])
    assert await exchange(stream, b"one") == b"one"
    assert await exchange(stream, b"two") == b"two"
    await stream.close_write()
    assert await stream.read() == b""
    await eventually(lambda: connection.stream_count == 0)


@pytest.mark.both_loops
@pytest.mark.parametrize(("wanted", "sent"), [(0, 0), (MIB, 0), (0, MIB), (3_000_001, 700_001)], ids=str)
async def test_perf_sends_what_was_wanted(nodes: Nodes, listen: str, wanted: int, sent: int) -> None:
    _, _, connection = await nodes.pair(listen, serve=("perf",))
    async with asyncio.timeout(10), await connection.open([perf.PROTOCOL_ID]) as stream:
        await stream.write(Request(wanted).encode())
        await perf.send_zeros(stream, sent)
        await stream.close_write()
        assert await stream.read_all(max=wanted) == bytes(wanted)


async def test_perf_waits_for_the_end_of_the_upload(nodes: Nodes) -> None:
    _, _, connection = await nodes.pair(serve=("perf",))
    async with await connection.open([perf.PROTOCOL_ID]) as stream:
        await stream.write(Request(10).encode())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await stream.read()
        await stream.close_write()
        assert await stream.read_exactly(10) == bytes(10)


async def test_perf_without_a_whole_request(nodes: Nodes) -> None:
    server, _, connection = await nodes.pair(serve=("perf",))
    stream = await connection.open([perf.PROTOCOL_ID])
    await stream.write(bytes(7))
    await stream.close_write()
    with pytest.raises(StreamReset):
        async with asyncio.timeout(10):
            await stream.read()
    assert server.counters["handler.failed:closed"] == 1


async def test_perf_stops_when_reset(nodes: Nodes) -> None:
    server, _, connection = await nodes.pair(serve=("perf",))
    stream = await connection.open([perf.PROTOCOL_ID])
    await stream.write(Request(2**64 - 1).encode())
    await stream.close_write()
    assert len(await stream.read_exactly(MIB)) == MIB
    stream.reset()
    inbound = server.connections[0]
    await eventually(lambda: not inbound.scope._tasks, "the end of the upload's task")
    await eventually(lambda: not inbound.stream_count)


@pytest.mark.parametrize("name", ["", "a\nb", "/" + "x" * 1023], ids=["empty", "line end", "too long"])
def test_names_that_cannot_be_negotiated(name: str) -> None:
    with pytest.raises(UsageError, match="not a protocol id"):
        Registry().add(name, ignore)


def test_the_table_of_handlers() -> None:
    changes: list[int] = []
    registry = Registry()
    registry.on_change = lambda: changes.append(len(registry.protocols))
    registry.add("/b", ignore)
    registry.add("/a", ignore)
    assert registry.protocols == ["/a", "/b"]
    assert registry.handler("/a") is ignore
    with pytest.raises(UsageError, match="served already"):
        registry.add("/a", ignore)
    registry.remove("/a")
    assert not registry.supports("/a")
    with pytest.raises(UsageError, match="not served"):
        registry.remove("/a")
    assert changes == [1, 2, 1]
