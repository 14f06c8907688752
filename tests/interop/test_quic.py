"""A Go peer over quic-v1, whoever dials, with both engines: pings, 256 MiB with checksums, a thousand streams, ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.codecs.keys import KeyType
from mesh.errors import Closed, DialError, StreamReset
from mesh.identity.keys import PrivateKey
from mesh.network.stream import Stream
from mesh.services import echo
from tests.interop.peers import DIRECTIONS, GoPeer, daemon, meet
from tests.interop.test_transfer import COUNT_PROTOCOL, MIB, TRANSFER_S, send
from tests.network.live import QUIC, Nodes, eventually, exchange
from tests.network.quic.rebinding import Rebinding
from tools.interop_peers.process import CommandFailed

pytestmark = pytest.mark.interop

PINGS = 1000
BULK = pytest.mark.parametrize(
    ("engine", "size"),
    [
        pytest.param("qh3", 256 * MIB, id="qh3"),
        pytest.param("aioquic", 24 * MIB, id="aioquic"),
        pytest.param(
            "aioquic", 256 * MIB, id="aioquic-long", marks=[pytest.mark.long, pytest.mark.timeout(600)]
        ),
    ],
)
"""Each way; the slower engine moves less in the time a test has, and the rest in the long run."""
KEY_TYPES = ["ed25519", "secp256k1", "ecdsa", "rsa"]


@pytest.fixture(params=["qh3", "aioquic"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def go(_nothing_left: None) -> AsyncIterator[GoPeer]:
    async with GoPeer("--transport", "quic", "--unlimited") as peer:
        yield peer


@DIRECTIONS
async def test_pings_both_ways(nodes: Nodes, go: GoPeer, engine: str, we_dial: bool) -> None:
    node = await nodes.start(QUIC, engine=engine)
    connection = await meet(node, go, we_dial=we_dial)
    assert str(connection.remote).endswith("/quic-v1")
    trips = [each async for each in node.ping(connection, count=PINGS, interval_s=0)]
    assert len(trips) == PINGS
    assert None not in trips
    answer = await go.call("ping", peer=str(node.peer_id), count=PINGS)
    assert (answer["count"], answer["lost"]) == (PINGS, 0)
    about = await go.about(node)
    assert about["signed_record"]


@DIRECTIONS
@pytest.mark.parametrize("key_type", KEY_TYPES)
async def test_every_type_of_key(nodes: Nodes, engine: str, we_dial: bool, key_type: str) -> None:
    """On both ends at once."""
    node = await nodes.start(QUIC, engine=engine, key=PrivateKey.generate(KeyType[key_type.upper()]))
    async with GoPeer("--transport", "quic", "--key", key_type) as go:
        connection = await meet(node, go, we_dial=we_dial)
        assert connection.remote_key.type is KeyType[key_type.upper()]
        async with await node.open(connection, echo.PROTOCOL_ID) as stream:
            assert await exchange(stream, b"over quic") == b"over quic"


@DIRECTIONS
@BULK
async def test_many_bytes_both_ways(nodes: Nodes, go: GoPeer, engine: str, size: int, we_dial: bool) -> None:
    node = await nodes.start(QUIC, engine=engine)
    connection = await meet(node, go, we_dial=we_dial)
    async with asyncio.timeout(TRANSFER_S), await node.open(connection, COUNT_PROTOCOL) as stream:
        sent = await send(stream, size)
        counted = await stream.read_all(64)
    assert (int.from_bytes(counted[:8], "big"), counted[8:].hex()) == (size, sent)
    answer = await go.call("echo", peer=str(node.peer_id), bytes=size, within_s=TRANSFER_S)
    assert answer["bytes"] == size
    assert connection.driver.session.held_bytes == 0


@DIRECTIONS
async def test_a_thousand_streams_at_once(nodes: Nodes, go: GoPeer, engine: str, we_dial: bool) -> None:
    """Ours wait for the peer's limit, as its do for ours."""
    node = await nodes.start(QUIC, engine=engine, scale="unlimited")
    connection = await meet(node, go, we_dial=we_dial)

    async def one(number: int) -> bool:
        payload = number.to_bytes(4, "big") * 256
        async with await node.open(connection, echo.PROTOCOL_ID) as stream:
            return await exchange(stream, payload) == payload

    async with asyncio.timeout(TRANSFER_S):
        assert all(await asyncio.gather(*map(one, range(1000))))
    answer = await go.call("streams", peer=str(node.peer_id), count=1000, concurrency=1000)
    assert (answer["count"], answer["failed"]) == (1000, 0), answer["first_error"]
    await eventually(lambda: connection.stream_count == 0, "the end of all streams")


