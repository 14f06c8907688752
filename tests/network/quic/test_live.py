"""Nodes over QUIC, with both engines: dials that fail, refusals, ends, a peer that reads no more, floods of rubbish."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Iterator

import pytest

from mesh.errors import Closed, DialError, DialFailure, StreamReset, TimedOut
from mesh.network.connection import Connection
from mesh.network.quic import driver as driver_module
from mesh.network.quic import endpoint as endpoint_module
from mesh.network.quic.driver import QuicDriver
from mesh.network.quic.session import Session
from mesh.network.stream import Stream
from mesh.node import Node
from tests.network.live import PATIENCE_S, QUIC, Nodes, connected, eventually, exchange, round_trip
from tests.network.quic.rebinding import Rebinding

KIB = 1024
MIB = 1024 * KIB
ENGINES = ["qh3", "aioquic"]
TAKE = "/test/take/1"


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that swallows everything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"/ip4/127.0.0.1/udp/{holder.getsockname()[1]}/quic-v1"


def driver_of(connection: Connection) -> QuicDriver:
    assert isinstance(connection.driver, QuicDriver)
    return connection.driver


async def failure_of(client: Node, address: str) -> DialFailure:
    with pytest.raises(DialError) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await client.connect(address)
    (failure,) = caught.value.failures
    return failure


@pytest.mark.both_loops
async def test_a_closed_port_says_so_at_once(nodes: Nodes, engine: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    client = await nodes.start("", engine=engine, address_timeout_s=60.0)
    failure = await failure_of(client, f"/ip4/127.0.0.1/udp/{port}/quic-v1")
    assert failure.stage == "connect"
    assert "refused" in failure.cause
    assert "nobody listens there" in failure.cause


async def test_a_silent_port(nodes: Nodes, engine: str, silent: str) -> None:
    client = await nodes.start("", engine=engine, address_timeout_s=0.3)
    failure = await failure_of(client, silent)
    assert failure.stage == "connect"
    assert failure.cause.endswith("no datagram came back: nobody listens there, or UDP is barred on the way")


@pytest.mark.parametrize("dialer", ENGINES)
async def test_a_refused_connection_tells_why(nodes: Nodes, engine: str, dialer: str) -> None:
    server = await nodes.start(QUIC, engine=engine, max_connections=1)
    first = await nodes.start("", engine=dialer)
    connection = await first.connect(server.listen_addrs[0])
    await connected(server, first)
    second = await nodes.start("", engine=dialer)
    assert re.search("refused the connection|resource limit", await end_of_dial(second, server))
    assert server.counters.total("connection.refused") == 1
    assert not connection.closed


async def end_of_dial(client: Node, server: Node) -> str:
    """Why it failed, or why the connection ended at once: a dialer may be done before the listener is."""
    try:
        connection = await client.connect(server.listen_addrs[0])
    except DialError as error:
        return error.failures[0].cause
    async with asyncio.timeout(PATIENCE_S):
        await connection.ended()
    return str(connection.close_reason)


async def test_a_denied_peer_is_closed_on(nodes: Nodes, engine: str) -> None:
    server = await nodes.start(QUIC, engine=engine)
    client = await nodes.start("", engine=engine)
    server.swarm.gater.deny(f"/p2p/{client.peer_id}")
    connection = await client.connect(server.listen_addrs[0])
    async with asyncio.timeout(PATIENCE_S):
        await connection.ended()
    assert isinstance(connection.close_reason, Closed)
    assert "gated" in str(connection.close_reason)
    assert not server.connections


async def test_a_dial_that_is_given_up_leaves_nothing(nodes: Nodes, engine: str, silent: str) -> None:
    client = await nodes.start("", engine=engine)
    task = asyncio.create_task(client.connect(silent))
    await eventually(lambda: client.swarm._upgrading, "the attempt")
    task.cancel()
    await asyncio.wait([task])
    assert not client.swarm._upgrading


@pytest.mark.both_loops
async def test_a_peer_that_reads_no_more_fails_the_writer(nodes: Nodes, engine: str) -> None:
    taken: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()
    server = await nodes.start(QUIC, engine=engine)

    async def take(stream: Stream) -> None:
        taken.set_result(stream)
        await done.wait()

    server.handle(TAKE, take)
    client = await nodes.start("", engine=engine)
    stream = await client.open(server.listen_addrs[0], TAKE)
    far = await taken
    far_driver = driver_of(far.connection)
    session = far_driver.session
    assert isinstance(session, Session)
    session._engine.stop(far.id, 0x77)
    far_driver.flush()
    with pytest.raises(StreamReset, match="reads no more") as caught:
        await write_for_ever(stream)
    assert caught.value.wire_code == 0x77
    await far.write(b"goes on")
    assert await stream.read(100) == b"goes on"
    done.set()


async def write_for_ever(stream: Stream) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await stream.write(bytes(1000))
            await asyncio.sleep(0)


@pytest.mark.parametrize("reader", ENGINES)
async def test_an_unread_stream_holds_its_sender_back(nodes: Nodes, engine: str, reader: str) -> None:
    taken: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()
    server = await nodes.start(
        QUIC, engine=reader, stream_window_bytes=256 * KIB, connection_window_bytes=512 * KIB
    )
    client = await nodes.start("", engine=engine)

    async def take(stream: Stream) -> None:
        taken.set_result(stream)
        await done.wait()

    server.handle(TAKE, take)
    stream = await client.open(server.listen_addrs[0], TAKE)
    payload = os.urandom(8 * MIB)
    writing = asyncio.create_task(stream.write(payload))
    far = await taken
    memory = server.swarm.memory
    await eventually(lambda: memory.used_bytes >= 128 * KIB, "a window's fill")
    await round_trip(client, server)
    assert not writing.done()
    assert memory.peak_bytes <= 1 * MIB
    async with asyncio.timeout(30):
        assert await far.read_exactly(len(payload)) == payload
        await writing
    await eventually(lambda: memory.used_bytes == 0, "nothing held")
    done.set()


async def test_silence_ends_it(nodes: Nodes, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server, client, connection = await nodes.pair(
        QUIC, engine=engine, idle_timeout_s=1.0, quic_keepalive_s=0.2
    )
    inbound = await connected(server, client)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await connection.ended()
    monkeypatch.setattr(driver_of(inbound)._endpoint, "send", lambda _datagrams: True)
    async with asyncio.timeout(PATIENCE_S):
        await connection.ended()
    assert isinstance(connection.close_reason, TimedOut)


async def test_an_upgrade_has_its_time(nodes: Nodes, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that says hello and no more."""
    server = await nodes.start(QUIC, engine=engine, upgrade_timeout_s=0.3)
    client = await nodes.start("", engine=engine, address_timeout_s=1.0)
    monkeypatch.setattr(QuicDriver, "datagrams", _deaf_dialer(QuicDriver.datagrams))
    failure = await failure_of(client, str(server.listen_addrs[0]))
    assert failure.stage in ("connect", "quic handshake")
    await eventually(lambda: server.counters.total("upgrade.failed") == 1, "the end on the other side")


