"""The connection manager spares the neighbours in a mesh, as long as they are."""

from __future__ import annotations

from tests.network.live import Nodes, eventually
from tests.services.gossip.network import meshed, pair


async def test_neighbours_are_protected_until_the_topic_is_left(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    manager = first.swarm.manager
    async with first.pubsub.join("news") as news, second.pubsub.join("news") as other:
        with news.subscribe(), other.subscribe():
            await meshed(news, other)
            assert manager.is_protected(second.peer_id, "pubsub:news")
    await eventually(lambda: not manager.is_protected(second.peer_id), "the end of the mesh")
