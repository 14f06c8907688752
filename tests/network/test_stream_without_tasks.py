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


class Follower:
    """What came whole, until something else did."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.messages: list[bytes] = []
        self.other = 0
        stream.follow(self.come, self.messages.append)

    def come(self) -> None:
        self.other += 1
        self.stream.follow(None)


async def test_whole_messages_go_to_who_follows(nodes: Nodes) -> None:
    near, far = await ends(nodes)
    follower = Follower(near)
    sent = [b"", b"short", bytes(127), bytes(128), bytes(16383)]
    for number, message in enumerate(sent):
        await far.write_message(message)
        await eventually(lambda number=number: len(follower.messages) == number + 1)  # type: ignore[misc]
    assert follower.messages == sent
    assert not near.pending
    assert near.connection.driver.session.held_bytes == 0


@pytest.mark.parametrize(
    "data",
    [
        b"\x06abc",
        b"\x01a\x01b",
        b"\x80\x00",
        b"\x85" + bytes(132),
        b"\x85\x80\x01" + bytes(130),
        b"\x80\x80\x01" + bytes(16384),
    ],
    ids=["half", "two", "not minimal", "length cut off", "like its first byte", "long"],
)
async def test_anything_else_is_queued(nodes: Nodes, data: bytes) -> None:
    near, far = await ends(nodes)
    follower = Follower(near)
    await far.write(data)
    await eventually(lambda: follower.other > 0)
    await far.write_message(b"behind")
    async with asyncio.timeout(10):
        assert await near.read_exactly(len(data) + 7) == data + b"\x06behind"
    assert follower.messages == []


async def test_the_window_opens_again_for_messages(nodes: Nodes) -> None:
    near, far = await ends(nodes)
    follower = Follower(near)
    async with asyncio.timeout(10):
        for number in range(200):
            await far.write_message(bytes(8000))
            await eventually(lambda number=number: len(follower.messages) == number + 1)  # type: ignore[misc]


async def test_the_answer_of_a_negotiation_is_no_message(nodes: Nodes) -> None:
    server, _, connection = await nodes.pair(MEMORY)

    async def serve(stream: Stream) -> None:
        await stream.write_message(await stream.read_message(MAX))

    server.handle(PROTOCOL, serve)
    stream = await connection.open([PROTOCOL], optimistic=True)
    follower = Follower(stream)
    await stream.write_message(b"question")
    await eventually(lambda: stream.pending or bool(follower.messages))
    assert follower.messages in ([], [b"question"])
    if not follower.messages:
        assert await stream.read_message(MAX) == b"question"
