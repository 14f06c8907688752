"""A node under attack, and proof that it took no harm; nothing may be left behind either."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from mesh.node import Node
from tests.network.live import Nodes, connected, eventually, nothing_left, round_trip


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield


class Target:
    """The node under attack. ``bystander`` is connected all the time and must stay so."""

    def __init__(self, nodes: Nodes, node: Node, bystander: Node) -> None:
        self.nodes = nodes
        self.node = node
        self.bystander = bystander

    async def unharmed(self) -> None:
        """Fresh and old connections are served, the attackers' are gone, nothing is held for them."""
        node, bystander = self.node, self.bystander
        old = bystander.connections
        assert len(old) == 1, "the bystander lost its connection"
        await round_trip(bystander, node)
        fresh = await self.nodes.start("")
        await round_trip(fresh, node)
        await eventually(lambda: node.swarm.memory.used_bytes == 0, "release of all held bytes")
        known = {bystander.peer_id, fresh.peer_id}
        await eventually(lambda: {each.peer for each in node.connections} == known, "the attackers' end")
        assert bystander.connections == old
        assert not node.swarm._upgrading


@pytest.fixture
async def target(
    nodes: Nodes, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Target]:
    """A node (settings by indirect parameters) that is checked when the test has ended."""
    caplog.set_level(logging.DEBUG)
    settings = dict(getattr(request, "param", {}))
    node = await nodes.start(**settings)
    bystander = await nodes.start("")
    await bystander.connect(node.listen_addrs[0])
    await connected(node, bystander)
    under_attack = Target(nodes, node, bystander)
    yield under_attack
    await under_attack.unharmed()
    loud = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert not loud, "a peer's fault is never above info"
