"""Dialling and listening: what works, and what a failure says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from mesh.errors import AddressInUse, DialError, DialFailure, NetworkError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.memory import MemoryTransport
from mesh.network.tcp import TcpTransport
from tests.network.live import MEMORY, QUIC, TCP, Nodes, connected, eventually, round_trip

STRANGER = PeerId.from_public_key(PrivateKey.from_seed(b"s" * 32).public)


def ipv6_works() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


@contextlib.asynccontextmanager
async def tcp_peer(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A TCP server of the test's own; gives its address."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await serve(reader, writer)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with server:
        yield f"/ip4/127.0.0.1/tcp/{server.sockets[0].getsockname()[1]}"
        server.close()


async def silence(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """A peer that says nothing."""


async def failure_of(awaited: Awaitable[object]) -> DialFailure:
    """The only failure of a dial that must fail soon."""
    with pytest.raises(DialError) as caught:
        async with asyncio.timeout(10):
            await awaited
    [failure] = caught.value.failures
    assert str(failure) in str(caught.value)
    return failure


@pytest.mark.both_loops
@pytest.mark.parametrize("address", [TCP, MEMORY, "/ip6/::1/tcp/0"], ids=["ip4", "memory", "ip6"])
async def test_every_transport_connects(nodes: Nodes, address: str) -> None:
    if "ip6" in address and not ipv6_works():
        pytest.skip("THIS MACHINE HAS NO ::1, so TCP over IPv6 is not tested")
    server, client, connection = await nodes.pair(address)
    assert str(connection.remote) == str(server.swarm.listen_addresses[0])
    assert (await connected(server, client)).remote == connection.local
    assert await round_trip(client, server) > 0


async def test_a_name_is_resolved(nodes: Nodes) -> None:
    server = await nodes.start()
    client = await nodes.start("")
    port = server.swarm.listen_addresses[0].value("tcp")
    try:
        connection = await client.connect(f"/dns4/localhost/tcp/{port}/p2p/{server.peer_id}")
        assert connection.peer == server.peer_id
    finally:
        await asyncio.get_running_loop().shutdown_default_executor()


async def test_several_listen_addresses(nodes: Nodes) -> None:
    server = await nodes.start(TCP, TCP, MEMORY)
    assert len(set(server.swarm.listen_addresses)) == 3
    for address in server.listen_addrs:
        client = await nodes.start("")
        assert (await client.connect(address)).peer == server.peer_id


async def test_refused(nodes: Nodes) -> None:
    client = await nodes.start("")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"/ip4/127.0.0.1/tcp/{closed.getsockname()[1]}"
        failure = await failure_of(client.connect(address))
    assert failure.address == address
    assert failure.stage == "connect"
    assert "refused" in failure.cause.lower() or "connect call failed" in failure.cause.lower()
    assert client.counters["dial.failed"] == 1


async def test_nobody_listens_in_memory(nodes: Nodes) -> None:
    client = await nodes.start("")
    failure = await failure_of(client.connect("/memory/77"))
    assert failure == DialFailure("/memory/77", "connect", "nobody listens at /memory/77")


async def test_a_silent_peer_times_out_in_its_stage(nodes: Nodes) -> None:
    client = await nodes.start("", upgrade_timeout_s=0.05)
    async with tcp_peer(silence) as address:
        failure = await failure_of(client.connect(address))
    assert failure.address == address
    assert failure.stage == "security negotiation"
    assert "0.05 s" in failure.cause
    await eventually(lambda: client.counters["upgrade.failed:security negotiation"] == 1)


async def test_the_dial_limit_ends_a_silent_peer_too(nodes: Nodes) -> None:
    client = await nodes.start("", dial_timeout_s=0.05)
    async with tcp_peer(silence) as address:
        with pytest.raises(DialError):
            await client.connect(address)


async def test_no_answer_to_the_connect_itself(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_arguments: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(TcpTransport, "dial", never)
    client = await nodes.start("", connect_timeout_s=0.05)
    failure = await failure_of(client.connect("/ip4/127.0.0.1/tcp/9"))
    assert (failure.stage, failure.cause) == ("connect", "no answer within 0.05 s")


@pytest.mark.parametrize(
    ("said", "stage", "attempts"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n" * 4, "security negotiation", 1),
        (b"\x13/multistream/1.0.0\n\x03na\n", "security negotiation", 2),
        (b"\x13/multistream/1.0.0\n\x07/noise\n\x00\x03abc", "noise handshake", 1),
        (b"\x13/multistream/1.0.0\n\x07/noise\n\x00\x60" + bytes(96), "noise handshake", 1),
    ],
    ids=["another protocol", "refusal", "short message", "low order point"],
)
async def test_a_peer_that_answers_wrongly(nodes: Nodes, said: bytes, stage: str, attempts: int) -> None:
    """Each refused security protocol is an attempt of its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)

    client = await nodes.start("")
    async with tcp_peer(answer) as address:
        failure = await failure_of(client.connect(address))
    assert failure.stage == stage
    await eventually(lambda: client.counters[f"upgrade.failed:{stage}"] == attempts)


@pytest.mark.both_loops
async def test_a_peer_that_hangs_up(nodes: Nodes) -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    client = await nodes.start("")
    async with tcp_peer(hang_up) as address:
        failure = await failure_of(client.connect(address))
    assert failure.stage in ("connect", "security negotiation"), (
        "a reset may come before the connect is reported"
    )
    assert failure.cause.endswith("possibly its connection limit, so try again later")


