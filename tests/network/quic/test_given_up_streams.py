"""Peers that give up a stream over QUIC, by STOP_SENDING, RESET_STREAM or the end of everything, at each stage of it.

Whatever a program does with its stream then is done, or fails with an error of `mesh.errors` that says what happened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import permutations

import pytest

from mesh.codecs.multistream import encode_token
from mesh.errors import Closed, MeshError, StreamReset, UsageError
from mesh.network.connection import Connection
from mesh.network.quic.driver import QuicDriver
from mesh.network.quic.engine import MAX_UNSENT_BYTES
from mesh.network.stream import Stream
from mesh.protocols.multistream import HEADER
from tests.network.live import PATIENCE_S, QUIC, Nodes, connected, eventually, exchange
from tests.network.test_stream import KIB, TAKE, Taken, both_ends

CODE = 0x77
ENGINES = ["qh3", "aioquic"]
Door = Callable[[Stream], Awaitable[None]]
WRITING: dict[str, Door] = {
    "write": lambda stream: stream.write(b"more"),
    "write much": lambda stream: stream.write(bytes(2 * MAX_UNSENT_BYTES)),
    "write_message": lambda stream: stream.write_message(b"more"),
    "finish": lambda stream: stream.finish(b"last"),
}
ENDING: dict[str, Door] = {
    "close_write": lambda stream: stream.close_write(),
    "close": lambda stream: stream.close(),
}
DOORS = WRITING | ENDING
STEPS = ("stop", "reset", "write", "finish")
ORDERS = [order for count in range(len(STEPS) + 1) for order in permutations(STEPS, count)]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Raw:
    """The QUIC of one end of a connection, below its streams."""

    def __init__(self, connection: Connection) -> None:
        assert isinstance(connection.driver, QuicDriver)
        self.driver = connection.driver
        self.engine = connection.driver.session._engine

    def stop(self, stream_id: int, code: int = CODE) -> None:
        self.engine.stop(stream_id, code)
        self.driver.flush()

    def reset(self, stream_id: int, code: int = CODE) -> None:
        self.engine.reset(stream_id, code)
        self.driver.flush()


async def goes_through(door: Door, stream: Stream) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await door(stream)


async def fails(door: Door, stream: Stream, kind: type[MeshError], text: str) -> MeshError:
    with pytest.raises(kind, match=text) as caught:
        await goes_through(door, stream)
    assert not stream.try_write(b"at once")
    return caught.value


async def still_works(connection: Connection) -> None:
    async with await connection.open(["/echo/1.0.0"]) as stream:
        assert await exchange(stream, b"still works") == b"still works"


@pytest.mark.parametrize("door", DOORS)
async def test_a_peer_that_stops(nodes: Nodes, engine: str, door: str) -> None:
    near, far = await both_ends(nodes, QUIC, engine=engine)
    Raw(far.connection).stop(far.id)
    await eventually(lambda: near._state.write_closed, "the stop")
    if door in WRITING:
        error = await fails(DOORS[door], near, StreamReset, "the peer reads no more")
        assert isinstance(error, StreamReset)
        assert error.wire_code == CODE
        await far.write(b"goes on")
        assert await near.read_exactly(7) == b"goes on"
    else:
        await goes_through(DOORS[door], near)
    await goes_through(ENDING["close"], near)
    await still_works(near.connection)


@pytest.mark.parametrize("door", DOORS)
async def test_a_peer_that_resets(nodes: Nodes, engine: str, door: str) -> None:
    near, far = await both_ends(nodes, QUIC, engine=engine)
    await near.write(b"unread")
    Raw(far.connection).reset(far.id)
    await eventually(lambda: near._state.dead, "the reset")
    if door in WRITING:
        error = await fails(DOORS[door], near, StreamReset, "the peer reset the stream with code 0x77")
        assert isinstance(error, StreamReset)
        assert error.wire_code == CODE
    else:
        await goes_through(DOORS[door], near)
    near.reset()
    await still_works(near.connection)


@pytest.mark.parametrize("door", DOORS)
async def test_a_peer_that_ends_the_connection(nodes: Nodes, engine: str, door: str) -> None:
    near, far = await both_ends(nodes, QUIC, engine=engine)
    Raw(far.connection).stop(far.id)
    await far.connection.close()
    await eventually(lambda: near.connection.closed, "the end")
    if door in WRITING:
        await fails(DOORS[door], near, Closed, "the peer closed the connection")
    else:
        await goes_through(DOORS[door], near)
    near.reset()


@pytest.mark.parametrize("door", DOORS)
async def test_a_stop_behind_our_own_end(nodes: Nodes, engine: str, door: str) -> None:
    near, far = await both_ends(nodes, QUIC, engine=engine)
    await near.finish(b"all")
    Raw(far.connection).stop(far.id)
    await far.write(b"answer")
    assert await near.read_exactly(6) == b"answer"
    if door in WRITING:
        await fails(DOORS[door], near, UsageError, "closed for writing")
    else:
        await goes_through(DOORS[door], near)
    await still_works(near.connection)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("told", [False, True], ids=["at once", "known"])
async def test_a_stop_that_crosses_our_own_reset(nodes: Nodes, engine: str, door: str, told: bool) -> None:
    near, far = await both_ends(nodes, QUIC, engine=engine)
    near.reset(5)
    Raw(far.connection).stop(far.id)
    Raw(far.connection).reset(far.id)
    if told:
        await still_works(far.connection)
    if door in WRITING:
        await fails(DOORS[door], near, StreamReset, "reset on this side")
    else:
        await goes_through(DOORS[door], near)
    near.reset(6)
    await still_works(near.connection)


@pytest.mark.parametrize("deed", ["stop", "reset", "close"])
async def test_a_writer_that_waits_is_told(nodes: Nodes, engine: str, deed: str) -> None:
    windows = {"stream_window_bytes": 256 * KIB, "connection_window_bytes": 512 * KIB}
    near, far = await both_ends(nodes, QUIC, engine=engine, **windows)
    writing = asyncio.create_task(near.write(bytes(8 * MAX_UNSENT_BYTES)))
    await eventually(lambda: not near._state.send_window, "a writer that waits")
    raw = Raw(far.connection)
    if deed == "close":
        far.connection.abort(Closed("enough"))
    else:
        (raw.stop if deed == "stop" else raw.reset)(far.id)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Closed if deed == "close" else StreamReset) as caught:
            await writing
    if isinstance(caught.value, StreamReset):
        assert caught.value.wire_code == CODE
        await goes_through(ENDING["close"], near)
        await still_works(near.connection)


async def test_a_stop_before_a_protocol_is_agreed_on(nodes: Nodes, engine: str) -> None:
    server = await nodes.start(QUIC, engine=engine)
    taken = Taken(server)
    _, _, connection = await nodes.pair(server=server, engine=engine)
    raw = Raw(connection)
    stream_id = raw.engine.open_stream()
    raw.engine.write(stream_id, encode_token(HEADER), False)
    raw.stop(stream_id)
    raw.engine.write(stream_id, encode_token(TAKE) + b"hello", False)
    raw.driver.flush()
    async with asyncio.timeout(PATIENCE_S):
        far = await taken.streams.get()
    assert await far.read_exactly(5) == b"hello"
    await eventually(lambda: far._state.write_closed, "the stop")
    await fails(WRITING["write"], far, StreamReset, "reads no more")
    await goes_through(ENDING["close"], far)
    taken.release.set()
    await still_works(connection)


@pytest.mark.parametrize("apart", [False, True], ids=["in one datagram", "apart"])
async def test_every_service_outlives_a_peer_that_gives_up(
    nodes: Nodes, engine: str, caplog: pytest.LogCaptureFixture, apart: bool
) -> None:
    """Each protocol a node serves, asked for and given up with the frames that do so in every order."""
    server = await nodes.start(QUIC, engine=engine, serve=("echo", "perf"))
    client = await nodes.start("", engine=engine)
    connection = await client.connect(server.listen_addrs[0])
    await connected(server, client)
    raw, asked = Raw(connection), 0
    for protocol in server.protocols:
        streams = [await give_up(raw, protocol, order, apart) for order in ORDERS]
        await eventually(lambda: not any(map(raw.engine.unsent_bytes, streams)), "all said")  # noqa: B023
        for stream_id in streams:
            raw.stop(stream_id)
            raw.reset(stream_id)
        asked += len(streams)
    await still_works(connection)
    assert server.counters.total("stream.inbound") > asked // len(ORDERS), "hardly one asked for anything"
    (inbound,) = server.connections
    await eventually(lambda: not inbound.stream_count, "the end of all streams")
    assert server.counters.total("handler.crashed") == 0
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def give_up(raw: Raw, protocol: str, order: Sequence[str], apart: bool) -> int:
    """Ask for a protocol on a stream and take these steps on it."""
    await eventually(lambda: raw.engine.can_open, "room for another stream")
    stream_id = raw.engine.open_stream()
    raw.engine.write(stream_id, encode_token(HEADER) + encode_token(protocol), False)
    for step in order:
        if apart:
            raw.driver.flush()
            await asyncio.sleep(0)
        if step in ("stop", "reset"):
            getattr(raw.engine, step)(stream_id, CODE)
        else:
            raw.engine.write(stream_id, bytes(64), step == "finish")
    raw.driver.flush()
    return stream_id