async def test_streams_without_a_byte(nodes: Nodes, go: GoPeer, engine: str) -> None:
    node = await nodes.start(QUIC, engine=engine)
    connection = await meet(node, go)
    async with asyncio.timeout(TRANSFER_S):
        for _ in range(20):
            async with await node.open(connection, echo.PROTOCOL_ID) as stream:
                await stream.close_write()
                assert await stream.read_all(1) == b""
    await eventually(lambda: connection.stream_count == 0, "the end of all streams")


async def test_resets_reach_the_other_end(nodes: Nodes, go: GoPeer, engine: str) -> None:
    """Ours fail Go's service; one of ours that Go resets fails with Go's code."""
    node = await nodes.start(QUIC, engine=engine)

    async def fails(stream: Stream) -> None:
        await stream.read(1)
        stream.reset(0x1003)

    node.handle("/test/fails/1", fails)
    connection = await meet(node, go)
    stream = await node.open(connection, echo.PROTOCOL_ID)
    assert await exchange_part(stream, b"part") == b"part"
    stream.reset(0x42)
    failed = await go.event("stream_failed", lambda each: each["protocol"] == echo.PROTOCOL_ID)
    assert "0x42" in failed["error"] or "66" in failed["error"], failed
    with pytest.raises(CommandFailed, match=r"0x1003|4099"):
        await go.call("open", peer=str(node.peer_id), protocol="/test/fails/1", send_hex="00", read_bytes=1)


async def exchange_part(stream: Stream, payload: bytes) -> bytes:
    await stream.write(payload)
    return await stream.read_exactly(len(payload))


@DIRECTIONS
async def test_the_sudden_death_of_go(nodes: Nodes, go: GoPeer, engine: str, we_dial: bool) -> None:
    """Nothing tells of it: the next thing sent does, or the idle timeout."""
    node = await nodes.start(QUIC, engine=engine, idle_timeout_s=1.5, quic_keepalive_s=0.5)
    connection = await meet(node, go, we_dial=we_dial)
    stream = await node.open(connection, echo.PROTOCOL_ID)
    assert await exchange_part(stream, b"alive") == b"alive"
    await go.kill()
    with pytest.raises((Closed, StreamReset)):
        async with asyncio.timeout(20):
            await stream.read(1)
    async with asyncio.timeout(20):
        await connection.ended()
    assert not node.connections


@pytest.mark.long
async def test_go_notices_our_sudden_death(go: GoPeer, tmp_path: Path, engine: str) -> None:
    """After quic-go's idle timeout of 30 s."""
    flags = ("--listen", QUIC)
    config = tmp_path / "node"
    config.mkdir()
    (config / "config.toml").write_text(f'[quic]\nengine = "{engine}"\n')
    async with daemon(config, *flags) as running:
        address = next(each for each in running.addresses if "/quic-v1/" in each)
        await go.call("connect", addr=address)
        status, _ = await running.end(signal.SIGKILL)
        assert status == -signal.SIGKILL
        gone = await go.event("disconnected", lambda each: each["peer"] == running.peer, within_s=60)
        assert gone["peer"] == running.peer


