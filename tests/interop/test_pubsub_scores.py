"""Scores among Go's hosts and our nodes: who misbehaves is shut out, who does not is left in peace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mesh.codecs.gossip import Graft, IHave, Prune
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.protocols.gossip import Verdict
from mesh.services.gossip import Message, ScoreSettings, Thresholds, TopicScoreSettings
from tests.hostile.raw_pubsub import RawPeer, raw_peer, set_patience
from tests.interop.test_pubsub_peers import BEAT_S, QUICK, TOPIC, in_mesh, meet, network
from tests.network.live import Nodes, eventually
from tests.services.gossip.network import make_node, take
from tools.interop_peers.pubsub_network import GoPubsubNetwork

pytestmark = pytest.mark.interop

HONEST = 3
GRAYLIST = -50.0
SCORES = ScoreSettings(
    topics={
        TOPIC: TopicScoreSettings(
            time_in_mesh_weight=0.01,
            first_deliveries_weight=0.1,
            first_deliveries_cap=100.0,
            invalid_weight=-1.0,
            invalid_decay=0.9999,
        )
    },
    behaviour_weight=-1.0,
    behaviour_decay=0.9999,
    ip_colocation_weight=-1.0,
    ip_colocation_threshold=1,
)
THRESHOLDS = Thresholds(gossip=-10.0, publish=-20.0, graylist=GRAYLIST)
OF_EACH = 50
GO_SCORES: dict[str, Any] = {
    "Topics": {
        TOPIC: {
            "TopicWeight": 1,
            "TimeInMeshWeight": 0.01,
            "TimeInMeshQuantum": "1s",
            "TimeInMeshCap": 100,
            "FirstMessageDeliveriesWeight": 0.1,
            "FirstMessageDeliveriesDecay": 0.99,
            "FirstMessageDeliveriesCap": 100,
            "InvalidMessageDeliveriesWeight": -10,
            "InvalidMessageDeliveriesDecay": 0.99,
        }
    },
    "AppSpecificWeight": 1,
    "IPColocationFactorWeight": -1,
    "IPColocationFactorThreshold": 1,
    "BehaviourPenaltyWeight": -10,
    "BehaviourPenaltyDecay": 0.99,
    "DecayInterval": "1s",
    "DecayToZero": 0.01,
}
GO_THRESHOLDS = {"GossipThreshold": -10, "PublishThreshold": -20, "GraylistThreshold": -30}


def judge(message: Message) -> Verdict:
    """What a program of ours says."""
    return Verdict.REJECT if message.data.startswith(b"bad") else Verdict.ACCEPT


async def scoring_node(nodes: Nodes) -> Node:
    node = make_node(nodes, heartbeat_s=BEAT_S)
    node.pubsub.set_scores(SCORES, THRESHOLDS)
    await node.start()
    return node


async def shut_out(node: Node, peer: PeerId, speak: Callable[[], Any]) -> None:
    """Below the graylist, out of the mesh, and not listened to."""
    await eventually(lambda: node.pubsub.scores()[peer].score < GRAYLIST, "a score below the graylist")
    await eventually(lambda: peer not in node.pubsub.mesh(TOPIC), "its end in the mesh")
    before = node.pubsub.counts()["graylisted"]
    await speak()
    await eventually(lambda: node.pubsub.counts()["graylisted"] > before, "what it says left aside")


async def untouched(node: Node, go: GoPubsubNetwork) -> None:
    """Go's honest hosts have good scores, their places in the mesh, and messages cross as before."""
    honest = {PeerId.parse(each.peer) for each in go.nodes}
    reader = node.pubsub._topics[TOPIC].subscribe()
    for host in range(HONEST):
        await go.publish(host, TOPIC, b"from an honest host")
    assert {each.author for each in await take(reader, HONEST)} == honest
    assert honest <= set(node.pubsub.mesh(TOPIC))
    for peer in honest:
        parts = node.pubsub.scores()[peer]
        assert parts.score >= 0
        assert parts.behaviour == 0
        assert parts.topics[TOPIC].invalid == 0


