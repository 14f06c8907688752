"""Peers of a topic found through others: the DHT, peer exchange, and direct peers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.codecs.gossip import Control, ExchangedPeer, Graft, Prune, Rpc
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.services.gossip import ScoreSettings, Thresholds, discovery
from mesh.services.gossip.discovery import topic_key
from tests.network.live import MEMORY, PATIENCE_S, Nodes, eventually
from tests.services.gossip.network import Stranger, gossip_node, make_node, meshed, stranger, take

DHT: dict[str, Any] = {"mode": "server", "prefix": "/test"}


def test_the_key_of_a_topic_is_gos() -> None:
    """sha2-256 of `floodsub:` and the name, as raw content of CID version 1."""
    assert topic_key("x").to_text() == "bafkreicurmvuacbzjxztolb7jkcferyf57yj4bukdwfadfcxfcfx2qwnfa"


async def test_peers_of_a_topic_are_found_through_the_dht(nodes: Nodes) -> None:
    hub = await nodes.start(MEMORY, **DHT)
    members = [await gossip_node(nodes, MEMORY, others=DHT, discover=True) for _ in range(3)]
    for node in members:
        await node.connect(hub.listen_addrs[0])
    await eventually(lambda: len(hub.dht.table) == 3, "the members in the hub's table")
    topics = [node.pubsub.join("far apart") for node in members]
    reader = topics[2].subscribe()
    await meshed(*topics)
    assert await topics[0].publish(b"found") >= 1
    assert (await take(reader, 1))[0].data == b"found"
    await topics[0].leave()
    assert members[0].dht.providers.keys_of(members[0].peer_id) == []


async def test_who_is_reached_elsewhere_by_now_is_announced_again(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "MOVED_S", 0.01)
    key = PrivateKey.generate()
    place = f"/memory/4711/p2p/{PeerId.from_public_key(key.public)}"
    hub = await nodes.start(MEMORY, **DHT)
    member = await gossip_node(
        nodes, MEMORY, others={**DHT, "relays": (place,), "always": True}, discover=True
    )
    await member.connect(hub.listen_addrs[0])
    member.pubsub.join("moved")

    async def announced() -> str:
        found = [each async for each in hub.dht.find_providers(topic_key("moved"))]
        return " ".join(str(address) for each in found for address in each.addresses)

    await eventually(lambda: member.counters["gossip.announced"], "the announcement")
    assert "p2p-circuit" not in await announced()
    await nodes.start("/memory/4711", key=key, relay_serve=True)
    await eventually(lambda: member.counters["gossip.announced"] > 1, "the second one")
    async with asyncio.timeout(PATIENCE_S):  # announcements are not answered
        while "p2p-circuit" not in await announced():  # noqa: ASYNC110 - at another node
            await asyncio.sleep(0.01)


async def test_without_a_dht_nothing_is_looked_for(nodes: Nodes) -> None:
    node = await gossip_node(nodes, discover=True)
    topic = node.pubsub.join("x")
    await topic.leave()
    assert node.counters["gossip.lookup"] == 0


async def test_direct_peers_are_dialled_and_sent_everything(nodes: Nodes) -> None:
    first = await gossip_node(nodes)
    second = await gossip_node(nodes, direct=(str(first.listen_addrs[0]),))
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    await eventually(lambda: theirs.peers(), "the direct peer")
    reader = ours.subscribe()
    assert await theirs.publish(b"direct") == 1
    assert (await take(reader, 1))[0].data == b"direct"
    assert theirs.mesh() == []


async def offering(nodes: Nodes) -> tuple[Node, Stranger]:
    """A node that heeds peer exchange, and a stranger in its mesh."""
    node, other = make_node(nodes), await stranger(nodes)
    node.pubsub.set_scores(ScoreSettings(), Thresholds())
    await node.start()
    topic = node.pubsub.join("x")
    await other.enter(node, "x")
    await meshed(topic)
    return node, other


async def test_peers_named_in_a_prune_are_called(nodes: Nodes) -> None:
    third = await gossip_node(nodes)
    node, other = await offering(nodes)
    await other.node.connect(third.listen_addrs[0])
    await eventually(lambda: other.node.addresses.record_of(third.peer_id), "a signed record")
    envelope, _ = other.node.addresses.record_of(third.peer_id) or (b"", 0)
    named = [
        ExchangedPeer(third.peer_id.to_bytes(), envelope),
        ExchangedPeer(node.peer_id.to_bytes(), envelope),
        ExchangedPeer(b"nobody", b"nothing"),
        ExchangedPeer(other.node.peer_id.to_bytes(), b"nothing"),
    ]
    await other.send(Rpc(control=Control(prune=[Prune("x", named)])))
    await eventually(lambda: node.swarm.is_connected(third.peer_id), "the named peer")
    await eventually(lambda: node.counters["gossip.dialled"] == 1, "the dial counted")


async def test_named_peers_that_cannot_be_reached_cost_nothing(nodes: Nodes) -> None:
    gone = await gossip_node(nodes)
    await gone.stop()
    node, other = await offering(nodes)
    named = [ExchangedPeer(gone.peer_id.to_bytes())]
    await other.send(Rpc(control=Control(prune=[Prune("x", named)])))
    await eventually(lambda: node.counters["gossip.dial_failed"] == 1, "the failure")


async def test_a_peer_that_is_given_up_is_told_of_others(nodes: Nodes) -> None:
    node = await gossip_node(nodes, peer_exchange=True, d=1, d_low=1, d_high=1, d_out=0)
    topic = node.pubsub.join("x")
    first, second = await gossip_node(nodes), await stranger(nodes)
    other = first.pubsub.join("x")
    await first.connect(node.listen_addrs[0])
    await meshed(topic, other)
    await second.enter(node, "x")
    await second.send(Rpc(control=Control(graft=[Graft("x")])))

    def pruned() -> list[Prune]:
        return [prune for rpc in second.received if rpc.control for prune in rpc.control.prune]

    await eventually(pruned, "a PRUNE")
    assert [each.peer_id for each in pruned()[0].peers] == [first.peer_id.to_bytes()]
    assert pruned()[0].peers[0].signed_peer_record
