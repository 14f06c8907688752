"""Streams for owners of many: messages taken and written without a task of their own."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import EndOfStream, StreamReset, UsageError
from mesh.network.stream import SMALL_WRITE_BYTES, Stream
from tests.network.live import MEMORY, Nodes, eventually

PROTOCOL = "/test/1.0.0"
MAX = 65536


async def ends(nodes: Nodes) -> tuple[Stream, Stream]:
    """Both ends of a stream on which nothing was said yet."""
    server, _, connection = await nodes.pair(MEMORY)
    arrived: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def serve(stream: Stream) -> None:
        arrived.set_result(stream)
        await over.wait()

    server.handle(PROTOCOL, serve)
    near = await connection.open([PROTOCOL])
    return near, await arrived


async def readable(stream: Stream) -> None:
    """Wait for the callback."""
    called = asyncio.Event()
    stream.when_readable(called.set)
    async with asyncio.timeout(10):
        await called.wait()


async def test_messages_are_taken_one_by_one(nodes: Nodes) -> None:
    near, far = await ends(nodes)
    assert near.take_message(MAX) is None
    for message in (b"one", b"", b"three" * 100):
        await far.write_message(message)
    for message in (b"one", b"", b"three" * 100):
        await readable(near)
        assert near.take_message(MAX) == message
    assert near.take_message(MAX) is None


@pytest.mark.parametrize("size", [5000, MAX])
async def test_a_long_message_is_left_to_a_reader_that_waits(nodes: Nodes, size: int) -> None:
    near, far = await ends(nodes)
    await far.write_message(bytes(size))
    await far.write_message(b"next")
    await readable(near)
    assert near.take_message(MAX) is None
    assert await near.read_message(MAX) == bytes(size)
    await readable(near)
    assert near.take_message(MAX) == b"next"


async def test_half_a_message_is_not_lost(nodes: Nodes) -> None:
    near, far = await ends(nodes)
    await far.write(b"\x06abc")
    await readable(near)
    assert near.take_message(MAX) is None
    reading = asyncio.ensure_future(near.read_message(MAX))
    await far.write(b"def")
    assert await reading == b"abcdef"


async def test_the_end_is_readable(nodes: Nodes) -> None:
    near, far = await ends(nodes)
    await far.close_write()
    await readable(near)
    assert near.take_message(MAX) is None
    with pytest.raises(EndOfStream):
        await near.read_message(MAX)


async def test_a_reset_is_readable(nodes: Nodes) -> None:
    near, far = await ends(nodes)
    far.reset(7)
    await readable(near)
    assert near.take_message(MAX) is None
    with pytest.raises(StreamReset):
        await near.read_message(MAX)
    assert not near.try_write(b"too late")


async def test_one_waits_at_a_time(nodes: Nodes) -> None:
    near, far = await ends(nodes)
    near.when_readable(lambda: None)
    with pytest.raises(UsageError, match="another"):
        near.when_readable(lambda: None)
    with pytest.raises(UsageError, match="another"):
        await near.read()
    await far.write(b"\x01x")
    await eventually(lambda: near.take_message(MAX) == b"x")


async def test_what_would_have_to_wait_is_not_written_at_all(nodes: Nodes) -> None:
    near, far = await ends(nodes)
    assert not near.try_write(bytes(SMALL_WRITE_BYTES + 1))
    written = 0
    while near.try_write(bytes(SMALL_WRITE_BYTES)):
        written += SMALL_WRITE_BYTES
    assert written, "the peer's window held nothing"
    got = 0
    while got < written:
        got += len(await far.read())
    await eventually(lambda: near.try_write(b"end"))
    assert await far.read() == b"end"
