"""Agreeing on a stream's protocol, the backlog of opens, and handlers that fail."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mesh.errors import (
    Closed,
    LimitError,
    MeshError,
    PeerError,
    ProtocolNotSupported,
    StreamReset,
    TimedOut,
    UsageError,
)
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols import multistream, yamux
from tests.network.live import PATIENCE_S, Nodes, eventually, exchange, round_trip
from tests.network.test_stream import TAKE, Taken

ECHO = "/echo/1.0.0"


async def still_works(connection: Connection) -> None:
    async with await connection.open([ECHO]) as stream:
        assert await exchange(stream, b"still works") == b"still works"


async def test_refusal_names_what_was_proposed(nodes: Nodes, listen: str) -> None:
    server, _, connection = await nodes.pair(listen)
    with pytest.raises(ProtocolNotSupported, match="/no/1, /no/2"):
        await connection.open(["/no/1", "/no/2"])
    await still_works(connection)
    await eventually(lambda: server.counters.total("stream.refused") == 1)


async def test_the_first_that_the_peer_speaks_is_taken(nodes: Nodes) -> None:
    _, client, connection = await nodes.pair()
    stream = await connection.open(["/no/1", "/no/2", ECHO, "/no/3"])
    assert stream.protocol == ECHO
    assert await exchange(stream, b"x") == b"x"
    stream = await client.open(connection, ["/no/1", ECHO])
    assert stream.protocol == ECHO
    await stream.close()


async def test_a_string_is_not_a_list_of_protocols(nodes: Nodes) -> None:
    _, _, connection = await nodes.pair()
    with pytest.raises(UsageError):
        await connection.open(ECHO)
    with pytest.raises(UsageError):
        await connection.open([])
    assert connection.stream_count == 0


async def test_optimistic_opening_sends_with_the_proposal(nodes: Nodes, listen: str) -> None:
    _, _, connection = await nodes.pair(listen)
    async with await connection.open([ECHO], optimistic=True) as stream:
        assert stream.protocol == ECHO
        assert await exchange(stream, b"at once") == b"at once"


async def test_optimistic_refusal_shows_when_reading(nodes: Nodes, listen: str) -> None:
    _, _, connection = await nodes.pair(listen)
    stream = await connection.open(["/no/1"], optimistic=True)
    await stream.write(b"too hopeful")
    with pytest.raises(ProtocolNotSupported):
        await stream.read()
    with pytest.raises(ProtocolNotSupported):
        await stream.write(b"again" * 20_000)
    await still_works(connection)


async def test_an_optimistic_stream_closed_at_once_does_its_work(nodes: Nodes) -> None:
    server = await nodes.start()
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(stream: Stream) -> None:
        got.put_nowait(await stream.read_all(max=100))

    server.handle(TAKE, take)
    _, _, connection = await nodes.pair(server=server)
    async with await connection.open([TAKE], optimistic=True) as stream:
        await stream.write(b"fire and forget")
    async with asyncio.timeout(10):
        assert await got.get() == b"fire and forget"
    await eventually(lambda: connection.stream_count == 0)


async def test_an_announced_protocol_is_opened_optimistically(nodes: Nodes) -> None:
    server, client, _ = await nodes.pair()
    stream = await client.open(server.peer_id, ["/no/1", ECHO])
    assert stream._negotiation is not None, "open must not wait for an announced protocol"
    assert await exchange(stream, b"x") == b"x"
    await stream.close()


async def test_negotiation_has_a_time_limit(nodes: Nodes) -> None:
    _, _, connection = await nodes.pair(negotiate_timeout_s=0.05)
    session = connection._driver.session
    mute = session.open()
    session.send(mute, multistream.opening("/x")[:5])
    connection._driver.request_flush()
    await eventually(lambda: mute.reset_code is not None, "the reset")
    assert mute.reset_code == yamux.ResetCode.NEGOTIATION_FAILED
    await still_works(connection)


async def test_the_opener_waits_no_longer_than_its_limit(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _, connection = await nodes.pair(negotiate_timeout_s=0.05)
    monkeypatch.setattr(Connection, "stream_opened", lambda self, state: self._driver.session.accept(state))
    with pytest.raises(TimedOut, match=r"0\.05 s"):
        async with asyncio.timeout(10):
            await connection.open([ECHO])
    assert connection.stream_count == 0
    await eventually(lambda: server.connections[0].stream_count == 0)


@pytest.mark.parametrize("opening", [b"", multistream.opening(ECHO)[:7]], ids=["nothing", "half a token"])
async def test_a_stream_that_ends_while_negotiating(nodes: Nodes, opening: bytes) -> None:
    server, _, connection = await nodes.pair()
    session = connection._driver.session
    state = session.open()
    session.send(state, opening)
    session.close_write(state)
    connection._driver.request_flush()
    await eventually(lambda: state.reset_code is not None, "the reset")
    assert state.reset_code == yamux.ResetCode.NEGOTIATION_FAILED
    assert server.counters["stream.refused:closed"] == 1
    await still_works(connection)


async def test_the_taker_ends_while_the_opener_negotiates(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, connection = await nodes.pair()
    monkeypatch.setattr(
        Connection, "stream_opened", lambda self, state: self._driver.session.close_write(state)
    )
    with pytest.raises(Closed, match="ended the stream"):
        await connection.open([ECHO])
    monkeypatch.setattr(
        Connection, "stream_opened", lambda self, state: self._driver.session.reset(state, 0x1008)
    )
    with pytest.raises(StreamReset) as caught:
        await connection.open([ECHO])
    assert caught.value.wire_code == 0x1008


async def test_garbage_instead_of_a_token(nodes: Nodes) -> None:
    server, _, connection = await nodes.pair()
    session = connection._driver.session
    state = session.open()
    session.send(state, b"\x05hello")
    connection._driver.request_flush()
    await eventually(lambda: state.reset_code is not None, "the reset")
    assert state.reset_code == yamux.ResetCode.NEGOTIATION_FAILED
    assert server.counters["stream.refused:peer"] == 1
    await still_works(connection)


async def test_a_cancelled_open_leaves_no_stream(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    server, _, connection = await nodes.pair()
    monkeypatch.setattr(Connection, "stream_opened", lambda self, state: self._driver.session.accept(state))
    opening = asyncio.create_task(connection.open([ECHO]))
    await eventually(lambda: server.connections[0].stream_count == 1)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await eventually(lambda: connection.stream_count == server.connections[0].stream_count == 0)


async def test_opens_beyond_the_backlog_wait_for_acknowledgements(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer acknowledges one stream at a time: each lets exactly one waiter through."""
    server, _, connection = await nodes.pair(scale="unlimited")
    held: list[tuple[Connection, yamux.Stream]] = []
    genuine = Connection.stream_opened
    monkeypatch.setattr(Connection, "stream_opened", lambda self, state: held.append((self, state)))
    opens = [asyncio.create_task(connection.open([ECHO])) for _ in range(300)]
    await eventually(lambda: len(held) == 256)
    inbound = server.connections[0]
    assert not any(task.done() for task in opens)
    with pytest.raises(LimitError):
        connection._driver.session.open()
    async with asyncio.timeout(20):
        for number in range(300):
            await eventually(lambda least=number: len(held) > least)  # type: ignore[misc]
            owner, state = held[number]
            assert owner is inbound
            genuine(inbound, state)
            assert isinstance(state.owner, Stream)
            state.owner.ready()
            inbound.driver.settle()
        streams = await asyncio.gather(*opens)
    assert len({stream.id for stream in streams}) == 300
    for stream in streams:
        stream.reset()


