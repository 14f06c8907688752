"""One lookup on live nodes: late answers, the end of the caller's patience, the end of the service."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from mesh.codecs.kademlia import Message, MessageType
from mesh.errors import MeshError, RecordNotFound
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.kademlia.reply import closer_peer
from mesh.services.kademlia import Step
from tests.network.live import MEMORY, PATIENCE_S, Nodes, eventually
from tests.services.kademlia.network import PREFIX, dht_node, multihash

PROTOCOL = f"{PREFIX}/kad/1.0.0"


class Liar:
    """A node that serves the protocol as the test has it: `answer` until ``silent``, then it waits for ``speak``."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.names: list[bytes] = []
        self.silent = False
        self.speak = asyncio.Event()
        self.asked = 0
        node.handle(PROTOCOL, self.serve)

    async def serve(self, stream: Stream) -> None:
        while True:
            request = Message.decode(await stream.read_message(Message.MAX_BYTES))
            self.asked += 1
            if self.silent:
                await self.speak.wait()
            await stream.write_message(Message(request.type).encode() + b"".join(self.names))


async def liar(nodes: Nodes, *askers: Node) -> Liar:
    """In the tables of ``askers``."""
    found = Liar(await nodes.start(MEMORY))
    for each in askers:
        await each.connect(found.node.listen_addrs[0])
        await eventually(lambda each=each: found.node.peer_id in each.dht.table)  # type: ignore[misc]
    return found


def hasten(node: Node, **settings: Any) -> None:
    """Other limits for the lookups of a node."""
    object.__setattr__(node.dht._search, "settings", replace(node.dht._search.settings, **settings))


def name_of(node: Node) -> bytes:
    addresses = [each.without_peer().to_bytes() for each in node.listen_addrs]
    return closer_peer(node.peer_id.to_bytes(), addresses)


async def test_a_late_answer_is_used(nodes: Nodes) -> None:
    """Overdue requests hold no place, but with nobody else to ask the lookup waits for them."""
    asker = await dht_node(nodes, mode="client")
    late = await liar(nodes, asker)
    hidden = await dht_node(nodes)
    late.names = [name_of(hidden)]
    late.silent = True
    steps: list[Step] = []

    def on_step(step: Step) -> None:
        steps.append(step)
        if type(step).__name__ == "Overdue":
            late.speak.set()

    async with asyncio.timeout(PATIENCE_S):
        found = await asker.dht.closest_peers(hidden.peer_id.to_bytes(), on_step)
    assert [type(step).__name__ for step in steps][:3] == ["Asked", "Overdue", "Answered"]
    assert set(found) == {late.node.peer_id, hidden.peer_id}


async def test_silence_ends_with_the_time_limit_of_a_request(nodes: Nodes) -> None:
    """A refreshing lookup may meet the silent one as well."""
    asker = await dht_node(nodes, mode="client")
    mute = await liar(nodes, asker)
    hasten(asker, request_limit_s=0.1)
    mute.silent = True
    member = asker.dht.table.get(mute.node.peer_id)
    assert member is not None
    async with asyncio.timeout(PATIENCE_S):
        assert await asker.dht.closest_peers(b"anything") == []
    assert asker.counters.total("kademlia.lookup") >= 1
    await eventually(lambda: member.failures >= 1, "the failure")


async def test_the_time_limit_of_the_whole(nodes: Nodes) -> None:
    asker = await dht_node(nodes, mode="client")
    mute = await liar(nodes, asker)
    hasten(asker, limit_s=0.1)
    mute.silent = True
    async with asyncio.timeout(PATIENCE_S):
        await asker.dht.closest_peers(b"anything")
    assert asker.counters["kademlia.lookup:time_limit"] == 1


async def test_a_cancelled_lookup_leaves_its_request_to_the_table(nodes: Nodes) -> None:
    """The request under way goes on within its time; its answer is a sign of life, and its stream is kept."""
    asker = await dht_node(nodes, mode="client")
    slow = await liar(nodes, asker)
    slow.silent = True
    before = slow.asked
    running = asyncio.create_task(asker.dht.closest_peers(b"anything"))
    await eventually(lambda: slow.asked > before)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    entry = asker.dht.table.get(slow.node.peer_id)
    assert entry is not None
    seen_at = entry.seen_at
    slow.speak.set()
    await eventually(lambda: entry.seen_at > seen_at, "the answer")
    assert not entry.failures


async def test_who_stops_looking_for_providers_leaves_nothing(nodes: Nodes) -> None:
    asker = await dht_node(nodes, mode="client")
    slow = await liar(nodes, asker)
    slow.silent = True
    before = slow.asked
    found = asker.dht.find_providers(multihash())
    first = asyncio.ensure_future(anext(found))
    await eventually(lambda: slow.asked > before)
    first.cancel()
    await asyncio.wait([first])
    await found.aclose()
    assert not any(task.get_name() == "kademlia providers" for task in asyncio.all_tasks())
    slow.speak.set()


@pytest.mark.parametrize(
    "what", ["closest_peers", "get_value", "put_value", "provide", "find_peer", "providers"]
)
async def test_the_end_of_the_node_ends_every_wait(nodes: Nodes, what: str) -> None:
    asker = await dht_node(nodes, mode="client", listen=MEMORY)
    mute = await liar(nodes, asker)
    mute.silent = True
    before = mute.asked
    stranger = PeerId.from_public_key(PrivateKey.generate().public)

    async def act() -> object:
        dht = asker.dht
        if what == "closest_peers":
            return await dht.closest_peers(b"anything")
        if what == "get_value":
            return await dht.get_value(b"/v/one")
        if what == "put_value":
            return await dht.put_value(b"/v/one", b"1")
        if what == "provide":
            return await dht.provide(multihash())
        if what == "find_peer":
            return await dht.find_peer(stranger)
        return [each async for each in dht.find_providers(multihash())]

    running = asyncio.create_task(act())
    await eventually(lambda: mute.asked > before)
    async with asyncio.timeout(PATIENCE_S):
        await asker.stop()
        with pytest.raises(MeshError) as caught:
            await running
    assert not isinstance(caught.value, RecordNotFound)


async def test_the_end_of_the_node_ends_a_write(nodes: Nodes) -> None:
    asker = await dht_node(nodes, mode="client")
    first = await liar(nodes, asker)

    async def find_only(stream: Stream) -> None:
        while Message.decode(await stream.read_message(Message.MAX_BYTES)).type is MessageType.FIND_NODE:
            await stream.write_message(Message(MessageType.FIND_NODE).encode())
        first.asked = 1000
        await first.speak.wait()

    first.node.unhandle(PROTOCOL)
    first.node.handle(PROTOCOL, find_only)
    await (next(each for each in asker.connections)).close()
    await asker.connect(first.node.listen_addrs[0])
    running = asyncio.create_task(asker.dht.put_value(b"/v/one", b"1"))
    await eventually(lambda: first.asked == 1000, "the PUT_VALUE under way")
    async with asyncio.timeout(PATIENCE_S):
        await asker.stop()
        written = await running
    assert not written.reached
    assert not written.accepted
