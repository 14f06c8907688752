"""Staying connected, on live nodes: probed, dialled again, sought, compared; and off unless wanted."""

from __future__ import annotations

from typing import Any

from mesh.network.connection import Connection
from mesh.node import Node
from mesh.protocols.keeping.settings import Lifecycle
from mesh.services.keeping import Keeping
from tests.network.live import Nodes, byte_driver, connected, eventually
from tests.services.relay.network import client_of, dial_through, reached_through, relay_node

FAST: dict[str, Any] = {
    "keep_enabled": True,
    "keep_used_s": 0.05,
    "keep_idle_s": 0.05,
    "keep_trial_s": 0.05,
    "keep_settled_s": 0.05,
}


def keeping_of(node: Node) -> Keeping:
    assert node.discovery.keeping is not None
    return node.discovery.keeping


async def keen(nodes: Nodes, **settings: Any) -> Node:
    return await nodes.start(**{**FAST, **settings})


def lifecycle(node: Node, peer: Node) -> Lifecycle | None:
    found = [each.lifecycle for each in keeping_of(node).standings() if each.peer == peer.peer_id]
    return found[0] if found else None


async def lose(node: Node, peer: Node) -> None:
    """The other end goes away without a word."""
    connection: Connection = await connected(node, peer)
    byte_driver(connection).transport.abort()
    await connection.ended()


async def test_it_is_off_unless_wanted(nodes: Nodes) -> None:
    node = await nodes.start()
    assert node.discovery.keeping is None


async def test_peers_are_measured_and_tagged_with_their_quality(nodes: Nodes) -> None:
    other, node = await nodes.start(), await keen(nodes)
    await node.connect(other.listen_addrs[0])
    await eventually(lambda: lifecycle(node, other) is Lifecycle.MONITORING, "the measurement")
    [standing] = keeping_of(node).standings()
    assert standing.latency_s is not None
    assert standing.reliability == 1.0
    info = node.swarm.manager.info(other.peer_id)
    assert info is not None
    assert 0 < info.tags["quality"] <= 100
    await other.stop()
    await eventually(lambda: not node.connections, "the end")
    info = node.swarm.manager.info(other.peer_id)
    assert info is None or "quality" not in info.tags


async def test_a_lost_peer_is_dialled_again(nodes: Nodes) -> None:
    other, node = await nodes.start(), await keen(nodes)
    await node.connect(other.listen_addrs[0])
    await lose(node, other)
    await eventually(lambda: node.swarm.is_connected(other.peer_id), "the next connection")
    await eventually(lambda: node.counters["keeping.redial:reached"] == 1, "the end of the dial")


async def test_who_came_by_itself_is_not_dialled(nodes: Nodes) -> None:
    node = await keen(nodes)
    other = await nodes.start()
    connection = await other.connect(node.listen_addrs[0])
    await eventually(lambda: lifecycle(node, other), "the connection")
    await connection.close()
    await eventually(lambda: not node.connections, "the end")
    assert keeping_of(node).standings() == []
    assert node.counters.total("keeping.redial") == 0


async def test_a_silent_peer_is_given_up_and_dialled_again(nodes: Nodes) -> None:
    """Its relay is in use, so two pings of 0.05 s decide."""
    relay = await relay_node(nodes)
    target = await reached_through(nodes, relay)
    node = await keen(nodes)
    await dial_through(node, target)
    await eventually(
        lambda: (
            any(each.used for each in keeping_of(node).standings())
            and node.swarm.manager.is_protected(relay.peer_id, "route")
        ),
        "the route",
    )
    byte_driver(await connected(relay, node)).transport.pause_reading()
    await eventually(lambda: node.counters["keeping.dead"] >= 1, "the end of patience")


async def test_a_reservation_is_a_route_in_use(nodes: Nodes) -> None:
    relay = await relay_node(nodes)
    node = await keen(nodes, relays=(str(relay.listen_addrs[0]),))
    await eventually(lambda: client_of(node).held, "the reservation")
    await eventually(lambda: [each.used for each in keeping_of(node).standings()] == [True], "its use")
    await relay.stop()
    await eventually(
        lambda: not node.swarm.manager.is_protected(relay.peer_id, "route"), "the end of its use"
    )


async def test_sources_that_are_on_are_asked_while_there_are_too_few(nodes: Nodes) -> None:
    hub = await nodes.start(pex=True)
    others = [await nodes.start(pex=True) for _ in range(3)]
    for each in others:
        await each.connect(hub.listen_addrs[0])
    await eventually(lambda: hub.counters["pex.answered"] >= 3, "their acquaintance with the hub")
    node = await keen(nodes, pex=True, keep_low=3, keep_high=4)
    await node.connect(hub.listen_addrs[0])
    await eventually(lambda: len(node.swarm.peers) >= 3, "the peers of the hub")
    assert node.counters["keeping.seek"] >= 1


async def test_a_better_peer_takes_the_place_of_the_worst(nodes: Nodes) -> None:
    """All are as near as can be here; the worst is made so by what is told of its pings."""
    poor, good = await nodes.start(), await nodes.start()
    node = await keen(nodes, keep_low=1, keep_high=3)
    await node.connect(poor.listen_addrs[0])
    keeping = keeping_of(node)
    for _ in range(20):
        keeping.keeper.answered(poor.peer_id, 5.0, 0.0)
    node.discovery.found.limit("test", 600)
    assert node.discovery.found.offer(good.peer_id, good.listen_addrs, "test")
    await eventually(lambda: node.counters["keeping.closed:replaced"] == 1, "the replacement")
    await eventually(lambda: node.swarm.peers == [good.peer_id], "the better one alone")
    assert not node.discovery.found.offer(poor.peer_id, poor.listen_addrs, "test")
    assert node.counters["discovery.declined:no better"] == 1


async def test_above_the_upper_bound_the_worst_are_closed(nodes: Nodes) -> None:
    node = await keen(nodes, keep_low=1, keep_high=2, grace_s=0.001)
    others = [await nodes.start("") for _ in range(3)]
    for each in others:
        await each.connect(node.listen_addrs[0])
    await eventually(lambda: node.counters["connection.trimmed"] >= 1, "the trim")
    await eventually(lambda: len(node.swarm.peers) <= 2, "no more than the bound")


async def test_another_network_has_everybody_probed_and_the_lost_dialled(nodes: Nodes) -> None:
    other = await nodes.start()
    node = await nodes.start(keep_enabled=True)
    where = other.listen_addrs[0]
    await node.connect(where)
    await other.stop()
    await eventually(lambda: lifecycle(node, other) is Lifecycle.DISCOVERY, "the loss")
    again = await nodes.start(str(where.without_peer()), key=other.key)
    for tell in node.discovery.watch.observers:
        tell()
    await eventually(lambda: node.swarm.is_connected(again.peer_id), "the connection")
