"""`node.reachability` on live nodes: verdicts, observed addresses, what is announced, the DHT's auto mode."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from mesh.config import AutonatSection, Config, KademliaSection
from mesh.errors import ConfigError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from mesh.protocols.observed_addresses import NatKind, Observation
from mesh.services.identify import PeerInfo
from mesh.services.reachability import AddressReport, Reachability
from mesh.services.reachability.announcing import Announcing
from tests.network.live import QUIC, TCP, Nodes, eventually, identified
from tests.services.autonat.network import make, server, start

PUBLIC, PRIVATE, UNKNOWN = Reachability.PUBLIC, Reachability.PRIVATE, Reachability.UNKNOWN
ELSEWHERE = "/ip4/11.0.0.1/tcp/4001"


async def meet(client: Node, *servers: Node) -> None:
    for each in servers:
        await identified(await client.connect(each.listen_addrs[0]))


async def test_three_servers_make_an_address_public(nodes: Nodes) -> None:
    servers = [await server(nodes) for _ in range(3)]
    client = await start(nodes, ask=True)
    assert client.reachability.state is UNKNOWN
    await meet(client, *servers)
    [own] = client.listening
    await eventually(lambda: client.reachability.confidence == 3, "three answers")
    assert client.reachability.addresses == [AddressReport(own, PUBLIC, "autonat-v2", 3)]
    assert (client.reachability.state, client.reachability.source) == (PUBLIC, "autonat-v2")
    assert client.counters["autonat.v2_asked:reached"] == 3


async def test_an_address_that_nobody_reaches_is_private(nodes: Nodes) -> None:
    servers = [await server(nodes) for _ in range(2)]
    dead = "/ip4/127.0.0.1/tcp/1"
    client = await start(nodes, ask=True, network={"announce": (dead,), "no_announce": ("10.0.0.0/8",)})
    own = str(client.listening[0])
    await meet(client, *servers)
    reports = client.reachability

    def verdicts() -> dict[str, Reachability]:
        return {str(each.address): each.state for each in reports.addresses}

    await eventually(lambda: verdicts() == {dead: PRIVATE, own: PUBLIC}, "both verdicts")
    assert reports.state is PUBLIC


async def test_version_1_is_asked_where_nobody_serves_version_2(nodes: Nodes) -> None:
    at = make(nodes)
    at.handle("/libp2p/autonat/1.0.0", at.reachability.v1.serve)
    nodes.push_async_callback(at.stop)
    await at.start()
    client = await start(nodes, ask=True)
    client.reachability.asking.confidence._next_at = 0.0
    await meet(client, at)
    await eventually(lambda: client.reachability.state is PUBLIC, "the verdict")
    assert (client.reachability.source, client.reachability.confidence) == ("autonat-v1", 0)


async def test_nothing_is_asked_by_a_node_that_keeps_to_itself(nodes: Nodes) -> None:
    at, client = await server(nodes), await start(nodes, ask=True, private_addresses=False)
    await meet(client, at)
    assert await client.reachability.asking.step() > 0
    assert client.counters.total("autonat.") == at.counters.total("autonat.") == 0


async def test_the_dht_serves_once_the_node_is_public(nodes: Nodes) -> None:
    config = make(nodes).config
    kademlia = KademliaSection(mode="auto", prefix="/t")
    settings = AutonatSection(reachability="public")
    node = Node(replace(config, kademlia=kademlia, autonat=settings), memory=nodes.memory)
    nodes.push_async_callback(node.stop)
    await node.start()
    assert node.dht.mode == "server"
    assert (node.reachability.source, node.reachability.confidence) == ("configured", 3)
    servers = [await server(nodes) for _ in range(2)]
    found = Node(
        replace(config, kademlia=kademlia, autonat=AutonatSection(private_addresses=True)),
        memory=nodes.memory,
    )
    found.reachability.asking.settle_s = found.reachability.asking.states.spacing_s = 0.0
    nodes.push_async_callback(found.stop)
    await found.start()
    assert found.dht.mode == "client"
    await meet(found, *servers)
    await eventually(lambda: found.dht.mode == "server", "the DHT to serve")


def vote(local: Multiaddr, observer: int, port: int = 50001) -> Observation:
    return Observation(local, Multiaddr.parse(f"/ip4/11.3.1.2/tcp/{port}"), bytes([11, 0, 0, observer]))


async def test_four_observers_and_the_address_is_announced_and_pushed(nodes: Nodes) -> None:
    node, peer = await start(nodes), await start(nodes)
    connection = await peer.connect(node.listen_addrs[0])
    await identified(connection)
    [own] = node.listening
    outside = Multiaddr.parse("/ip4/11.3.1.2/tcp/50001")
    for number in range(3):
        node.reachability.observe(number, vote(own, number))
    assert node.reachability.punchable() == [outside]
    assert node.own_addresses == [own]
    assert [each.kind for each in node.reachability.nat] == [NatKind.UNKNOWN, NatKind.UNKNOWN]
    node.reachability.observe(3, vote(own, 3))
    assert node.own_addresses == [own, outside]
    assert node.listen_addrs == [own / f"/p2p/{node.peer_id}"]
    assert node.reachability.nat[0].kind is NatKind.CONE
    assert node.reachability.addresses[1] == AddressReport(outside, UNKNOWN, "observed", 3, 4)

    def told() -> bool:
        info = connection.remote_info
        return isinstance(info, PeerInfo) and outside in info.listen_addrs

    await eventually(told, "the push")


async def test_the_nat_is_named_from_what_is_known(nodes: Nodes) -> None:
    node = await start(nodes, QUIC)
    [own] = node.listening
    socket = Multiaddr.parse(str(own).removesuffix("/quic-v1"))

    def udp_vote(observer: int, port: int) -> Observation:
        return Observation(socket, Multiaddr.parse(f"/ip4/11.3.1.2/udp/{port}"), bytes([11, 0, 0, observer]))

    assert str(node.reachability.nat_class) == "unknown"
    for number in range(4):
        node.reachability.observe(number, udp_vote(number, 4001))
    assert str(node.reachability.nat_class) == "restricted"
    for name in (b"a", b"b"):
        node.reachability.asking.states.track([own], 0.0)
        node.reachability.asking.states.note(own, name, True, 0.0)
    assert str(node.reachability.nat_class) == "full cone"
    for number in range(4, 9):
        node.reachability.observe(number, udp_vote(number, 15762 + number))
    assert str(node.reachability.nat_class) == "symmetric"


async def test_a_dial_back_speaks_for_or_against_an_outside_address(nodes: Nodes) -> None:
    node = await start(nodes)
    [own] = node.listening
    outside = Multiaddr.parse("/ip4/11.3.1.2/tcp/50001")
    node.reachability.observe(0, vote(own, 0))
    states = node.reachability.asking.states
    states.track([outside], 0.0)
    assert node.own_addresses == [own]
    for name in (b"a", b"b"):
        states.note(outside, name, True, 0.0)
    assert node.own_addresses == [own, outside]
    for number in range(4):
        node.reachability.observe(number, vote(own, number))
    for name in (b"a", b"b", b"c"):
        states.note(outside, name, False, 1.0)
    assert node.own_addresses == [own]
    assert (node.reachability.state, node.reachability.source) == (PRIVATE, "autonat-v2")


async def test_another_network_is_asked_about_soon(nodes: Nodes) -> None:
    node = await start(nodes)
    confidence = node.reachability.asking.confidence
    for _ in range(5):
        confidence.note(PUBLIC, time.monotonic())
    late = confidence.deadline()
    node.reachability.network_changed()
    assert confidence.deadline() < late - 800


async def test_what_peers_see_counts_where_it_may(nodes: Nodes) -> None:
    node, peer = await start(nodes), await start(nodes)
    connection = await peer.connect(node.listen_addrs[0])
    await identified(connection)
    await eventually(lambda: node.counters["observed.counted"] == 1, "the vote of a peer that came in")
    assert peer.counters["observed.ignored"] == 1, "it left from a port where nobody listens"
    assert [each.observers for each in node.reachability.addresses] == [1]
    strict, other = await start(nodes, private_addresses=False), await start(nodes)
    await identified(await other.connect(strict.listen_addrs[0]))
    await eventually(lambda: strict.counters["observed.ignored"] == 1, "a private address to be ignored")


async def test_settings_shape_what_is_announced(nodes: Nodes) -> None:
    node = await start(nodes, TCP, network={"append_announce": (ELSEWHERE,), "no_announce": ("127.0.0.0/8",)})
    assert list(map(str, node.own_addresses)) == [ELSEWHERE]
    only = await start(nodes, network={"announce": (f"{ELSEWHERE}/p2p/{node.peer_id}",)})
    assert list(map(str, only.own_addresses)) == [ELSEWHERE]
    peer = await start(nodes)
    await identified(await peer.connect(only.listen_addrs[0]))
    info = await peer.identify(only.peer_id)
    assert (info.signed_record, list(map(str, info.listen_addrs))) == (True, [ELSEWHERE])


@pytest.mark.parametrize(
    ("never", "left"),
    [
        ((), ["/ip4/11.0.0.1/tcp/1", "/ip6/2001:4860::1/tcp/1", "/dns4/a.example/tcp/1"]),
        (("11.0.0.1",), ["/ip6/2001:4860::1/tcp/1", "/dns4/a.example/tcp/1"]),
        (("2001:4860::/32", "11.0.0.0/8"), ["/dns4/a.example/tcp/1"]),
        (("/ip4/11.0.0.1", "/dns4/a.example/tcp/1"), ["/ip6/2001:4860::1/tcp/1"]),
        (
            ("/ip4/11.0.0.1/tcp/2",),
            ["/ip4/11.0.0.1/tcp/1", "/ip6/2001:4860::1/tcp/1", "/dns4/a.example/tcp/1"],
        ),
    ],
    ids=str,
)
def test_what_is_never_announced(never: tuple[str, ...], left: list[str]) -> None:
    found = [Multiaddr.parse(each) for each in ("/ip4/11.0.0.1/tcp/1", "/ip6/2001:4860::1/tcp/1")]
    announcing = Announcing((), ("/dns4/a.example/tcp/1",), never)
    assert list(map(str, announcing.shape(lambda: found))) == left


@pytest.mark.parametrize(
    "settings", [(("/ip4/1",), (), ()), ((), ("/x",), ()), ((), (), ("10.0.0.0/99",))], ids=str
)
def test_wrong_settings_say_which(settings: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(ConfigError, match=r"network\.(no_|append_)?announce"):
        Announcing(*settings)


async def test_a_quiet_node_serves_nothing_of_it(nodes: Nodes) -> None:
    node = Node(Config())
    assert "/libp2p/autonat/2/dial-back" in node.protocols
    assert not {"/libp2p/autonat/1.0.0", "/libp2p/autonat/2/dial-request"} & set(node.protocols)
