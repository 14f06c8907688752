"""Extensions of GossipSub 1.3 between our nodes: messages in parts, and the test extension."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mesh.errors import UsageError
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.services.gossip import Part, PartReceived, PartSupport, PartsWanted, Topic
from tests.network.live import Nodes, eventually
from tests.services.gossip.network import gossip_node, make_node, meshed, pair, take
from tests.services.gossip.pieces import Pieces

GROUP = b"block 7"
WHOLE = {number: bytes([number]) * 4 for number in range(8)}


async def parted(nodes: Nodes, support: PartSupport) -> tuple[Pieces, Topic, Node]:
    """A node that exchanges parts in a topic."""
    program, node = Pieces(), make_node(nodes)
    node.pubsub.set_extensions(program)
    await node.start()
    topic = program.topics["news"] = node.pubsub.join("news", parts=support)
    return program, topic, node


async def test_parts_meet(nodes: Nodes) -> None:
    parties = [await parted(nodes, PartSupport.WANTS) for _ in range(3)]
    programs, topics = [each[0] for each in parties], [each[1] for each in parties]
    for _, _, node in parties[1:]:
        await node.connect(parties[0][2].listen_addrs[0])
    await meshed(*topics)
    for number, (program, topic) in enumerate(zip(programs, topics, strict=True)):
        own = {each: part for each, part in WHOLE.items() if each % 3 == number}
        assert program.put(topic, GROUP, own) >= 1
    await eventually(lambda: all(each.held[GROUP] == WHOLE for each in programs), "all parts at all nodes")


async def test_whole_messages_for_who_wants_no_parts(nodes: Nodes) -> None:
    _, topic, first = await parted(nodes, PartSupport.SENDS)
    other = await gossip_node(nodes)
    plain = other.pubsub.join("news")
    await other.connect(first.listen_addrs[0])
    await meshed(topic, plain)
    reader = plain.subscribe()
    await topic.publish(b"in one piece")
    assert [each.data for each in await take(reader, 1)] == [b"in one piece"]


class Clumsy:
    """A program that fails at everything."""

    def __init__(self) -> None:
        self.calls = 0

    def received(self, event: PartReceived[PeerId], states: dict[PeerId, Any]) -> None:
        self.calls += 1
        raise RuntimeError("clumsy")

    def wanted(self, event: PartsWanted[PeerId], states: dict[PeerId, Any]) -> None:
        raise AssertionError(event)


async def test_a_program_that_fails_costs_nothing_else(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    clumsy, node = Clumsy(), make_node(nodes)
    node.pubsub.set_extensions(clumsy)
    await node.start()
    topic = node.pubsub.join("news", parts=PartSupport.WANTS)
    program, other_topic, other = await parted(nodes, PartSupport.SENDS)
    await other.connect(node.listen_addrs[0])
    await meshed(topic, other_topic)
    with caplog.at_level(logging.CRITICAL, "mesh.network.scope"):
        program.put(other_topic, GROUP, WHOLE)
        await eventually(lambda: clumsy.calls == 1, "the call")
    reader = other_topic.subscribe()
    await topic.publish(b"still here")
    assert [each.data for each in await take(reader, 1)] == [b"still here"]


async def test_what_is_refused(nodes: Nodes) -> None:
    first, _ = await pair(nodes)
    with pytest.raises(UsageError, match="before pubsub starts"):
        first.pubsub.set_extensions(Pieces())
    with pytest.raises(UsageError, match="before pubsub starts"):
        first.pubsub.join("news", parts=PartSupport.WANTS)
    topic = first.pubsub.join("news")
    with pytest.raises(UsageError, match="not joined for partial"):
        topic.publish_parts(GROUP, lambda states, _wants: [(peer, Part(b"x")) for peer in states])
    await topic.leave()
    with pytest.raises(UsageError, match="has been left"):
        topic.publish_parts(GROUP, lambda states, _wants: [])


async def test_the_test_extension(nodes: Nodes) -> None:
    heard: list[list[PeerId]] = [[], []]
    pairs = [make_node(nodes), make_node(nodes)]
    for node, said in zip(pairs, heard, strict=True):
        node.pubsub.set_extensions(tested=said.append)
        await node.start()
    await pairs[1].connect(pairs[0].listen_addrs[0])
    await eventually(lambda: heard == [[pairs[1].peer_id], [pairs[0].peer_id]], "the RPC both ways")
