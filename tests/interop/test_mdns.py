"""mDNS with go-libp2p, in a network of their own that carries multicast."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesh.multiformats.multiaddr import Multiaddr
from tests.interop.peers import GoPeer
from tests.network.live import Nodes, eventually
from tools.interop_peers.isolation import IsolationImpossible, add_bridge, isolated

pytestmark = pytest.mark.interop

HOST = "10.77.0.1"
LISTEN = f"/ip4/{HOST}/tcp/0"


@pytest.fixture
def link(_nothing_left: None) -> Iterator[str]:
    try:
        with isolated():
            add_bridge("m0", HOST)
            yield "m0"
    except IsolationImpossible as reason:
        pytest.skip(f"NOTHING WAS TESTED IN ISOLATION: {reason}")


@pytest.mark.parametrize("go_first", [True, False], ids=["go-first", "we-first"])
async def test_go_and_we_find_each_other(link: str, nodes: Nodes, go_first: bool) -> None:
    if not go_first:
        node = await nodes.start(LISTEN, mdns=True)
        assert node.discovery.mdns is not None
        counts = node.discovery.mdns
        await eventually(lambda: link in counts.links and counts.counts(link).answers_sent >= 2, "our own")
    async with GoPeer(
        "--listen", LISTEN, "--listen", f"{LISTEN}/ws", "--transport", "tcp,ws", "--mdns", "_p2p._udp"
    ) as go:
        if go_first:
            node = await nodes.start(LISTEN, mdns=True)
        await eventually(lambda: node.swarm.connection_to(go.peer_id), "the connection")
        assert node.discovery.mdns is not None
        (heard,) = node.discovery.mdns.peers
        assert heard.peer == go.peer_id
        assert [str(each) for each in heard.addresses] == [
            str(Multiaddr.parse(each).without_peer()) for each in go.addresses if "/ws" not in each
        ]
        found = await go.event("mdns_found", lambda each: each["peer"] == str(node.peer_id))
        assert found["addrs"] == [str(each) for each in node.own_addresses]


async def test_another_service_name(link: str, nodes: Nodes) -> None:
    stranger = await nodes.start(LISTEN, mdns=True)
    node = await nodes.start(LISTEN, mdns=True, service="_mesh-test._udp")
    async with GoPeer("--listen", LISTEN, "--mdns", "_mesh-test._udp") as go:
        await eventually(lambda: node.swarm.connection_to(go.peer_id), "the connection")
        await go.event("mdns_found", lambda each: each["peer"] == str(node.peer_id))
        assert not any(each.get("peer") == str(stranger.peer_id) for each in go.events)
    assert stranger.connections == []