async def test_the_wrong_peer_answers(nodes: Nodes, listen: str) -> None:
    server = await nodes.start(listen)
    client = await nodes.start("")
    address = f"{server.swarm.listen_addresses[0]}/p2p/{STRANGER}"
    failure = await failure_of(client.connect(address))
    assert failure.stage == ("quic handshake" if listen == QUIC else "noise handshake")
    assert str(STRANGER) in failure.cause
    assert str(server.peer_id) in failure.cause
    assert not client.connections
    await eventually(lambda: server.counters.total("upgrade.failed") == 1)


async def test_an_unsupported_address(nodes: Nodes) -> None:
    client = await nodes.start("")
    failure = await failure_of(client.connect("/ip4/127.0.0.1/udp/9/quic"))
    assert failure.stage == "address"
    assert "transport" in failure.cause


async def test_every_address_has_its_failure(nodes: Nodes) -> None:
    client = await nodes.start("")
    with pytest.raises(DialError) as caught:
        await client.connect(STRANGER, ["/memory/1", "/ip4/127.0.0.1/udp/9/quic"])
    assert {(each.address, each.stage) for each in caught.value.failures} == {
        ("/memory/1", "connect"),
        ("/ip4/127.0.0.1/udp/9/quic", "address"),
    }
    assert str(STRANGER) in str(caught.value)


async def test_the_next_address_is_tried(nodes: Nodes) -> None:
    server = await nodes.start(MEMORY)
    client = await nodes.start("")
    connection = await client.connect(server.peer_id, ["/memory/1", server.swarm.listen_addresses[0]])
    assert connection.peer == server.peer_id


async def test_an_unknown_peer_has_no_address(nodes: Nodes) -> None:
    client = await nodes.start("")
    with pytest.raises(DialError, match="no address") as caught:
        await client.connect(STRANGER)
    assert caught.value.failures == ()


async def test_dialling_oneself(nodes: Nodes) -> None:
    node = await nodes.start()
    with pytest.raises(UsageError, match="this node itself"):
        await node.connect(node.listen_addrs[0])
    failure = await failure_of(node.connect(node.swarm.listen_addresses[0]))
    assert "own identity" in failure.cause or "closed" in failure.cause or "lost" in failure.cause


async def test_a_cancelled_dial_leaves_nothing(nodes: Nodes) -> None:
    client = await nodes.start("")
    accepted = asyncio.Event()

    async def note(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        accepted.set()

    async with tcp_peer(note) as address:
        dialling = asyncio.create_task(client.connect(address))
        await accepted.wait()
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        async with asyncio.timeout(1):
            await client.stop()


async def test_an_address_in_use(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        with pytest.raises(AddressInUse, match="another program listens there"):
            await nodes.start(address)


async def test_a_memory_number_in_use(nodes: Nodes) -> None:
    await nodes.start("/memory/5")
    with pytest.raises(AddressInUse, match="/memory/5"):
        await nodes.start("/memory/5")


async def test_an_address_that_is_not_ours(nodes: Nodes) -> None:
    with pytest.raises(NetworkError, match="cannot listen"):
        await nodes.start("/ip4/192.0.2.1/tcp/0")


async def test_listening_needs_a_transport(nodes: Nodes) -> None:
    with pytest.raises(UsageError, match="no transport"):
        await nodes.start("/ip4/127.0.0.1/udp/0/quic")


async def test_tcp_takes_only_its_own_addresses() -> None:
    with pytest.raises(UsageError, match="not a TCP address"):
        await TcpTransport(1).listen(Multiaddr.parse("/memory/1"), lambda: pytest.fail("accepted"))


async def test_nodes_of_different_memory_do_not_meet(nodes: Nodes) -> None:
    server = await nodes.start("/memory/9")
    async with Nodes() as others:
        others.memory = MemoryTransport()
        client = await others.start("")
        assert (await failure_of(client.connect("/memory/9"))).stage == "connect"
    assert not server.connections


async def test_more_connections_than_allowed_are_refused(nodes: Nodes) -> None:
    server = await nodes.start(max_connections=2)
    clients = [await nodes.start("") for _ in range(5)]
    results = await asyncio.gather(
        *(client.connect(server.listen_addrs[0]) for client in clients), return_exceptions=True
    )
    await eventually(lambda: server.counters.total("connection.refused") == 3)
    assert len(server.connections) == 2
    assert all(not isinstance(each, BaseException) or isinstance(each, DialError) for each in results)


async def test_a_connection_is_used_again(nodes: Nodes) -> None:
    server, client, connection = await nodes.pair()
    assert await client.connect(server.peer_id) is connection
    assert await client.connect(server.listen_addrs[0]) is connection
    assert await client.connect(str(server.peer_id)) is connection
    assert await client.connect(connection) is connection
    assert client.swarm.peers == [server.peer_id]


async def test_closing_a_connection_forgets_it_at_both_ends(nodes: Nodes, listen: str) -> None:
    server, client, connection = await nodes.pair(listen)
    gone: list[object] = []
    server.swarm.observers.disconnected.append(gone.append)
    await connection.close()
    await eventually(lambda: not client.connections and not server.connections and gone)
    assert connection.closed
    assert server.counters.total("connection.closed") == 1
    again = await client.connect(server.peer_id)
    assert again is not connection, "what identify told of the peer's addresses is used"


async def test_lost_connections_leave_nothing_with_the_node(nodes: Nodes) -> None:
    server, client, connection = await nodes.pair(MEMORY)
    scope = server._scope
    assert scope is not None
    before = len(scope._children or ())
    for _ in range(5):
        await connection.close()
        await eventually(lambda: not server.connections)
        connection = await client.connect(server.listen_addrs[0])
    await eventually(lambda: server.connections)
    await eventually(lambda: len(scope._children or ()) <= before)
