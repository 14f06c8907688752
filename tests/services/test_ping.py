"""ping between live nodes."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mesh.errors import Closed, PeerError, StreamReset
from mesh.network.stream import Stream
from mesh.protocols.yamux import ResetCode
from mesh.services import ping
from tests.network.live import TCP, Nodes, eventually, open_and_read


@pytest.mark.both_loops
async def test_round_trips(nodes: Nodes, listen: str) -> None:
    server, client, connection = await nodes.pair(listen)
    times = [each async for each in client.ping(server.peer_id, count=5, interval_s=0)]
    assert len(times) == 5
    assert all(each is not None and 0 < each < 5 for each in times)
    await eventually(lambda: connection.stream_count == 0)


async def test_an_interval_lies_between(nodes: Nodes) -> None:
    server, client, _ = await nodes.pair()
    started = asyncio.get_running_loop().time()
    assert len([each async for each in client.ping(server.peer_id, count=3, interval_s=0.02)]) == 3
    assert asyncio.get_running_loop().time() - started >= 0.04


async def test_payloads_however_they_are_cut(nodes: Nodes) -> None:
    _, _, connection = await nodes.pair()
    async with asyncio.timeout(10), await connection.open([ping.PROTOCOL_ID]) as stream:
        payload = bytes(range(64))
        await stream.write(payload)
        assert await stream.read_exactly(64) == payload
        for at in range(32):
            await stream.write(payload[at : at + 1])
        assert await stream.read_exactly(32) == payload[:32]
        await stream.write(payload[:33])
        assert await stream.read_exactly(32) == payload[:32]
        await stream.close_write()
        assert await stream.read() == b"", "the rest of 1 byte is not echoed"


async def test_silence_ends_the_stream(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ping, "IDLE_S", 0.05)
    server, _, connection = await nodes.pair()
    stream = await connection.open([ping.PROTOCOL_ID])
    async with asyncio.timeout(10):
        assert await stream.read() == b""
    await stream.close()
    await eventually(lambda: connection.stream_count == 0)
    assert not server.counters.total("handler.failed")


async def test_a_third_stream_is_over_the_limit(nodes: Nodes) -> None:
    server, client, connection = await nodes.pair()
    kept = [await connection.open([ping.PROTOCOL_ID]) for _ in range(2)]
    for stream in kept:
        await stream.write(bytes(32))
        assert await stream.read_exactly(32) == bytes(32)
    with pytest.raises(StreamReset) as caught:
        await open_and_read(connection, ping.PROTOCOL_ID)
    assert caught.value.wire_code == ResetCode.RESOURCE_LIMIT
    assert server.counters["stream.refused:protocol_peer"] == 1
    for stream in kept:
        await stream.close()
    await eventually(lambda: connection.stream_count == 0)
    assert [each async for each in client.ping(connection, count=1)] != [None]
    other = await nodes.start("")
    assert [each async for each in other.ping(server.listen_addrs[0], count=1)] != [None]


async def test_a_stream_that_the_peer_ends_is_replaced(nodes: Nodes) -> None:
    """go ends a ping stream after 30 s: no ping is lost, and no half-open stream stays behind."""
    server = nodes.make(TCP)
    server.unhandle(ping.PROTOCOL_ID)
    served = 0

    async def echo_once(stream: Stream) -> None:
        nonlocal served
        served += 1
        await stream.write(await stream.read_exactly(32))
        await stream.close()

    server.handle(ping.PROTOCOL_ID, echo_once)
    nodes.push_async_callback(server.stop)
    await server.start()
    _, client, connection = await nodes.pair(server=server)
    times = [each async for each in client.ping(connection, count=4, interval_s=0)]
    assert None not in times
    assert served == 4
    await eventually(lambda: connection.stream_count == 0, "the end of replaced streams")


async def test_a_peer_that_resets_every_ping(nodes: Nodes) -> None:
    server = nodes.make(TCP)
    server.unhandle(ping.PROTOCOL_ID)

    async def refuse(stream: Stream) -> None:
        stream.reset(0x1002)

    server.handle(ping.PROTOCOL_ID, refuse)
    nodes.push_async_callback(server.stop)
    await server.start()
    _, client, connection = await nodes.pair(server=server)
    assert [each async for each in client.ping(connection, count=2, interval_s=0)] == [None, None]


async def test_an_unanswered_ping_is_lost(nodes: Nodes) -> None:
    server = nodes.make(TCP)
    server.unhandle(ping.PROTOCOL_ID)

    async def swallow(stream: Stream) -> None:
        with contextlib.suppress(StreamReset):
            await stream.read_all(max=1000)

    server.handle(ping.PROTOCOL_ID, swallow)
    nodes.push_async_callback(server.stop)
    await server.start()
    _, client, connection = await nodes.pair(server=server, ping_timeout_s=0.05)
    assert [each async for each in client.ping(connection, count=2, interval_s=0)] == [None, None]
    await eventually(lambda: connection.stream_count == 0)


async def test_a_wrong_echo_is_the_peers_fault(nodes: Nodes) -> None:
    server = nodes.make(TCP)
    server.unhandle(ping.PROTOCOL_ID)

    async def lie(stream: Stream) -> None:
        await stream.read_exactly(32)
        await stream.write(bytes(32))

    server.handle(ping.PROTOCOL_ID, lie)
    nodes.push_async_callback(server.stop)
    await server.start()
    _, client, connection = await nodes.pair(server=server)
    with pytest.raises(PeerError, match="differs"):
        async for _ in client.ping(connection, count=1):
            pass
    await eventually(lambda: connection.stream_count == 0)


async def test_the_end_of_the_connection_ends_pinging(nodes: Nodes) -> None:
    _, client, connection = await nodes.pair()
    pings = client.ping(connection, interval_s=0)
    assert await anext(pings) is not None
    await connection.close()
    with pytest.raises(Closed):
        await anext(pings)