async def test_waiting_for_the_backlog_has_a_limit(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, connection = await nodes.pair(accept_backlog=4, open_timeout_s=0.05)
    monkeypatch.setattr(Connection, "stream_opened", lambda self, state: None)
    first = [asyncio.create_task(connection.open([ECHO])) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(TimedOut, match="did not acknowledge"):
        async with asyncio.timeout(10):
            await connection.open([ECHO])
    for task in first:
        task.cancel()
    await asyncio.wait(first)


async def test_the_end_of_the_connection_ends_waiting_opens(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, connection = await nodes.pair(accept_backlog=4)
    monkeypatch.setattr(Connection, "stream_opened", lambda self, state: None)
    opens = [asyncio.create_task(connection.open([ECHO])) for _ in range(10)]
    await asyncio.sleep(0)
    await connection.close()
    for task in opens:
        with pytest.raises(Closed):
            await task


async def test_a_connection_that_has_ended_has_no_backlog_to_wait_for(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A QUIC connection whose peer refused it takes no streams, and never will."""
    _, _, connection = await nodes.pair()
    reason = PeerError("the peer refused this end")
    connection.abort(reason)
    monkeypatch.setattr(type(connection.driver.session), "can_open", property(lambda _session: False))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Closed) as caught:
            await connection.open([ECHO])
    assert caught.value.__cause__ is reason


@pytest.mark.parametrize(
    ("error", "code", "counter"),
    [
        (PeerError("enough", wire_code=0x1003), 0x1003, "handler.failed:peer"),
        (StreamReset("another stream's", wire_code=1 << 40), 0x1004, "handler.failed:stream-reset"),
        (PeerError("no code of a stream", wire_code=-1), 0x1004, "handler.failed:peer"),
        (MeshError("something"), 0x1004, "handler.failed:mesh"),
        (ZeroDivisionError("a bug"), 0, "handler.crashed"),
    ],
    ids=["peer's fault", "a code of QUIC", "a code of its own", "ours, foreseen", "bug"],
)
async def test_a_handler_that_raises_resets_its_stream_alone(
    nodes: Nodes, caplog: pytest.LogCaptureFixture, error: Exception, code: int, counter: str
) -> None:
    caplog.set_level(logging.DEBUG, "mesh")
    server = await nodes.start()

    async def fail(stream: Stream) -> None:
        await stream.read()
        raise error

    server.handle("/test/fail/1", fail)
    _, client, connection = await nodes.pair(server=server)
    stream = await connection.open(["/test/fail/1"])
    await stream.write(b"go")
    with pytest.raises(StreamReset) as caught:
        await stream.read()
    assert caught.value.wire_code == code
    assert server.counters[counter] == 1
    assert str(error) in caplog.text
    loud = [record for record in caplog.records if record.levelno > logging.INFO]
    assert [record.levelno for record in loud] == ([logging.ERROR] if counter == "handler.crashed" else [])
    await still_works(connection)
    await round_trip(client, server)


async def test_a_taken_stream_is_closed_when_its_handler_returns(nodes: Nodes) -> None:
    server = await nodes.start()
    taken = Taken(server)
    _, _, connection = await nodes.pair(server=server)
    stream = await connection.open([TAKE])
    await taken.streams.get()
    taken.release.set()
    async with asyncio.timeout(10):
        assert await stream.read() == b""
    await stream.close()
    await eventually(lambda: connection.stream_count == 0)
