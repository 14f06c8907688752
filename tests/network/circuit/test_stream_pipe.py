"""A connection carried by a stream: back pressure in both layers, and every way of its ending."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import Closed, NetworkError
from mesh.network.connection import Connection
from mesh.network.driver import HIGH_WATER_BYTES
from mesh.network.stream import Stream
from mesh.node import Node
from tests.network.live import PATIENCE_S, Nodes, byte_driver, connected, eventually, exchange
from tests.services.relay.network import LOUD, dial_through, reached_through, relay_node

KIB, MIB = 1024, 1 << 20


async def circuit(nodes: Nodes) -> tuple[Node, Node, Connection]:
    """The relay, the target, and the source's connection without limits."""
    relay = await relay_node(nodes, circuit_s=0.0, circuit_bytes=0)
    target = await reached_through(nodes, relay)
    source = await nodes.start("")
    return relay, target, await dial_through(source, target)


async def test_a_writer_waits_for_a_reader_three_hops_away(nodes: Nodes) -> None:
    relay, target, connection = await circuit(nodes)
    reading = asyncio.Event()
    received = 0

    async def slow(stream: Stream) -> None:
        nonlocal received
        await reading.wait()
        while chunk := await stream.read_chunk():
            received += len(chunk)

    target.handle("/slow/1", slow)
    stream = await connection.open(["/slow/1"])
    writing = asyncio.create_task(stream.write(bytes(20 * MIB)))
    driver = byte_driver(connection)
    await eventually(lambda: driver.sent_bytes > 128 * KIB, "a start")
    sent = -1
    while sent != driver.sent_bytes:
        sent = driver.sent_bytes
        for _ in range(100):
            await asyncio.sleep(0)
    assert not writing.done()
    assert sent < 20 * MIB
    assert driver.transport.get_write_buffer_size() <= HIGH_WATER_BYTES + MIB
    reading.set()
    async with asyncio.timeout(PATIENCE_S):
        await writing
        await stream.close()
        await eventually(lambda: received == 20 * MIB, "all of it")
    await connection.close()
    await eventually(lambda: relay.swarm.memory.used_bytes == 0, "the release")


async def test_many_streams_share_a_circuit(nodes: Nodes) -> None:
    _, _, connection = await circuit(nodes)

    async def one(number: int) -> None:
        async with await connection.open([LOUD]) as stream:
            payload = bytes([number]) * (10_000 + number)
            assert await exchange(stream, payload) == payload

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(one(number))


@pytest.mark.parametrize("who", ["source", "target"])
async def test_a_close_in_order_is_seen_as_one(nodes: Nodes, who: str) -> None:
    _, target, connection = await circuit(nodes)
    inbound = next(each for each in target.connections if each.relay is not None)
    mine, other = (connection, inbound) if who == "source" else (inbound, connection)
    async with asyncio.timeout(PATIENCE_S):
        await mine.close()
        await other.ended()
    assert isinstance(other.close_reason, Closed)


@pytest.mark.parametrize("who", ["source", "target"])
async def test_an_abort_reaches_the_other_end(nodes: Nodes, who: str) -> None:
    _, target, connection = await circuit(nodes)
    inbound = next(each for each in target.connections if each.relay is not None)
    mine, other = (connection, inbound) if who == "source" else (inbound, connection)
    mine.abort(NetworkError("enough"))
    async with asyncio.timeout(PATIENCE_S):
        await other.ended()
    assert isinstance(other.close_reason, NetworkError)


async def test_the_end_of_the_connection_below_ends_it(nodes: Nodes) -> None:
    relay, target, connection = await circuit(nodes)
    inbound = next(each for each in target.connections if each.relay is not None)
    below = await connected(target, relay)
    below.abort(NetworkError("the cable was cut"))
    async with asyncio.timeout(PATIENCE_S):
        await inbound.ended()
        await connection.ended()