async def test_go_moves_about(nodes: Nodes, go: GoPeer, engine: str) -> None:
    """Ten times, as behind a NAT that forgets; bytes go both ways at each place."""
    node = await nodes.start(QUIC, engine=engine)
    nat = Rebinding(("127.0.0.1", int(node.swarm.listen_addresses[0].value("udp") or 0)))
    try:
        await go.call("connect", addr=f"/ip4/127.0.0.1/udp/{nat.port}/quic-v1/p2p/{node.peer_id}")
        await eventually(lambda: node.connections, "the connection")
        (connection,) = node.connections
        for number in range(10):
            nat.rebind()
            answer = await go.call("echo", peer=str(node.peer_id), bytes=MIB, within_s=TRANSFER_S)
            assert answer["bytes"] == MIB
            async with asyncio.timeout(20), await node.open(connection, echo.PROTOCOL_ID) as stream:
                payload = number.to_bytes(2, "big") * 100_000
                assert await exchange(stream, payload) == payload
        assert node.connections == [connection]
        await go.call("close", peer=str(node.peer_id))
        await eventually(lambda: not node.connections, "the end")
    finally:
        nat.close()


async def test_what_nobody_reads_of_go_holds_back_nothing_else(nodes: Nodes, go: GoPeer, engine: str) -> None:
    taken: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()
    node = await nodes.start(
        QUIC, engine=engine, stream_window_bytes=128 * 1024, connection_window_bytes=256 * 1024
    )

    async def rests(stream: Stream) -> None:
        taken.set_result(stream)
        await done.wait()
        await stream.write(b"read")

    node.handle("/test/rests/1", rests)
    await meet(node, go)
    writing = asyncio.create_task(
        go.call("open", peer=str(node.peer_id), protocol="/test/rests/1", send_hex="5a" * MIB, read_bytes=4)
    )
    stream = await taken
    await eventually(lambda: node.swarm.memory.used_bytes >= 64 * 1024, "a window's fill")
    answer = await go.call("echo", peer=str(node.peer_id), bytes=4 * MIB, within_s=TRANSFER_S)
    assert answer["bytes"] == 4 * MIB
    answer = await go.call("ping", peer=str(node.peer_id), count=100)
    assert (answer["count"], answer["lost"]) == (100, 0)
    assert not writing.done()
    async with asyncio.timeout(TRANSFER_S):
        assert await stream.read_exactly(MIB) == b"\x5a" * MIB
        done.set()
        await writing


async def test_go_sees_our_orderly_end(nodes: Nodes, go: GoPeer, engine: str) -> None:
    node = await nodes.start(QUIC, engine=engine)
    connection = await meet(node, go)
    await connection.close()
    await go.event("disconnected", lambda each: each["peer"] == str(node.peer_id))


async def test_we_see_its_orderly_end(nodes: Nodes, go: GoPeer, engine: str) -> None:
    node = await nodes.start(QUIC, engine=engine)
    connection = await meet(node, go)
    await go.call("close", peer=str(node.peer_id))
    async with asyncio.timeout(10):
        await connection.ended()
    assert isinstance(connection.close_reason, Closed)


async def test_another_peer_than_dialled(nodes: Nodes, go: GoPeer, engine: str) -> None:
    node = await nodes.start("", engine=engine)
    stranger = nodes.make(QUIC).peer_id
    address = f"{go.address.rpartition('/p2p/')[0]}/p2p/{stranger}"
    with pytest.raises(DialError) as caught:
        await node.connect(address)
    failure = caught.value.failures[0]
    assert failure.stage == "quic handshake"
    assert str(go.peer_id) in failure.cause
    assert str(stranger) in failure.cause


async def test_dials_leave_from_the_listening_port(nodes: Nodes, go: GoPeer, engine: str) -> None:
    node = await nodes.start(QUIC, engine=engine)
    await meet(node, go)
    about = await go.call("peers")
    seen = next(each["addr"] for each in about["connections"] if each["peer"] == str(node.peer_id))
    assert seen.startswith(str(node.swarm.listen_addresses[0]))
