"""A relay in use that was reached over TCP sees the QUIC socket as well, once, where both listen for QUIC."""

from __future__ import annotations

from mesh.node import Node
from tests.network.live import QUIC, TCP, Nodes, eventually, identified
from tests.services.relay.network import client_of, dial_through
from tests.services.test_dcutr import SETTINGS, puncher, relay_node


def asked(node: Node) -> int:
    return node.counters["dcutr.quic_outside:asked"]


def muxers(node: Node, peer: Node) -> list[str]:
    return sorted(each.muxer for each in node.connections if each.peer == peer.peer_id)


async def with_both(nodes: Nodes, relay: Node, *, target: bool = False) -> Node:
    """It listens for TCP and QUIC, at addresses that are not public, and dials the relay over TCP."""
    relays = (str(relay.listen_addrs[0]),) if target else ()
    node = await nodes.start(TCP, QUIC, relays=relays, hole_punching=True, autonat_ask=False)
    if target:
        await eventually(lambda: client_of(node).held, "the reservation")
    return node


async def test_both_ends_are_seen_over_quic_by_the_relay(nodes: Nodes) -> None:
    relay = await nodes.start(TCP, QUIC, relay_serve=True)
    target = await with_both(nodes, relay, target=True)
    await eventually(lambda: asked(target), "the target's dial")
    source = await with_both(nodes, relay)
    await identified(await source.connect(relay.listen_addrs[0]))
    assert muxers(source, relay) == ["yamux"], "nobody is asked before a relay is in use"
    await dial_through(source, target)
    await eventually(lambda: asked(source), "the source's dial")
    assert (asked(target), asked(source)) == (1, 1)
    assert muxers(target, relay) == muxers(source, relay) == ["quic", "yamux"]


async def test_who_knows_its_public_quic_address_asks_nobody(nodes: Nodes) -> None:
    """With private addresses counted like public ones, the one that it listens on is known."""
    relay = await nodes.start(TCP, QUIC, relay_serve=True)
    relays = (str(relay.listen_addrs[0]),)
    node = await nodes.start(TCP, QUIC, relays=relays, **SETTINGS)
    await eventually(lambda: client_of(node).held, "the reservation")
    assert muxers(node, relay) == ["yamux"]


async def test_nobody_is_dialled_where_there_is_nothing_to_learn(nodes: Nodes) -> None:
    over_tcp_alone = await relay_node(nodes)
    target = await with_both(nodes, over_tcp_alone, target=True)
    without_quic = await puncher(nodes, await nodes.start(TCP, QUIC, relay_serve=True), target=True)
    over_quic = await puncher(nodes, await nodes.start(QUIC, relay_serve=True), QUIC, target=True)
    for node in (target, without_quic, over_quic):
        assert node.counters.total("dcutr.quic_outside") == 0
        assert len(node.connections) == 1


async def test_a_relay_that_does_not_answer_there_is_asked_once(nodes: Nodes) -> None:
    relay = await nodes.start(relay_serve=True, append_announce=("/ip4/127.0.0.1/udp/9/quic-v1",))
    target = await with_both(nodes, relay, target=True)
    await eventually(lambda: target.counters["dcutr.quic_outside:failed"], "the failure")
    assert target.hole_punching is not None
    target.hole_punching.look()
    assert target.counters["dcutr.quic_outside:failed"] == 1
    assert len(target.connections) == 1
