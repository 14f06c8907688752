"""What a node's pubsub has to say of itself, as plain objects: topics, peers, meshes, scores, counts and rates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from mesh.api.problem import NotAvailable, UnknownPeer
from mesh.api.pubsub_exchange import Exchange
from mesh.api.targets import peer_of
from mesh.errors import RecordNotFound
from mesh.identity.peer_id import PeerId
from mesh.node import Node

if TYPE_CHECKING:
    from mesh.services.gossip import PeerParts, Pubsub

SCORES_OFF = (
    "scores are off: the setting gossip.scores turns them on, or the program that runs the node, with "
    "node.pubsub.set_scores(...) before the node starts"
)

Answer = dict[str, Any]


class UnknownTopic(RecordNotFound):
    """Nobody here is in this topic."""

    code = "unknown-topic"


class PubsubAnswers:
    """Pubsub of a running node. Everything raises `UsageError` while it is off."""

    def __init__(self, node: Node, exchange: Exchange) -> None:
        self._node = node
        self._exchange = exchange

    def topics(self) -> Answer:
        """The topics that this node is in."""
        pubsub = self._node.pubsub
        listed = [
            {
                "topic": each,
                "peers": len(pubsub.peers(each)),
                "mesh": len(pubsub.mesh(each)),
                "readers": self._exchange.readers(each),
            }
            for each in pubsub.topics()
        ]
        return {"topics": listed}

    def peers(self, topic: str | None = None) -> Answer:
        """Peers that speak pubsub with this node, or those of them in a topic. Raises `UnknownTopic`."""
        pubsub = self._node.pubsub
        found = pubsub.peers(topic)
        if topic is not None and not found and topic not in pubsub.topics():
            raise UnknownTopic(f"neither this node nor a peer of it is in the topic {topic!r}")
        return {"topic": topic, "peers": [str(each) for each in found]}

    def mesh(self, topic: str | None = None) -> Answer:
        """With whom this node exchanges the messages of each topic, or of one. Raises `UnknownTopic`."""
        pubsub = self._node.pubsub
        topics = pubsub.topics()
        if topic is not None and topic not in topics:
            raise UnknownTopic(f"this node is not in the topic {topic!r}")
        chosen = topics if topic is None else [topic]
        meshes = [{"topic": each, "peers": [str(peer) for peer in pubsub.mesh(each)]} for each in chosen]
        return {"meshes": meshes}

    def scores(self, peer: str | None = None) -> Answer:
        """What the score of each peer, or of one, is made of. Raises `NotAvailable` when no scores are kept, and
        `UnknownPeer`."""
        pubsub = self._node.pubsub
        wanted = None if peer is None else peer_of(peer)
        connected, scores = pubsub.peers(), pubsub.scores()
        if wanted is not None and wanted not in connected:
            raise UnknownPeer(f"no peer {wanted} speaks pubsub with this node")
        if not pubsub.scored:
            raise NotAvailable(SCORES_OFF)
        chosen = {each: parts for each, parts in scores.items() if wanted in (None, each)}
        return {"peers": [_scored(each, parts) for each, parts in chosen.items()]}

    def stats(self) -> Answer:
        """How much of everything there is, and how often what happened since the start."""
        pubsub = self._node.pubsub
        return _standing(pubsub) | {"counts": pubsub.counts()}

    def rates(self, interval_ms: float = 1000, count: int = 0) -> AsyncGenerator[Answer, None]:
        """What happened in each interval, a second; ``count`` intervals, or on and on for 0."""
        pubsub = self._node.pubsub
        return _rates(pubsub, pubsub.counts(), interval_ms / 1000, count)


async def _rates(
    pubsub: Pubsub, counts: Mapping[str, int], interval_s: float, count: int
) -> AsyncGenerator[Answer, None]:
    at, told = time.monotonic(), 0
    while not count or told < count:
        await asyncio.sleep(interval_s)
        before, began = counts, at
        counts, at = pubsub.counts(), time.monotonic()
        passed = at - began
        per_s = {name: round((value - before[name]) / passed, 3) for name, value in counts.items()}
        yield {"type": "rates", "interval_s": round(passed, 6), **_standing(pubsub), "per_s": per_s}
        told += 1


def _standing(pubsub: Pubsub) -> Answer:
    topics = pubsub.topics()
    mesh_peers = sum(len(pubsub.mesh(each)) for each in topics)
    return {"topics": len(topics), "peers": len(pubsub.peers()), "mesh_peers": mesh_peers}


def _scored(peer: PeerId, parts: PeerParts) -> Answer:
    topics = [
        {
            "topic": name,
            "score": each.score,
            "in_mesh": each.in_mesh,
            "time_in_mesh_s": each.time_in_mesh_s,
            "first_deliveries": each.first_deliveries,
            "mesh_deliveries": each.mesh_deliveries,
            "mesh_deliveries_active": each.mesh_deliveries_active,
            "mesh_failure": each.mesh_failure,
            "invalid": each.invalid,
        }
        for name, each in parts.topics.items()
    ]
    return {
        "peer": str(peer),
        "score": parts.score,
        "topics_score": parts.topics_score,
        "application_score": parts.application_score,
        "ip_colocation_score": parts.ip_colocation_score,
        "behaviour_score": parts.behaviour_score,
        "behaviour": parts.behaviour,
        "topics": topics,
    }
