"""At its limit of connections a node refuses, says so on its side, and lets the dialer guess right on the other."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from mesh.errors import DialError, DialFailure
from mesh.node import Node
from tests.network.live import MEMORY, TCP, Nodes, connected, eventually, round_trip

LISTEN = [TCP, MEMORY, "/ip4/127.0.0.1/tcp/0/ws"]


async def refused(client: Node, server: Node) -> DialFailure:
    """What the dialer tells of the only address."""
    with pytest.raises(DialError) as caught:
        async with asyncio.timeout(10):
            await client.connect(server.listen_addrs[0])
    [failure] = caught.value.failures
    return failure


async def full(nodes: Nodes, count: int, *listen: str, **settings: Any) -> tuple[Node, list[Node]]:
    """A server and as many clients as connect to it."""
    server = await nodes.start(*listen, **settings)
    clients = [await nodes.start("") for _ in range(count)]
    await asyncio.gather(*(client.connect(server.listen_addrs[0]) for client in clients))
    await asyncio.gather(*(connected(server, client) for client in clients))
    return server, clients


@pytest.mark.both_loops
@pytest.mark.parametrize("address", LISTEN, ids=["tcp", "memory", "ws"])
async def test_the_connection_after_the_last_is_refused(
    nodes: Nodes, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server, clients = await full(nodes, 3, address, max_connections=3)
    for number in range(1, 4):
        failure = await refused(await nodes.start(""), server)
        assert failure.address == str(server.swarm.listen_addresses[0])
        assert failure.stage in ("connect", "security negotiation", "websocket handshake")
        assert "possibly its connection limit" in failure.cause
        await eventually(lambda: server.counters["connection.refused:connections"] == number)  # noqa: B023
    assert server.swarm.resources.refusals == {("node", "connections"): 3}
    assert server.swarm.resources.refused_at == {("node", "connections"): 3}
    told = [each for each in caplog.records if each.name == "mesh.network.swarm"]
    assert {each.levelno for each in told} == {logging.INFO}
    assert [each.getMessage().partition(" was refused: ")[2] for each in told] == [
        "node: connections is limited to 3 (raise network.max_connections)"
    ] * 3
    assert all(each.getMessage().startswith("a connection from /") for each in told)
    for client in clients:
        assert await round_trip(client, server) > 0
    await clients[0].stop()
    await eventually(lambda: len(server.connections) == 2, "room for another")
    assert await round_trip(await nodes.start(""), server) > 0


async def test_a_limit_of_a_resource_scope(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server, _ = await full(nodes, 2, overrides=("system.conns=2",))
    assert "possibly its connection limit" in (await refused(await nodes.start(""), server)).cause
    await eventually(lambda: server.counters["connection.refused:conns"] == 1)
    assert server.swarm.resources.refusals == {("system", "conns"): 1}
    assert server.swarm.resources.refused_at == {("system", "conns"): 2}
    assert "system: conns is limited to 2 (raise system.conns in limits.overrides)" in caplog.text


async def test_a_limit_without_scaled_ones(nodes: Nodes) -> None:
    server, _ = await full(nodes, 2, scale="unlimited", max_connections=2)
    assert "possibly its connection limit" in (await refused(await nodes.start(""), server)).cause
    await eventually(lambda: server.swarm.resources.refusals == {("node", "connections"): 1})


async def test_connections_in_their_upgrade_count(nodes: Nodes) -> None:
    server = await nodes.start(max_connections=4)
    clients = [await nodes.start("") for _ in range(12)]
    results = await asyncio.gather(
        *(client.connect(server.listen_addrs[0]) for client in clients), return_exceptions=True
    )
    failed = [each for each in results if isinstance(each, DialError)]
    assert (len(failed), len(server.connections)) == (8, 4)
    assert all("possibly its connection limit" in str(each) for each in failed)
    assert server.swarm.resources.refusals["node", "connections"] == 8


async def test_our_own_limit_is_called_ours(nodes: Nodes) -> None:
    servers = [await nodes.start() for _ in range(2)]
    client = await nodes.start("", max_connections=1)
    await client.connect(servers[0].listen_addrs[0])
    failure = await refused(client, servers[1])
    assert failure.stage == "own limit"
    assert failure.cause == "node: connections is limited to 1 (raise network.max_connections)"
    await client.connections[0].close()
    connection = await client.connect(servers[1].peer_id, servers[1].swarm.listen_addresses)
    assert connection.peer == servers[1].peer_id, "our own limit is no reason to leave an address alone"
