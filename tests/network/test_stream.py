"""Streams over live connections: reading, writing, back-pressure, closing, reset."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.errors import Closed, EndOfStream, Malformed, StreamReset, UsageError
from mesh.multiformats import varint
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols import multistream, yamux
from tests.network.live import MEMORY, OVER_BYTES, QUIC, TCP, Nodes, connected, eventually, exchange

TAKE = "/test/take/1"
KIB = 1024


class Taken:
    """A handler that hands its streams to the test and keeps them open until the test lets go."""

    def __init__(self, node: Node, protocol: str = TAKE) -> None:
        self.streams: asyncio.Queue[Stream] = asyncio.Queue()
        self.release = asyncio.Event()
        node.handle(protocol, self._serve)

    async def _serve(self, stream: Stream) -> None:
        self.streams.put_nowait(stream)
        await self.release.wait()


async def both_ends(nodes: Nodes, listen: str = TCP, **settings: Any) -> tuple[Stream, Stream]:
    """A stream as its opener and as its taker hold it."""
    server = await nodes.start(listen, **settings)
    taken = Taken(server)
    _, _, connection = await nodes.pair(server=server, **settings)
    return await connection.open([TAKE]), await taken.streams.get()


@pytest.mark.both_loops
async def test_bytes_cross_in_order(nodes: Nodes, listen: str) -> None:
    _, _, connection = await nodes.pair(listen)
    payload = bytes(range(256)) * 12 * KIB
    async with asyncio.timeout(10), await connection.open(["/echo/1.0.0"]) as stream:
        answer = asyncio.create_task(stream.read_all(len(payload)))
        await stream.write(payload)
        await stream.close_write()
        assert await answer == payload
        assert await stream.read() == b""


async def test_read_takes_what_is_there(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    await near.write(b"hello")
    assert await far.read(2) == b"he"
    assert bytes(await far.read_chunk(2)) == b"ll"
    assert await far.read() == b"o"


async def test_read_exactly_gathers_pieces(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    reading = asyncio.create_task(far.read_exactly(6))
    for piece in (b"ab", b"cd", b"efgh"):
        await near.write(piece)
    assert await reading == b"abcdef"
    assert await far.read_exactly(0) == b""
    assert await far.read_exactly(2) == b"gh"


async def test_read_exactly_names_what_is_missing(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    await near.write(b"abc")
    await near.close_write()
    with pytest.raises(Closed, match="after 3 of 8 bytes"):
        await far.read_exactly(8)


async def test_messages_cross_whole(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    messages = [b"", b"one", bytes(70_000)]
    for message in messages:
        await near.write_message(message)
    assert [await far.read_message(max=70_000) for _ in messages] == messages
    await near.close_write()
    with pytest.raises(EndOfStream):
        await far.read_message(max=10)


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [(varint.encode(101), "at most 100"), (b"\xff" * 12, "longer than a uvarint"), (b"\x81\x00", "shortest")],
    ids=["too long", "endless length", "length not minimal"],
)
async def test_a_message_with_a_bad_length_is_malformed(nodes: Nodes, prefix: bytes, reason: str) -> None:
    near, far = await both_ends(nodes)
    await near.write(prefix)
    with pytest.raises(Malformed, match=reason):
        await far.read_message(max=100)


async def test_a_message_cut_short_is_closed_not_ended(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    await near.write(varint.encode(10) + b"half")
    await near.close_write()
    with pytest.raises(Closed) as caught:
        await far.read_message(max=100)
    assert not isinstance(caught.value, EndOfStream)


async def test_read_all_is_bounded(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    await near.write(bytes(101))
    await near.close_write()
    with pytest.raises(Malformed):
        await far.read_all(max=100)


async def test_iteration_ends_with_the_stream(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    await near.write(b"last words")
    await near.close_write()
    assert b"".join([chunk async for chunk in far]) == b"last words"


async def test_a_second_reader_is_refused(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    first = asyncio.create_task(far.read())
    await asyncio.sleep(0)
    with pytest.raises(UsageError, match="another task is reading"):
        await far.read()
    await near.write(b"for the first")
    assert await first == b"for the first"


@pytest.mark.both_loops
@OVER_BYTES
async def test_a_slow_reader_holds_the_writer_back(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    server = far.connection
    payload = bytes(4 * KIB * KIB)
    writing = asyncio.create_task(near.write(payload))
    memory = server._environment.memory
    await eventually(lambda: memory.used_bytes >= 256 * KIB, "a full window")
    assert not writing.done()
    assert memory.used_bytes <= 512 * KIB, "only the window may be held"
    assert await exchange_on_another_stream(near.connection) == b"passes"
    assert not writing.done()
    async with asyncio.timeout(10):
        assert await far.read_exactly(len(payload)) == payload
        await writing
    assert isinstance(far._state, yamux.Stream)
    assert memory.used_bytes <= far._state.window_bytes


async def exchange_on_another_stream(connection: Connection) -> bytes:
    async with await connection.open(["/echo/1.0.0"]) as stream:
        return await exchange(stream, b"passes")


@pytest.mark.parametrize("size", [100, 65_507, 65_508, 300_000], ids=str)
async def test_a_buffer_may_change_after_write(nodes: Nodes, listen: str, size: int) -> None:
    near, far = await both_ends(nodes, listen)
    data = bytearray(b"a" * size)
    reading = asyncio.create_task(far.read_exactly(2 * size))
    async with asyncio.timeout(10):
        await near.write(data)
        data[:] = b"b" * size
        await near.write(memoryview(data))
        data[:] = b"c" * size
        assert await reading == b"a" * size + b"b" * size


async def test_concurrent_writes_are_kept_apart(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    sizes = (400_000, 10, 300_000, 70_000, 5)
    writes = [asyncio.create_task(near.write(bytes([97 + at]) * size)) for at, size in enumerate(sizes)]
    async with asyncio.timeout(10):
        received = await far.read_exactly(sum(sizes))
        await asyncio.gather(*writes)
    runs = [letter for at, letter in enumerate(received) if not at or received[at - 1] != letter]
    assert len(runs) == len(sizes), "a write was cut by another"


async def test_half_close_leaves_the_other_direction(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    await near.close_write()
    assert await far.read() == b""
    await far.write(b"still here")
    assert await near.read_exactly(10) == b"still here"
    with pytest.raises(UsageError, match="closed for writing"):
        await near.write(b"too late")
    await near.close_write()


async def test_close_write_waits_for_the_write_before_it(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    payload = bytes(600_000)
    writing = asyncio.create_task(near.write(payload))
    await asyncio.sleep(0)
    closing = asyncio.create_task(near.close_write())
    async with asyncio.timeout(10):
        assert await far.read_all(max=len(payload)) == payload
        await asyncio.gather(writing, closing)


@pytest.mark.parametrize("code", [0, 0x1002, 0xFFFFFFFF], ids=hex)
async def test_a_reset_carries_its_code(nodes: Nodes, listen: str, code: int) -> None:
    near, far = await both_ends(nodes, listen)
    near.reset(code)
    with pytest.raises(StreamReset, match="the peer reset") as caught:
        await far.read()
    assert caught.value.wire_code == code
    with pytest.raises(StreamReset):
        await far.write(b"x")
    with pytest.raises(StreamReset, match="on this side"):
        await near.read()
    near.reset(7)
    assert near.connection.stream_count == 0


async def test_a_reset_by_the_taker_wakes_reader_and_writer(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    reading = asyncio.create_task(near.read())
    writing = asyncio.create_task(near.write(bytes(2 * KIB * KIB)))
    await eventually(lambda: not near._state.send_window, "a full window")
    far.reset(0x1234)
    for task in (reading, writing):
        with pytest.raises(StreamReset) as caught:
            await task
        assert caught.value.wire_code == 0x1234


async def test_close_with_unread_data_lets_go_of_it(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    await far.write(bytes(100_000))
    await eventually(lambda: near._state.queued_bytes == 100_000)
    memory = near.connection._environment.memory
    assert memory.used_bytes >= 100_000
    await near.close()
    assert memory.used_bytes == 0
    assert await far.read() == b""
    await far.close()
    await eventually(lambda: near.connection.stream_count == far.connection.stream_count == 0)


async def test_what_was_written_before_close_arrives(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    await near.write(b"goodbye")
    await near.close()
    await near.close()
    assert await far.read_all(max=100) == b"goodbye"


async def test_a_closed_stream_whose_peer_never_ends_is_reset_in_time(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.network.connection.LINGER_S", 0.05)
    near, far = await both_ends(nodes)
    await near.close()
    await eventually(lambda: near.connection.stream_count == far.connection.stream_count == 0, "the reset")
    with pytest.raises(StreamReset):
        await far.write(b"x")


async def test_unread_data_of_a_stream_reset_by_the_peer_is_let_go_by_close(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    await far.write(bytes(50_000))
    await far.close_write()
    far.reset()
    await eventually(lambda: near._state.reset_code is not None)
    memory = near.connection._environment.memory
    await near.close()
    assert memory.used_bytes == 0


async def test_what_the_peer_finished_is_readable_after_its_reset(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    await far.write(b"complete")
    await far.close_write()
    far.reset()
    await eventually(lambda: near._state.reset_code is not None)
    assert await near.read_all(max=100) == b"complete"


async def test_an_error_inside_the_context_resets(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    with pytest.raises(RuntimeError, match="on purpose"):
        async with near:
            raise RuntimeError("on purpose")
    with pytest.raises(StreamReset):
        await far.read()


async def test_the_end_of_the_context_closes(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    async with near:
        await near.write(b"in order")
    assert await far.read_all(max=100) == b"in order"


@pytest.mark.parametrize("by_whom", ["near", "far", "lost"])
@pytest.mark.parametrize("listen", [TCP, MEMORY], ids=["tcp", "memory"])
async def test_the_end_of_the_connection_is_closed(nodes: Nodes, listen: str, by_whom: str) -> None:
    near, far = await both_ends(nodes, listen)
    reading = asyncio.create_task(near.read())
    writing = asyncio.create_task(near.write(bytes(2 * KIB * KIB)))
    await eventually(lambda: not near._state.send_window, "a full window")
    if by_whom == "near":
        await near.connection.close()
    elif by_whom == "far":
        await far.connection.close()
    else:
        far.connection.abort(Closed("cut by the test"))
    ends = (Closed, StreamReset) if by_whom == "far" else (Closed,)  # the far handler's streams go before it
    for task in (reading, writing):
        with pytest.raises(ends):
            await task
    await eventually(lambda: near.connection.closed)
    with pytest.raises(Closed):
        await near.read()
    with pytest.raises(Closed):
        await near.write(b"x")
    with pytest.raises(Closed):
        await near.connection.open([TAKE])


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancelled_read_loses_nothing(nodes: Nodes, turns: int) -> None:
    near, far = await both_ends(nodes)
    reading = asyncio.create_task(far.read_exactly(10))
    await asyncio.sleep(0)
    await near.write(b"01234")
    for _ in range(turns):
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await near.write(b"56789")
    async with asyncio.timeout(10):
        assert await far.read_exactly(10) == b"0123456789"


async def test_a_cancelled_message_is_read_again(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    for piece in (b"\x85", b"\x02abc"):
        await near.write(piece)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await far.read_message(max=1000)
    await near.write(bytes(261 - 3))
    async with asyncio.timeout(10):
        assert await far.read_message(max=1000) == b"abc" + bytes(258)


@OVER_BYTES
async def test_a_cancelled_write_leaves_the_stream_usable(nodes: Nodes, listen: str) -> None:
    near, far = await both_ends(nodes, listen)
    first = asyncio.create_task(near.write(b"a" * 400_000))
    await eventually(lambda: not near._state.send_window, "a full window")
    second = asyncio.create_task(near.write(b"b" * 10))
    await asyncio.sleep(0)
    second.cancel()
    first.cancel()
    await asyncio.wait([first, second])
    assert first.cancelled()
    assert second.cancelled()
    async with asyncio.timeout(10):
        third = asyncio.create_task(near.write(b"c" * 100_000))
        sent = 256 * KIB - len(multistream.opening(TAKE))
        received = await far.read_exactly(sent + 100_000)
        await third
    assert received == b"a" * sent + b"c" * 100_000


async def test_shed_load_wakes_a_blocked_handler(nodes: Nodes) -> None:
    """An echo whose client never reads is blocked in a write when its stream is reset for memory."""
    server, _, connection = await nodes.pair(max_held_bytes=128 * KIB)
    stream = await connection.open(["/echo/1.0.0"])
    with pytest.raises(StreamReset) as caught:
        await write_without_end(stream)
    assert caught.value.wire_code == 0x1002
    inbound = server.connections[0]
    await eventually(lambda: not inbound.scope._tasks, "the end of the echo handler")
    await eventually(lambda: server.swarm.memory.used_bytes == 0)


async def write_without_end(stream: Stream) -> None:
    async with asyncio.timeout(10):
        while True:
            await stream.write(bytes(64 * KIB))


async def test_the_representation_names_stream_and_peer(nodes: Nodes) -> None:
    near, far = await both_ends(nodes)
    assert near.inbound is False
    assert far.inbound is True
    assert near.id == far.id
    assert TAKE in repr(near)
    assert str(near.connection.peer) in repr(near)


async def test_connection_knows_its_ends(nodes: Nodes, listen: str) -> None:
    server, client, connection = await nodes.pair(listen)
    inbound = await connected(server, client)
    assert inbound.inbound
    assert not connection.inbound
    assert (inbound.local, inbound.remote) == (connection.remote, connection.local)
    assert inbound.remote_key == client.key.public
    assert connection.early_muxer == (listen != QUIC)
    assert "to" in repr(connection)
    assert "from" in repr(inbound)
    await eventually(lambda: connection.rtt_s is not None, "the first ping's answer")
