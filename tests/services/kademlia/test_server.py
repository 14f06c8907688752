"""How requests are answered: at once when nothing has to be waited for, else in turn; what crashes ends the stream."""

from __future__ import annotations

import asyncio

import pytest

from mesh.codecs.kademlia import Message, MessageType, ValueRecord
from mesh.errors import StreamReset
from mesh.network.stream import Stream
from mesh.node import Node
from tests.network.live import MEMORY, PATIENCE_S, Nodes, eventually
from tests.services.kademlia.network import PREFIX, dht_node

PROTOCOL = f"{PREFIX}/kad/1.0.0"
KEY = b"/v/key"
PUT = Message(MessageType.PUT_VALUE, KEY, ValueRecord(KEY, b"value"))


async def line(nodes: Nodes) -> tuple[Node, Stream]:
    """A server, and a stream on which to ask it."""
    server, asker = await dht_node(nodes), await nodes.start(MEMORY)
    await asker.connect(server.listen_addrs[0])
    return server, await asker.open(server.peer_id, PROTOCOL)


async def answer(stream: Stream) -> Message:
    async with asyncio.timeout(PATIENCE_S):
        return Message.decode(await stream.read_message(Message.MAX_BYTES))


def slow_store(server: Node, patch: pytest.MonkeyPatch) -> asyncio.Event:
    """Have the server's values wait for the event before they are written."""
    written = asyncio.Event()
    datastore = server.dht.records._datastore
    put = datastore.put

    async def wait(key: bytes, value: bytes) -> None:
        await written.wait()
        await put(key, value)

    patch.setattr(datastore, "put", wait)
    return written


async def test_answers_come_in_the_order_of_requests(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ping behind a value that has to be written is answered after it."""
    server, stream = await line(nodes)
    written = slow_store(server, monkeypatch)
    await stream.write_message(PUT.encode())
    for number in range(3):
        await stream.write_message(Message(MessageType.PING, bytes([number])).encode())
    await eventually(lambda: server.counters["kademlia.asked:put_value"] == 1)
    assert server.counters["kademlia.asked:ping"] == 0
    written.set()
    assert (await answer(stream)).record is not None
    assert [(await answer(stream)).key for _ in range(3)] == [b"\x00", b"\x01", b"\x02"]


async def test_a_write_that_fails_ends_the_stream(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    server, stream = await line(nodes)
    written = slow_store(server, monkeypatch)
    await stream.write_message(PUT.encode())
    await eventually(lambda: server.counters["kademlia.asked:put_value"] == 1)
    await server.dht.records._datastore.close()
    written.set()
    with pytest.raises(StreamReset):
        await answer(stream)
    assert server.counters["kademlia.refused:put_value"] == 1


async def test_a_validator_that_crashes_ends_the_stream_alone(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, stream = await line(nodes)

    def crash(*_given: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(server.dht.validators, "validate", crash)
    await stream.write_message(PUT.encode())
    with pytest.raises(StreamReset):
        await answer(stream)
    assert server.counters["handler.crashed"] == 1
    other = await stream.connection.open([PROTOCOL])
    await other.write_message(Message(MessageType.PING).encode())
    assert (await answer(other)).type is MessageType.PING


async def test_a_long_request_and_a_short_one_behind_it(nodes: Nodes) -> None:
    _, stream = await line(nodes)
    long = Message(MessageType.PUT_VALUE, KEY, ValueRecord(KEY, bytes(100_000)))
    await stream.write_message(long.encode())
    await stream.write_message(Message(MessageType.PING).encode())
    assert (await answer(stream)).record is not None
    assert (await answer(stream)).type is MessageType.PING