def _deaf_dialer(datagrams: object) -> object:
    def take(self: QuicDriver, data: bytes, segment_bytes: int, address: object, now: float) -> None:
        owner = self._owner
        assert isinstance(owner, Connection)
        if owner.inbound:
            datagrams(self, data, segment_bytes, address, now)  # type: ignore[operator]

    return take


async def test_every_stranger_can_be_asked_for_its_address(
    nodes: Nodes, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module.Load, "__init__", _always_retry)
    server = await nodes.start(QUIC, engine=engine)
    for dialer in ENGINES:
        client = await nodes.start("", engine=dialer)
        await round_trip(client, server)
    assert server.counters.total("quic.answered:retry") >= len(ENGINES)


def _always_retry(self: endpoint_module.Load, _retry_above: int, max_handshakes: int) -> None:
    object.__setattr__(self, "retry_above", -1)
    object.__setattr__(self, "max_handshakes", max_handshakes)


@pytest.mark.parametrize("dialer", ENGINES)
async def test_a_listener_that_started_again_says_so(nodes: Nodes, engine: str, dialer: str) -> None:
    """It knows nothing of the connection; its stateless reset ends it at once instead of after the idle timeout."""
    server = await nodes.start(QUIC, engine=engine)
    client = await nodes.start("", engine=dialer)
    connection = await client.connect(server.listen_addrs[0])
    inbound = await connected(server, client)
    await round_trip(client, server)
    driver = driver_of(inbound)
    endpoint = driver._endpoint
    for connection_id in list(driver._ids):
        endpoint._receivers.pop(connection_id, None)
    endpoint._peers.clear()
    stream = asyncio.create_task(client.open(connection, "/echo/1.0.0"))
    async with asyncio.timeout(PATIENCE_S):
        await connection.ended()
    await asyncio.wait([stream])
    stream.exception()
    assert "no longer knows this connection" in str(connection.close_reason)
    inbound.abort(Closed("the test is over"))


