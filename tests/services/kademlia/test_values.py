"""Values held for others when a better one is met."""

from __future__ import annotations

from mesh.codecs.kademlia import Message, MessageType, ValueRecord
from mesh.node import Node
from tests.network.live import Nodes
from tests.services.kademlia.network import network
from tests.services.kademlia.test_network import ask

KEY = b"/v/one"


async def put(sender: Node, holder: Node, value: bytes) -> None:
    await ask(sender, holder, Message(MessageType.PUT_VALUE, KEY, ValueRecord(KEY, value)))


async def test_a_better_value_is_held_for_whom_the_former_was(nodes: Nodes) -> None:
    """A look at a value makes nobody its publisher: else its readers would put it again for ever."""
    holder, other, sender = await network(nodes, 3)
    await put(sender, holder, b"a")
    await put(sender, other, b"b")
    assert await holder.dht.get_value(KEY) == b"b"
    held = await holder.dht.records.get(KEY)
    assert held is not None
    assert held.value == b"b"
    assert holder.dht.records.sender_of(KEY) == sender.peer_id
    assert holder.dht.records.own() == []
    assert holder.dht.records.strangers.entries == 1


async def test_ones_own_value_stays_so(nodes: Nodes) -> None:
    publisher, other, sender = await network(nodes, 3)
    assert (await publisher.dht.put_value(KEY, b"a")).reached
    await put(sender, other, b"b")
    assert await publisher.dht.get_value(KEY) == b"b"
    held = await publisher.dht.records.get(KEY)
    assert held is not None
    assert held.value == b"b"
    assert [key for key, _ in publisher.dht.records.own()] == [KEY]
