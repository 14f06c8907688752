"""AutoNAT with go-libp2p at addresses that both take for public, in a network that leads nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from mesh.network.connection import Connection
from mesh.node import Node
from mesh.protocols.autonat.confidence import Reachability
from mesh.services.autonat.v1_client import ask_v1
from mesh.services.autonat.v2_client import Found
from tests.interop.peers import GoPeer, meet
from tests.network.live import PATIENCE_S, Nodes, eventually
from tests.services.autonat.network import server, start
from tools.interop_peers.isolation import IsolationImpossible, isolated

pytestmark = pytest.mark.interop

GO = ("11.0.0.1", "11.0.0.2", "11.0.0.3")
OURS = ("11.0.0.4", "11.0.0.5", "11.0.0.6")


@pytest.fixture(autouse=True)
def _public_network(_nothing_left: None) -> Iterator[None]:
    try:
        with isolated(*GO, *OURS):
            yield
    except IsolationImpossible as reason:
        pytest.skip(f"AUTONAT WAS NOT TRIED AT PUBLIC ADDRESSES: {reason}")


def go_at(host: str) -> GoPeer:
    listen = (f"/ip4/{host}/tcp/0", f"/ip4/{host}/udp/0/quic-v1")
    return GoPeer("--autonat", "--transport", "tcp,quic", "--listen", listen[0], "--listen", listen[1])


async def client_at(nodes: Nodes, *listen: str) -> Node:
    return await start(nodes, *listen, ask=True, private_addresses=False)


@pytest.mark.parametrize("transport", ["tcp/0", "udp/0/quic-v1"], ids=["tcp", "quic"])
async def test_go_dials_us_back_in_both_versions(nodes: Nodes, transport: str) -> None:
    node = await start(nodes, f"/ip4/{OURS[0]}/{transport}", ask=False, private_addresses=False)
    node.handle("/libp2p/autonat/2/dial-back", node.reachability.client.serve_dial_back)
    [own] = node.listening
    async with go_at(GO[0]) as go:
        connection = await _meet_over(node, go, transport)
        async with asyncio.timeout(PATIENCE_S):
            assert await node.reachability.client.ask(connection, [own]) == Found(own, reached=True)
        host = str(connection.local).split("/")[2]
        assert node.counters["autonat.v2_paid"] == (host != OURS[0]), "other hosts cost data"
        async with asyncio.timeout(PATIENCE_S):
            found = await ask_v1(connection, node.peer_id, [own])
        assert (found is Reachability.PUBLIC) == (host == OURS[0]), "version 1 tries the host it sees alone"


async def _meet_over(node: Node, go: GoPeer, transport: str) -> Connection:
    name = transport.partition("/")[0]
    connection = await node.connect(next(each for each in go.addresses if f"/{name}/" in each))
    await asyncio.wait([connection.identified] if connection.identified else [])
    await go.identified_us(node)
    return connection


async def test_go_servers_make_our_address_public(nodes: Nodes) -> None:
    node = await client_at(nodes, f"/ip4/{OURS[0]}/udp/0/quic-v1")
    async with go_at(GO[0]) as one, go_at(GO[1]) as two, go_at(GO[2]) as three:
        for each in (one, two, three):
            await _meet_over(node, each, "udp")
        await eventually(lambda: node.reachability.confidence == 3, "three answers")
        assert node.reachability.state is Reachability.PUBLIC


async def test_we_dial_go_back_when_it_asks(nodes: Nodes) -> None:
    servers = [await server(nodes, f"/ip4/{host}/tcp/0", private_addresses=False) for host in OURS]
    async with go_at(GO[0]) as go:
        for each in servers:
            await meet(each, go, we_dial=False)
        dialled = "autonat.v2_answered:dialled ok"
        await eventually(lambda: sum(each.counters[dialled] for each in servers) >= 3, "go's questions")