async def test_rubbish_harms_nobody(nodes: Nodes, engine: str) -> None:
    server, client, connection = await nodes.pair(QUIC, engine=engine)
    port = int(server.swarm.listen_addresses[0].value("udp") or 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for number in range(2000):
            stranger.sendto(os.urandom(20 + number % 1400), ("127.0.0.1", port))
            if number % 100 == 0:
                await asyncio.sleep(0)
    await round_trip(client, server)
    assert not connection.closed
    assert server.counters.total("quic.dropped") + server.counters.total("quic.answered") > 0


async def test_what_was_written_leaves_before_the_end(nodes: Nodes, engine: str) -> None:
    received: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = await nodes.start(QUIC, engine=engine)

    async def take(stream: Stream) -> None:
        size = 0
        try:
            while chunk := await stream.read_chunk():
                size += len(chunk)
        finally:
            received.set_result(size)

    server.handle(TAKE, take)
    client = await nodes.start("", engine=engine)
    stream = await client.open(server.listen_addrs[0], TAKE)
    await stream.write(bytes(700 * KIB))
    await stream.close_write()
    await stream.connection.close()
    async with asyncio.timeout(PATIENCE_S):
        assert await received == 700 * KIB


async def test_closing_gives_up_on_a_peer_that_does_not_acknowledge(
    nodes: Nodes, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client, connection = await nodes.pair(QUIC, engine=engine)
    inbound = await connected(server, client)
    monkeypatch.setattr(driver_module, "CLOSE_S", 0.2)
    stream = await client.open(connection, "/echo/1.0.0")
    assert await exchange_part(stream, b"x") == b"x"
    monkeypatch.setattr(driver_of(inbound)._endpoint, "datagrams", lambda *_: None)
    await stream.write(bytes(900 * KIB))
    async with asyncio.timeout(PATIENCE_S):
        await connection.close()
    assert connection.closed
    inbound.abort(Closed("the test is over"))


async def exchange_part(stream: Stream, payload: bytes) -> bytes:
    await stream.write(payload)
    return await stream.read_exactly(len(payload))


async def test_hundreds_of_connections(nodes: Nodes, engine: str) -> None:
    server = await nodes.start(QUIC, engine=engine)
    clients = [await nodes.start("", engine=engine) for _ in range(30)]
    for _ in range(3):
        found = await asyncio.gather(*(each.connect(server.listen_addrs[0]) for each in clients))
        assert await asyncio.gather(*(echo_once(each) for each in found)) == [b"hello"] * 30
        await asyncio.gather(*(each.close() for each in found))
        await eventually(lambda: not server.connections, "the end of all")


async def echo_once(connection: Connection) -> bytes:
    async with await connection.open(["/echo/1.0.0"]) as stream:
        return await exchange(stream, b"hello")


async def test_over_ipv6(nodes: Nodes, engine: str) -> None:
    server = await nodes.start("/ip6/::1/udp/0/quic-v1", engine=engine)
    client = await nodes.start("", engine=engine)
    await round_trip(client, server)
    (connection,) = client.connections
    assert str(connection.remote).startswith("/ip6/::1/udp/")


MOVES = 10
"""Changes of address in a row that a listener has to follow."""


@pytest.mark.parametrize("dialer", ENGINES)
async def test_a_connection_outlives_a_change_of_address(nodes: Nodes, engine: str, dialer: str) -> None:
    server = await nodes.start(QUIC, engine=engine)
    client = await nodes.start("", engine=dialer)
    port = int(server.swarm.listen_addresses[0].value("udp") or 0)
    nat = Rebinding(("127.0.0.1", port))
    try:
        connection = await client.connect(f"/ip4/127.0.0.1/udp/{nat.port}/quic-v1/p2p/{server.peer_id}")
        async with await client.open(connection, "/echo/1.0.0") as stream:
            assert await exchange_part(stream, b"before") == b"before"
            for number in range(MOVES):
                nat.rebind()
                async with asyncio.timeout(PATIENCE_S):
                    payload = number.to_bytes(2, "big") * 50_000
                    assert await exchange_part(stream, payload) == payload
        assert not connection.closed
        assert len(server.connections) == 1
        await client.stop()
    finally:
        nat.close()
