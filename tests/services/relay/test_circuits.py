"""Circuits between our own nodes, over real sockets: dialling, listening, limits, preference, endings."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from mesh.errors import (
    DialError,
    LimitedConnection,
    NetworkError,
    ProtocolNotSupported,
    RelayRefused,
    StreamReset,
    UsageError,
)
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.circuit import hop
from mesh.services import echo as plain_echo
from tests.network.live import MEMORY, PATIENCE_S, QUIC, TCP, Nodes, connected, eventually, exchange
from tests.services.relay.network import (
    LOUD,
    circuit_to,
    client_of,
    dial_through,
    echo,
    reached_through,
    relay_node,
    server_of,
)

MIB = 1 << 20

EVERY_WAY = pytest.mark.parametrize("listen", [TCP, MEMORY, QUIC], ids=["tcp", "memory", "quic"])


@EVERY_WAY
@pytest.mark.both_loops
async def test_two_nodes_meet_at_a_relay(nodes: Nodes, listen: str) -> None:
    relay = await relay_node(nodes, listen)
    target = await reached_through(nodes, relay)
    assert target.listen_addrs == [circuit_to(target)]
    assert str(circuit_to(target)) == f"{relay.listen_addrs[0]}/p2p-circuit/p2p/{target.peer_id}"
    source = await nodes.start("")
    connection = await dial_through(source, target)
    assert (connection.peer, connection.relay, connection.inbound) == (target.peer_id, relay.peer_id, False)
    assert (connection.security, connection.muxer) == ("noise", "yamux")
    inbound = await connected(target, source)
    assert (inbound.peer, inbound.relay, inbound.inbound) == (source.peer_id, relay.peer_id, True)
    async with await source.open(target.peer_id, LOUD, allow_limited=True) as stream:
        assert await exchange(stream, b"through the relay") == b"through the relay"
    async for trip in target.ping(source.peer_id, count=1):
        assert trip is not None
    assert server_of(relay).reservations.circuits == 1
    assert server_of(relay).transferred_bytes > 1000
    await connection.close()
    await eventually(lambda: server_of(relay).reservations.circuits == 0, "the end of the circuit")
    assert relay.counters["relay.ended:closed"] == 1


async def test_a_limited_connection_knows_what_is_left_and_carries_only_what_was_made_for_it(
    nodes: Nodes,
) -> None:
    relay = await relay_node(nodes, circuit_s=60.0, circuit_bytes=64 * 1024)
    target = await reached_through(nodes, relay)
    source = await nodes.start("")
    connection = await dial_through(source, target)
    limited = connection.limited
    assert limited is not None
    assert 0 < (limited.remaining_s(time.monotonic()) or 0) <= 60.0
    assert 0 < (limited.remaining_send_bytes or 0) < 64 * 1024
    assert 0 < (limited.remaining_receive_bytes or 0) < 64 * 1024
    with pytest.raises(LimitedConnection):
        await source.open(target.peer_id, LOUD)
    with pytest.raises(ProtocolNotSupported):
        async with await connection.open([plain_echo.PROTOCOL_ID], allow_limited=True) as stream:
            await stream.read()


async def test_without_limits_a_circuit_is_a_connection_like_any_other(nodes: Nodes) -> None:
    relay = await relay_node(nodes, circuit_s=0.0, circuit_bytes=0)
    target = await reached_through(nodes, relay)
    source = await nodes.start("")
    connection = await dial_through(source, target)
    assert connection.limited is None
    payload = bytes(range(256)) * 4096 * 4
    async with await source.open(target.peer_id, plain_echo.PROTOCOL_ID) as stream:

        async def send() -> None:
            await stream.write(payload)
            await stream.close_write()

        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            group.create_task(send())
            received = await stream.read_all(len(payload))
    assert received == payload


async def test_a_circuit_ends_with_its_time(nodes: Nodes) -> None:
    relay = await relay_node(nodes, circuit_s=1.0)
    target = await reached_through(nodes, relay)
    source = await nodes.start("")
    connection = await dial_through(source, target)
    async with asyncio.timeout(PATIENCE_S):
        await connection.ended()
    assert relay.counters["relay.ended:expired"] == 1
    await eventually(lambda: not target.swarm.is_connected(source.peer_id), "the end at the target")
    assert server_of(relay).reservations.circuits == 0


async def test_a_circuit_passes_no_more_than_its_bytes(nodes: Nodes) -> None:
    relay = await relay_node(nodes, circuit_bytes=16 * 1024)
    target = await reached_through(nodes, relay)
    source = await nodes.start("")
    connection = await dial_through(source, target)
    stream = await connection.open([LOUD], allow_limited=True)
    with pytest.raises((NetworkError, StreamReset)):
        await exchange(stream, bytes(MIB))
    async with asyncio.timeout(PATIENCE_S):
        await connection.ended()
    await eventually(lambda: server_of(relay).reservations.circuits == 0, "the end of the circuit")
    assert server_of(relay).transferred_bytes <= 2 * 16 * 1024


async def test_a_direct_connection_is_preferred_as_soon_as_there_is_one(nodes: Nodes) -> None:
    relay = await relay_node(nodes)
    target = await reached_through(nodes, relay)
    source = await nodes.start()
    relayed = await dial_through(source, target)
    assert await target.connect(source.peer_id) is target.swarm.connection_to(source.peer_id)
    direct = await target.connect(source.listen_addrs[0])
    assert direct.relay is None
    assert target.swarm.connection_to(source.peer_id) is direct
    await eventually(lambda: source.swarm.connection_to(target.peer_id) is not relayed, "the other end")
    async with await source.open(target.peer_id, LOUD) as stream:
        assert stream.connection.relay is None
        assert await exchange(stream, b"direct") == b"direct"
    await direct.close()
    await eventually(lambda: source.swarm.connection_to(target.peer_id) is relayed, "the fallback")


async def test_whoever_the_relay_cannot_reach_is_named_with_its_status(nodes: Nodes) -> None:
    relay = await relay_node(nodes)
    source = await nodes.start("")
    nobody = PeerId.from_public_key(PrivateKey.generate().public)
    with pytest.raises(DialError, match=r"NO_RESERVATION \(204\)"):
        await source.connect(f"{relay.listen_addrs[0]}/p2p-circuit/p2p/{nobody}")
    with pytest.raises(DialError, match="whom to reach"):
        await source.connect(f"{relay.listen_addrs[0]}/p2p-circuit")
    plain = await nodes.start()
    with pytest.raises(DialError, match="supports none"):
        await source.connect(f"{plain.listen_addrs[0]}/p2p-circuit/p2p/{nobody}")
    with pytest.raises(DialError, match="itself"):
        await source.connect(f"/p2p/{source.peer_id}/p2p-circuit/p2p/{nobody}")


async def test_the_ends_agree_on_security_that_the_relay_does_not_know_of(nodes: Nodes) -> None:
    relay = await relay_node(nodes, security=("noise",))
    target = await reached_through(nodes, relay, security=("tls", "noise"))
    connection = await dial_through(await nodes.start("", security=("tls", "noise")), target)
    assert connection.security == "tls"
    async with await connection.open([LOUD], allow_limited=True) as stream:
        assert await exchange(stream, b"secret") == b"secret"


async def test_a_refused_security_protocol_costs_another_circuit(nodes: Nodes) -> None:
    relay = await relay_node(nodes, QUIC)
    target = await reached_through(nodes, relay, security=("tls",))
    connection = await dial_through(await nodes.start("", security=("noise", "tls")), target)
    assert connection.security == "tls"
    assert relay.counters["relay.circuit:opened"] == 2
    await eventually(lambda: server_of(relay).reservations.circuits == 1, "the end of the first")


async def test_a_circuit_joins_different_transports(nodes: Nodes) -> None:
    relay = await relay_node(nodes, TCP, QUIC, circuit_s=0.0, circuit_bytes=0)
    over_tcp, over_quic = relay.listen_addrs
    target = await nodes.start("", relays=(str(over_quic),))
    target.handle(LOUD, echo)
    await eventually(lambda: client_of(target).held, "the reservation")
    source = await nodes.start("")
    await source.connect(over_tcp)
    await dial_through(source, target)
    async with await source.open(target.peer_id, LOUD) as stream:
        assert await exchange(stream, bytes(100_000)) == bytes(100_000)


async def test_who_listens_at_relays_by_setting_does_so_once(nodes: Nodes) -> None:
    relay = await relay_node(nodes)
    target = await nodes.start("/p2p-circuit", relays=(str(relay.listen_addrs[0]),))
    await eventually(lambda: client_of(target).held, "the reservation")
    assert target.listen_addrs == [circuit_to(target)]
    with pytest.raises(UsageError, match=r"relay\.relays"):
        await nodes.start(f"{relay.listen_addrs[0]}/p2p-circuit")


async def test_nobody_is_reached_twice_through_relays(nodes: Nodes) -> None:
    relays = [await relay_node(nodes), await relay_node(nodes)]
    target = await reached_through(nodes, *relays)
    source = await nodes.start("")
    connection = await dial_through(source, target)
    assert connection.relay is not None
    assert source.swarm.manager.info(connection.relay) is not None
    everywhere = [each.without_peer() for each in target.listen_addrs]
    assert await source.swarm.dial(target.peer_id, everywhere) is connection
    with pytest.raises(DialError):
        await source.swarm.dial(target.peer_id, [Multiaddr.parse("/ip4/127.0.0.1/tcp/1"), *everywhere])
    assert sum(server_of(each).reservations.circuits for each in relays) == 1
    tags = source.swarm.manager.info(connection.relay)
    assert tags is not None
    assert tags.value == 5
    await connection.close()
    tags = source.swarm.manager.info(connection.relay)
    assert tags is not None
    assert tags.value == 0


async def test_a_relay_that_is_connected_needs_no_address(nodes: Nodes) -> None:
    relay = await relay_node(nodes)
    target = await reached_through(nodes, relay)
    source = await nodes.start("")
    with pytest.raises(DialError):
        await source.connect(f"/p2p/{relay.peer_id}/p2p-circuit/p2p/{target.peer_id}")
    await source.connect(relay.listen_addrs[0])
    connection = await source.connect(f"/p2p/{relay.peer_id}/p2p-circuit/p2p/{target.peer_id}")
    assert connection.relay == relay.peer_id


async def test_nothing_is_reserved_or_dialled_over_a_circuit(nodes: Nodes) -> None:
    outer = await relay_node(nodes)
    inner = await nodes.start("", relays=(str(outer.listen_addrs[0]),), relay_serve=True)
    await eventually(lambda: client_of(inner).held, "the reservation")
    target = await nodes.start("")
    connection = await dial_through(target, inner)

    connection.limited = None  # an unlimited circuit would let the question through
    with pytest.raises(RelayRefused, match="PERMISSION_DENIED"):
        await hop.reserve(connection, target.peer_id)
    with pytest.raises(RelayRefused, match="PERMISSION_DENIED"):
        await hop.connect(connection, outer.peer_id)


async def test_circuits_survive_the_end_of_the_reservation_and_end_with_the_relay(nodes: Nodes) -> None:
    relay = await relay_node(nodes)
    target = await reached_through(nodes, relay)
    source = await nodes.start("")
    connection = await dial_through(source, target)
    await client_of(target).stop()
    async with await source.open(target.peer_id, LOUD, allow_limited=True) as stream:
        assert await exchange(stream, b"still") == b"still"
    await relay.stop()
    async with asyncio.timeout(PATIENCE_S):
        await connection.ended()
    assert isinstance(connection.close_reason, NetworkError)
    await eventually(lambda: not target.connections, "the end at the target")


async def test_coming_and_going_leaves_nothing(nodes: Nodes) -> None:
    relay = await relay_node(nodes, max_circuits_per_peer=1000)
    targets = [await reached_through(nodes, relay) for _ in range(3)]
    rng = random.Random(7)

    async def visit(number: int) -> None:
        source = await nodes.start("")
        target = rng.choice(targets)
        connection = await source.connect(circuit_to(target))
        if number % 2:
            async with await source.open(target.peer_id, LOUD, allow_limited=True) as stream:
                await exchange(stream, bytes(rng.randrange(1, 20_000)))
        how = number % 4
        if how == 0:
            await connection.close()
        elif how == 1:
            connection.abort(NetworkError("the source left"))
        elif how == 2:
            (await connected(target, source)).abort(NetworkError("the target threw it out"))
        await source.stop()

    async with asyncio.timeout(PATIENCE_S * 3), asyncio.TaskGroup() as group:
        for number in range(24):
            group.create_task(visit(number))
    books = server_of(relay).reservations
    await eventually(lambda: not books.circuits, "the end of all circuits")
    assert relay.counters["relay.circuit:opened"] == relay.counters["relay.circuit:closed"] == 24
    for target in targets:
        await eventually(lambda target=target: len(target.connections) == 1, "the end at a target")  # type: ignore[misc]
    await eventually(lambda: relay.swarm.memory.used_bytes == 0, "the release")
    assert len(relay.connections) == 3
    assert len(books) == 3
