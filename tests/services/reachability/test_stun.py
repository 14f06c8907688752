"""STUN on a live node: NATs that a server pretends, silence, and answers from strangers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from mesh.config import AutonatSection, StunSection
from mesh.errors import ConfigError
from mesh.node import Node
from mesh.protocols.stun.behaviour import Behaviour, Filtering, Mapping, NatClass
from mesh.protocols.stun.message import HostPort, write_success
from tests.network.live import PATIENCE_S, QUIC, TCP, Nodes, configured, eventually
from tests.services.reachability.stun_server import StunServer

E = "endpoint-independent"


async def node_of(nodes: Nodes, *servers: str, listen: str = QUIC, run: bool = False) -> Node:
    config = replace(
        configured(listen),
        stun=StunSection(servers=servers),
        autonat=AutonatSection(ask=False, private_addresses=True),
    )
    node = Node(config, memory=nodes.memory)
    node.reachability.stun.rto_s, node.reachability.stun.most_sent = 0.05, 3
    nodes.push_async_callback(node.stop)
    if not run:
        node.reachability._stun_servers = ()
    await node.start()
    return node


async def examined(node: Node) -> Behaviour:
    async with asyncio.timeout(PATIENCE_S):
        return (await node.reachability.stun.test())["ip4"]


@pytest.mark.both_loops
async def test_from_the_socket_that_quic_listens_on(nodes: Nodes) -> None:
    async with StunServer() as server:
        node = await node_of(nodes, server.setting)
        found = await examined(node)
        port = node.swarm.udp_ports[0].endpoint.local[1]
        assert found.outside == ("127.0.0.1", port)
        assert (found.mapping, found.filtering) == (Mapping(E), Filtering(E))
        assert (found.translated, found.nat_class) == (False, NatClass.OPEN)
        assert node.reachability.nat_class is NatClass.OPEN
        assert [each.observers for each in node.reachability.addresses] == [2], "the server's two hosts"
        peer = await nodes.start("")
        connection = await peer.connect(node.listen_addrs[0])
        assert not connection.closed, "QUIC goes on over the socket"


@pytest.mark.both_loops
async def test_a_node_without_quic_asks_from_a_socket_of_its_own(nodes: Nodes) -> None:
    async with StunServer() as server:
        node = await node_of(nodes, server.setting, listen=TCP)
        assert (await examined(node)).nat_class is NatClass.OPEN
        assert node.reachability.punchable() == []


async def test_filters_and_maps_are_found(nodes: Nodes) -> None:
    async with StunServer(filters=True) as server:
        found = await examined(await node_of(nodes, server.setting))
        assert (found.filtering, found.nat_class) == (
            Filtering.ADDRESS_AND_PORT_DEPENDENT,
            NatClass.RESTRICTED,
        )
    async with StunServer(maps=True) as server:
        found = await examined(await node_of(nodes, server.setting))
        assert (found.mapping, found.nat_class) == (
            Mapping.ADDRESS_AND_PORT_DEPENDENT,
            NatClass.SYMMETRIC,
        )


async def test_several_servers_and_some_that_are_no_use(nodes: Nodes) -> None:
    async with StunServer(plain=True) as one, StunServer(plain=True) as two, StunServer(error=500) as broken:
        second = "{}:{}".format(*two.name(1, 0))
        node = await node_of(nodes, broken.setting, one.setting, second)
        found = await examined(node)
        assert (found.mapping, found.answered, found.asked) == (Mapping(E), 2, 3)
        assert node.counters["stun.refused"] == 1


async def test_nobody_answers(nodes: Nodes) -> None:
    async with StunServer(lie=lambda _server, _data, _source: True) as server:
        node = await node_of(nodes, server.setting)
        assert await examined(node) == Behaviour(asked=1)
        assert server.requests == 3
        assert node.reachability.nat_class is NatClass.BLOCKED
        assert node.counters["stun.silent"] == 1


async def test_answers_of_strangers_change_nothing(nodes: Nodes) -> None:
    """Another transaction, another source, another form: only the server's own answer counts, however late."""
    wrong = ("11.9.9.9", 9)

    def lie(server: StunServer, data: bytes, source: HostPort) -> bool:
        identity = data[8:20]
        server.send(write_success(bytes(12), wrong), source)
        server.send(write_success(identity, wrong), source, host=1)
        server.send(write_success(identity, wrong), source, port=1)
        server.send(write_success(identity, wrong)[:-4], source)
        server.send(data, source)
        return False

    async with StunServer(plain=True, lie=lie) as server:
        node = await node_of(nodes, server.setting)
        found = await examined(node)
        assert found.outside == ("127.0.0.1", node.swarm.udp_ports[0].endpoint.local[1])
        assert node.counters["stun.ignored"] >= 4


async def test_a_flood_of_answers_that_nobody_asked_for_is_dropped(nodes: Nodes) -> None:
    async with StunServer() as server:
        node = await node_of(nodes, server.setting)
        to = ("127.0.0.1", node.swarm.udp_ports[0].endpoint.local[1])
        for number in range(50):
            server.send(write_success(number.to_bytes(12, "big"), ("11.9.9.9", 9)), to)
        await eventually(lambda: node.counters["quic.dropped:malformed"] >= 50, "the flood to be dropped")
        assert node.reachability.stun.behaviours == {}


async def test_both_families_are_told_apart(nodes: Nodes) -> None:
    node = await node_of(nodes, "[::1]:3478", "127.0.0.1:3479")
    found = await node.reachability.stun._resolve()
    assert found == {"ip4": [("127.0.0.1", 3479)], "ip6": [("::1", 3478)]}


async def test_configured_servers_are_asked_by_themselves(nodes: Nodes) -> None:
    async with StunServer() as server:
        node = await node_of(nodes, server.setting, run=True)
        await eventually(lambda: node.reachability.stun.behaviours, "the first test")


@pytest.mark.parametrize(
    "text", ["off", "stun.example", "stun.example:0", "1.2.3.4:70000", "/ip4/1.2.3.4/udp/1"]
)
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ConfigError, match="servers"):
        StunSection(servers=(text,))
