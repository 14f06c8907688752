"""A node that was connected before it could see that is dialled anew, once, and only if it asks for nothing."""

from __future__ import annotations

import pytest

from mesh.network.stream import Stream
from mesh.node import Node
from mesh.services.bitswap import deaf
from mesh.services.crdt import Crdt
from tests.network.live import Nodes, eventually, identified
from tests.services.gossip.network import gossip_node

TOPIC = "prices"


async def replicating(nodes: Nodes, *, marketplace: bool = False) -> Node:
    node = await gossip_node(nodes, others={"blocks": True, "exchange": True})
    if marketplace:

        async def serve(stream: Stream) -> None:
            stream.reset()

        node.handle(deaf.PROTOCOL, serve)
    return node


async def deaf_to(ours: Node, dialler: Node) -> Crdt:
    """The dialler's replica; it has not noticed that it is connected to us."""
    connection = await dialler.connect(ours.listen_addrs[0])
    await identified(connection)
    await eventually(lambda: ours.swarm.connection_to(dialler.peer_id), "the connection")
    inbound = ours.swarm.connection_to(dialler.peer_id)
    assert inbound is not None
    await identified(inbound)
    dialler.bitswap._client.disconnected(ours.peer_id, 0.0)
    return await dialler.crdt(TOPIC)


async def test_a_deaf_dialler_is_cured_once(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaf, "PATIENCE_S", 0.3)
    ours, dialler = await replicating(nodes), await replicating(nodes, marketplace=True)
    mapping = await ours.crdt(TOPIC)
    copy = await deaf_to(ours, dialler)
    await eventually(lambda: mapping.peers() and copy.peers(), "both are in the topic")
    await mapping.put("/a", b"1")
    await eventually(lambda: copy.get("/a") == b"1", "it has asked")
    assert ours.counters["bitswap.reconnected"] == 1
    await mapping.put("/b", b"1")
    await eventually(lambda: copy.get("/b") == b"1", "it goes on asking")
    assert ours.counters["bitswap.reconnected"] == 1


async def test_who_asked_is_left_alone(nodes: Nodes) -> None:
    ours, dialler = await replicating(nodes), await replicating(nodes, marketplace=True)
    mapping, copy = await ours.crdt(TOPIC), await dialler.crdt(TOPIC)
    await identified(await dialler.connect(ours.listen_addrs[0]))
    await mapping.put("/a", b"1")
    await eventually(lambda: copy.get("/a") == b"1" and ours.bitswap.asked(dialler.peer_id), "it has asked")
    ours.bitswap.deaf._cured.clear()
    ours.bitswap.deaf.told([dialler.peer_id])
    assert not ours.bitswap.deaf._cured


async def test_other_nodes_are_left_alone(nodes: Nodes) -> None:
    ours, dialler = await replicating(nodes), await replicating(nodes)
    await deaf_to(ours, dialler)
    ours.bitswap.deaf.told([dialler.peer_id])
    assert not ours.bitswap.deaf._cured