async def test_go_host_whose_messages_are_rejected_is_shut_out(nodes: Nodes) -> None:
    async with network(HONEST) as honest, network(1, flood_publish=True) as bad:
        node = await scoring_node(nodes)
        topic = node.pubsub.join(TOPIC, judge)
        reader = topic.subscribe()
        await meet(honest, node, *range(HONEST))
        await meet(bad, node, 0)
        await in_mesh(honest, node, *range(HONEST))
        await in_mesh(bad, node, 0)
        for number in range(10):
            await bad.publish(0, TOPIC, b"bad %d" % number)
        peer = PeerId.parse(bad.nodes[0].peer)
        await shut_out(node, peer, lambda: bad.publish(0, TOPIC, b"good for once"))
        assert node.pubsub.counts()["rejected"] >= 8
        assert not len(reader)
        for host in range(HONEST):
            assert (await honest.received(host, TOPIC)).messages == [], "nothing of it went further"
        await untouched(node, honest)
        await eventually(lambda: len(node.connections) == HONEST + 1, "all connections")


async def forge(peer: RawPeer, _node: Node) -> None:
    for _ in range(10):
        wire = peer.wire(b"spam", TOPIC)
        await peer.publish(wire[:-1] + bytes([wire[-1] ^ 1]))


async def graft_again_and_again(peer: RawPeer, _node: Node) -> None:
    await peer.control(prune=[Prune(TOPIC, backoff=60)])
    for _ in range(10):
        await peer.control(graft=[Graft(TOPIC)])


async def break_promises(peer: RawPeer, node: Node) -> None:
    set_patience(node)
    ids = [b"promise %d" % number for number in range(10)]
    for id in ids:
        await peer.control(ihave=[IHave(TOPIC, [id])])
    await eventually(lambda: set(ids) <= set(peer.asked_for()), "IWANT for all")


@pytest.mark.parametrize("misbehave", [forge, graft_again_and_again, break_promises])
async def test_raw_peer_is_shut_out_and_go_is_not(nodes: Nodes, misbehave: Callable[..., Any]) -> None:
    async with network(HONEST) as honest:
        node = await scoring_node(nodes)
        node.pubsub.join(TOPIC, judge)
        await meet(honest, node, *range(HONEST))
        await in_mesh(honest, node, *range(HONEST))
        peer = await raw_peer(nodes)
        await peer.enter(node, TOPIC)
        await peer.graft(node, TOPIC)
        await misbehave(peer, node)
        await shut_out(node, peer.id, lambda: peer.publish(peer.wire(b"good for once", TOPIC)))
        await untouched(node, honest)


async def test_go_finds_no_fault_with_us(nodes: Nodes) -> None:
    """Messages in numbers, gossip, copies, a topic left and joined anew."""
    async with network(HONEST, version="1.3", score=GO_SCORES, thresholds=GO_THRESHOLDS, params=QUICK) as go:
        ours = [await scoring_node(nodes) for _ in range(HONEST)]
        topics = [node.pubsub.join(TOPIC) for node in ours]
        readers = [topic.subscribe() for topic in topics]
        await go.link(HONEST - 1)
        for index, node in enumerate(ours):
            await meet(go, node, *range(HONEST), we_dial=index > 0)
            await in_mesh(go, node, *range(HONEST))
        for number in range(OF_EACH):
            for topic in topics:
                await topic.publish(b"%d" % number + bytes(2000 * (number % 2)))
        await go.publish_all(TOPIC, HONEST * OF_EACH, rate=500, size=1500)
        wanted = 2 * HONEST * OF_EACH - OF_EACH
        for one in await go.received_all(TOPIC, at_least=wanted):
            assert (one.deliveries, one.duplicates) == (wanted, 0)
        await asyncio.gather(*(take(reader, wanted - OF_EACH) for reader in readers))
        await _blameless(go, ours)
        await topics[0].leave()
        topics[0] = ours[0].pubsub.join(TOPIC)
        await meet(go, ours[0], *range(HONEST))
        await topics[0].publish(b"here again")
        await go.received_all(TOPIC, at_least=wanted + 1)
        await _blameless(go, ours)


async def _blameless(go: GoPubsubNetwork, ours: list[Node]) -> None:
    for host in range(HONEST):
        scores = await go.scores(host)
        for node in ours:
            found = scores[str(node.peer_id)]
            assert found["score"] >= 0
            assert found["behaviour"] == 0
            assert found["ip_colocation"] == 0
            assert all(each["invalid_deliveries"] == 0 for each in found["topics"].values())
    for node in ours:
        for parts in node.pubsub.scores().values():
            assert parts.score >= 0
            assert parts.behaviour == 0
