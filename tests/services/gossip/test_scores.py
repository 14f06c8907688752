"""Scores on live nodes: off unless given, and what they do then."""

from __future__ import annotations

import pytest

from mesh.codecs.gossip import Rpc
from mesh.errors import UsageError
from mesh.services.gossip import ScoreSettings, Thresholds, TopicScoreSettings
from tests.network.live import Nodes, eventually
from tests.services.gossip.network import gossip_node, make_node, stranger, take

SCORES = ScoreSettings(
    topics={
        "x": TopicScoreSettings(
            first_deliveries_weight=1.0, first_deliveries_decay=0.9, invalid_weight=-100.0
        )
    }
)


async def test_nobody_is_scored_unless_asked_for(nodes: Nodes) -> None:
    node, other = await gossip_node(nodes), await stranger(nodes)
    node.pubsub.join("x")
    await other.enter(node, "x")
    assert node.pubsub.scores() == {}


async def test_good_peers_gain_and_forgers_are_heard_no_more(nodes: Nodes) -> None:
    node, good, bad = make_node(nodes), await stranger(nodes), await stranger(nodes)
    node.pubsub.set_scores(SCORES, Thresholds(gossip=-10.0, publish=-20.0, graylist=-50.0))
    await node.start()
    reader = node.pubsub.join("x").subscribe()
    for each in (good, bad):
        await each.enter(node, "x")
    await good.send(Rpc(publish=[good.message("x", b"good")]))
    assert (await take(reader, 1))[0].data == b"good"
    signed = bad.message("x", b"bad")
    await bad.send(Rpc(publish=[signed[:-1] + bytes([signed[-1] ^ 1])]))
    await eventually(lambda: node.pubsub.counts()["forged"] == 1, "the forgery")
    scores = node.pubsub.scores()
    assert scores[good.node.peer_id].score > 0
    assert scores[bad.node.peer_id].score == pytest.approx(-100.0)
    await bad.send(Rpc(publish=[signed]))
    await eventually(lambda: node.pubsub.counts()["graylisted"], "its next RPC left aside")
    assert not len(reader)


async def test_a_setting_keeps_scores_of_every_topic_joined(nodes: Nodes) -> None:
    node = make_node(nodes, scores=True)
    good, bad = await stranger(nodes), await stranger(nodes)
    await node.start()
    reader = node.pubsub.join("x").subscribe()
    for each in (good, bad):
        await each.enter(node, "x")
    await good.send(Rpc(publish=[good.message("x", b"good")]))
    assert (await take(reader, 1))[0].data == b"good"
    signed = bad.message("x", b"bad")
    await bad.send(Rpc(publish=[signed[:-1] + bytes([signed[-1] ^ 1])]))
    await eventually(lambda: node.pubsub.counts()["forged"] == 1, "the forgery")
    scores = node.pubsub.scores()
    assert scores[good.node.peer_id].topics["x"].first_deliveries > 0
    assert scores[bad.node.peer_id].topics["x"].invalid > 0
    assert scores[good.node.peer_id].score > 0 > scores[bad.node.peer_id].score


async def test_scores_are_set_before_the_start(nodes: Nodes) -> None:
    node = make_node(nodes)
    with pytest.raises(UsageError):
        node.pubsub.set_scores(SCORES, Thresholds(gossip=1.0))
    await node.start()
    with pytest.raises(UsageError, match="before pubsub starts"):
        node.pubsub.set_scores(SCORES, Thresholds())
