"""How streams open, half close, reset and are refused, and many of them at once."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import PeerError, ProtocolNotSupported, StreamReset
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.yamux import ResetCode
from mesh.services import echo, perf
from tests.interop.peers import DIRECTIONS, GoPeer, meet
from tests.network.live import Nodes, eventually
from tools.interop_peers.process import CommandFailed

pytestmark = pytest.mark.interop

CUSTOM = "/custom/1.0.0"
STREAMS = 2_000
AT_ONCE = 32


async def test_go_answers_after_our_side_is_closed(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    async with await node.open(connection, echo.PROTOCOL_ID) as stream:
        await stream.write(b"before the end")
        await stream.close_write()
        assert await stream.read_all(64) == b"before the end"
        assert await stream.read() == b""
    await eventually(lambda: connection.stream_count == 0, "the end of the stream")


async def test_we_answer_after_the_side_of_go_is_closed(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)

    @node.protocol(CUSTOM)
    async def reverse(stream: Stream) -> None:
        everything = await stream.read_all(1024)
        await stream.write(everything[::-1])

    message = b"stressed".hex()
    answer = await go.call(
        "open", peer=str(node.peer_id), protocol=CUSTOM, send_hex=message, read_bytes=100, close_write=True
    )
    assert bytes.fromhex(answer["received_hex"]) == b"desserts"
    assert answer["eof"] is True
    await eventually(lambda: connection.stream_count == 0, "the end of the stream")


async def test_go_reads_on_after_our_end_while_it_still_writes(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    await meet(node, go)
    received = asyncio.get_running_loop().create_future()

    @node.protocol(CUSTOM)
    async def close_first(stream: Stream) -> None:
        await stream.write(b"no more from here")
        await stream.close_write()
        received.set_result(await stream.read_all(64))

    answer = await go.call(
        "open", peer=str(node.peer_id), protocol=CUSTOM, send_hex=b"still here".hex(), read_bytes=100
    )
    assert bytes.fromhex(answer["received_hex"]) == b"no more from here"
    assert answer["eof"] is True
    assert await received == b"still here"


@pytest.mark.parametrize("by_raising", [True, False], ids=["handler-raises", "handler-resets"])
async def test_go_sees_the_code_of_our_reset(nodes: Nodes, go: GoPeer, by_raising: bool) -> None:
    node = await nodes.start()
    connection = await meet(node, go)

    @node.protocol(CUSTOM)
    async def refuse(stream: Stream) -> None:
        await stream.read_exactly(1)
        if by_raising:
            raise PeerError("enough", protocol=CUSTOM, wire_code=ResetCode.RESOURCE_LIMIT)
        stream.reset(ResetCode.RESOURCE_LIMIT)

    with pytest.raises(CommandFailed, match=r"stream reset.*0x1002"):
        await go.call("open", peer=str(node.peer_id), protocol=CUSTOM, send_hex="00", read_bytes=1)
    await eventually(lambda: connection.stream_count == 0, "the end of the stream")
    assert not connection.closed


async def test_reset_by_us_while_go_serves_is_seen_there(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    stream = await node.open(connection, echo.PROTOCOL_ID)
    await stream.write(b"x")
    assert await stream.read() == b"x"
    stream.reset(ResetCode.RESOURCE_LIMIT)
    event = await go.event("stream_failed", lambda each: each["protocol"] == echo.PROTOCOL_ID)
    assert "stream reset" in event["error"]
    assert "0x1002" in event["error"]
    with pytest.raises(StreamReset):
        await stream.read()


async def test_reset_by_go_ends_our_reading_and_writing(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    stream = await node.open(connection, perf.PROTOCOL_ID)
    await stream.write(b"\xff" * 8)
    with pytest.raises(StreamReset, match="the peer reset"):
        await stream.read()
    with pytest.raises(StreamReset):
        await stream.write(bytes(100_000))
    await eventually(lambda: connection.stream_count == 0, "the end of the stream")
    assert not connection.closed


async def test_reset_by_go_ends_our_handler(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    await meet(node, go)
    seen = asyncio.get_running_loop().create_future()

    @node.protocol(CUSTOM)
    async def wait(stream: Stream) -> None:
        try:
            await stream.read_exactly(100)
        except StreamReset as error:
            seen.set_result(error)

    with pytest.raises(CommandFailed):
        await go.call(
            "open", peer=str(node.peer_id), protocol=CUSTOM, send_hex="00", read_bytes=1, within_s=0.5
        )
    async with asyncio.timeout(5):
        assert "the peer reset" in str(await seen)


async def test_unknown_protocol_is_refused_both_ways(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    with pytest.raises(ProtocolNotSupported):
        await node.open(connection, "/nobody/1.0.0")
    with pytest.raises(CommandFailed, match="protocols not supported"):
        await go.call("open", peer=str(node.peer_id), protocol="/nobody/1.0.0", read_bytes=1)
    await eventually(lambda: connection.stream_count == 0, "the end of the streams")
    assert not connection.closed


async def test_first_protocol_that_go_speaks_is_taken(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    for stream in (
        await node.open(connection, ["/echo/9.0.0", echo.PROTOCOL_ID]),
        await connection.open(["/echo/9.0.0", echo.PROTOCOL_ID]),
    ):
        async with stream:
            assert stream.protocol == echo.PROTOCOL_ID
            await stream.write(b"taken")
            assert await stream.read_exactly(5) == b"taken"


async def test_announced_protocol_is_opened_without_waiting(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    async with await connection.open([echo.PROTOCOL_ID], optimistic=True) as stream:
        assert stream.protocol == echo.PROTOCOL_ID
        await stream.write(b"at once")
        await stream.close_write()
        assert await stream.read_all(64) == b"at once"


async def test_refusal_of_an_optimistic_opening_shows_when_reading(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    stream = await connection.open(["/nobody/1.0.0"], optimistic=True)
    await stream.write(b"into the void")
    with pytest.raises(ProtocolNotSupported):
        await stream.read()
    await eventually(lambda: connection.stream_count == 0, "the end of the stream")
    assert not connection.closed


async def echo_one_byte(node: Node, go: GoPeer, gate: asyncio.Semaphore, number: int) -> None:
    async with gate, await node.open(go.peer_id, echo.PROTOCOL_ID) as stream:
        byte = bytes([number % 256])
        await stream.write(byte)
        assert await stream.read_exactly(1) == byte


@pytest.mark.both_loops
@DIRECTIONS
async def test_many_streams_both_ways(nodes: Nodes, go: GoPeer, we_dial: bool) -> None:
    node = await nodes.start()
    connection = await meet(node, go, we_dial=we_dial)
    gate = asyncio.Semaphore(AT_ONCE)
    async with asyncio.timeout(60):
        await asyncio.gather(*(echo_one_byte(node, go, gate, number) for number in range(STREAMS)))
    answer = await go.call("streams", peer=str(node.peer_id), count=STREAMS, concurrency=AT_ONCE)
    assert answer["failed"] == 0, answer["first_error"]
    await eventually(lambda: connection.stream_count == 0, "the end of the streams")
    assert (await go.call("stats"))["streams"] == 0
