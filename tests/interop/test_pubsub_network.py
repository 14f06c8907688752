"""One topic of Go's hosts and our nodes, 10 of each, GossipSub 1.1 and 1.2 among them."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from mesh.config import GossipSection
from mesh.errors import Closed
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.services.gossip import Subscription, Topic
from tests.network.live import PATIENCE_S, TCP, Nodes, configured, eventually
from tools.interop_peers.pubsub_network import GoPubsubNetwork

LIMIT_S = 300
pytestmark = [pytest.mark.interop, pytest.mark.timeout(LIMIT_S)]

EACH = 10
TOPIC = "mixed"
OF_EACH_HOST = 1000
CHUNK = 100
"""Messages of each host between two waits for all to have come: a slow machine is not flooded."""
RATE = 500.0
"""Published per second in all."""
CHUNK_S = 60.0
LINKS = 3
BEATS = 3
THIRD = EACH // 3


@dataclass
class Member:
    """One of our nodes in the topic."""

    node: Node
    topic: Topic
    reader: Subscription

    def spoken(self) -> dict[str, str]:
        """The protocol it sends to each peer by."""
        links = self.node.pubsub._links.items()
        return {str(peer): link.stream.protocol for peer, link in links if link.stream is not None}

    def knows_its_peers(self) -> bool:
        """Whether all it is connected to are in the topic."""
        return len(self.topic.peers()) == len({each.peer for each in self.node.connections})

    def beats(self) -> int:
        """Heartbeats so far."""
        return self.node.pubsub._running().router._all.beat


async def member(nodes: Nodes, key: PrivateKey | None = None) -> Member:
    config = dataclasses.replace(configured(TCP), gossip=GossipSection(enabled=True))
    node = Node(config, key=key)
    nodes.push_async_callback(node.stop)
    await node.start()
    topic = node.pubsub.join(TOPIC)
    return Member(node, topic, topic.subscribe(buffer=2 * EACH * OF_EACH_HOST))


@dataclass
class Mixed:
    nodes: Nodes
    go: GoPubsubNetwork
    ours: list[Member]

    @property
    def everyone(self) -> list[str]:
        return [*(each.peer for each in self.go.nodes), *(str(each.node.peer_id) for each in self.ours)]

    def go_address(self, index: int) -> str:
        return self.go.nodes[index % EACH].addresses[0]

    def our_address(self, index: int) -> str:
        return str(self.ours[index % EACH].node.listen_addrs[0])

    async def link(self, index: int) -> None:
        """One of ours dials Go's hosts and ours, and one of Go's dials it."""
        own = self.ours[index]
        for step in range(1, LINKS + 1):
            await own.node.connect(self.go_address(index + step))
            await own.node.connect(self.our_address(index + step))
        await self.go.connect((index + 5) % EACH, self.our_address(index))


@pytest.fixture
async def mixed(nodes: Nodes) -> AsyncIterator[Mixed]:
    async with GoPubsubNetwork(EACH, TOPIC, versions=("1.1", "1.2"), lifetime_s=LIMIT_S) as go:
        found = Mixed(nodes, go, [await member(nodes) for _ in range(EACH)])
        await go.link(LINKS)
        for index in range(EACH):
            await found.link(index)
        await go.meshes(TOPIC, at_least=4)
        await eventually(lambda: all(len(each.topic.mesh()) >= 4 for each in found.ours), "our meshes")
        yield found


async def test_all_messages_reach_everyone_once_and_restarted_hosts_come_back(mixed: Mixed) -> None:
    await _versions_are_negotiated(mixed)
    await _all_messages_arrive_once(mixed)
    await _a_third_comes_back(mixed)


async def _versions_are_negotiated(mixed: Mixed) -> None:
    version = {each.peer: f"/meshsub/{each.version}.0" for each in mixed.go.nodes}
    best = {str(each.node.peer_id): "/meshsub/1.3.0" for each in mixed.ours}
    met: Counter[str] = Counter()
    for each in mixed.ours:
        spoken = each.spoken()
        assert spoken == {peer: (version | best)[peer] for peer in spoken}
        met.update(spoken.values())
    assert set(met) == {"/meshsub/1.1.0", "/meshsub/1.2.0", "/meshsub/1.3.0"}
    for index, host in enumerate(mixed.go.nodes):
        known = sum(host.peer in each.spoken() for each in mixed.ours)
        towards_us: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(towards_us) < known:
                listed = await mixed.go.peers(index, TOPIC)
                towards_us = [protocol for peer, protocol in listed.items() if peer in best]
        assert known >= LINKS
        assert set(towards_us) == {version[host.peer]}


async def _all_messages_arrive_once(mixed: Mixed) -> None:
    others = 2 * EACH - 1
    for chunk in range(OF_EACH_HOST // CHUNK):
        async with asyncio.timeout(CHUNK_S):
            published, sent = await asyncio.gather(
                _publish(mixed.ours, chunk),
                mixed.go.publish_all(TOPIC, EACH * CHUNK, rate=RATE / 2, seed=chunk),
            )
            assert published == sent == EACH * CHUNK
            wanted = others * CHUNK * (chunk + 1)
            while any(len(each.reader) < wanted for each in mixed.ours):  # noqa: ASYNC110 - readers have no event
                await asyncio.sleep(0.01)
    wanted = others * OF_EACH_HOST
    for one in await mixed.go.received_all(TOPIC, at_least=wanted, within_s=CHUNK_S):
        assert (one.deliveries, one.distinct, one.duplicates) == (wanted, wanted, 0)
        assert one.senders == {peer: OF_EACH_HOST for peer in mixed.everyone if peer != one.peer}
    for each in mixed.ours:
        assert (len(each.reader), each.reader.dropped) == (wanted, 0)
        messages = [await anext(each.reader) for _ in range(wanted)]
        assert len({message.id for message in messages}) == wanted
        assert len({(message.sender, message.data) for message in messages}) == wanted
        senders = Counter(str(PeerId.from_bytes(message.sender or b"")) for message in messages)
        assert senders == {peer: OF_EACH_HOST for peer in mixed.everyone if peer != str(each.node.peer_id)}


async def _publish(ours: Sequence[Member], chunk: int) -> int:
    """`CHUNK` messages of each of ours, in turn, at half of `RATE`; how many."""
    began, count = time.monotonic(), 0
    for number in range(CHUNK):
        for each in ours:
            await each.topic.publish(b"%d of %d" % (number, chunk) + bytes(180))
            count += 1
        await asyncio.sleep(max(0.0, began + 2 * count / RATE - time.monotonic()))
    return count


async def _a_third_comes_back(mixed: Mixed) -> None:
    """Once all have neighbours again, a message reaches everyone within a few heartbeats. What is published before that
    may never reach a host whose neighbours all take it into their meshes at the next heartbeat: they tell only those
    outside of messages that went past."""
    keys = [each.node.key for each in mixed.ours[-THIRD:]]
    for each in mixed.ours[-THIRD:]:
        for connection in each.node.connections:
            connection.abort(Closed("killed"))
        await each.node.stop()
    for index in range(EACH - THIRD, EACH):
        await mixed.go.kill(index)
    for index, key in enumerate(keys, EACH - THIRD):
        mixed.ours[index] = await member(mixed.nodes, key)
    for index in range(EACH - THIRD, EACH):
        await mixed.go.restart(index)
    for index in range(EACH - THIRD, EACH):
        await mixed.link(index)
        for step in range(1, LINKS + 1):
            await mixed.go.connect(index, mixed.go_address(index + step))
    await eventually(lambda: all(each.knows_its_peers() for each in mixed.ours), "our peers")
    await mixed.go.meshes(TOPIC, at_least=LINKS)
    await eventually(lambda: all(each.topic.mesh() for each in mixed.ours), "a neighbour for each")
    await eventually(
        lambda: all(len(each.topic.mesh()) >= LINKS for each in mixed.ours[-THIRD:]), "their meshes"
    )

    counted = [(2 * EACH - 1) * OF_EACH_HOST] * (EACH - THIRD) + [None] * THIRD
    await _all_have(mixed, counted, b"after, from us", mixed.ours[-1].topic.publish(b"after, from us"))
    counted = [each and each + 1 for each in counted]
    last = mixed.go.publish(EACH - 1, TOPIC, b"after, from go")
    await _all_have(mixed, counted, b"after, from go", last)


async def _all_have(
    mixed: Mixed, counted: Sequence[int | None], data: bytes, publish: Coroutine[Any, Any, object]
) -> None:
    """Publish a message and see it come everywhere. ``counted`` is what each of Go's hosts had before, or None where
    nobody knows."""
    clock = mixed.ours[0]
    before = clock.beats()
    await publish

    async def ours(each: Member) -> int:
        async for message in each.reader:
            if message.data == data:
                break
        return clock.beats() - before

    async def theirs(index: int, had: int | None) -> int:
        if had is not None:
            await mixed.go.call(index, "pubsub_received", topic=TOPIC, at_least=had + 1)
        elif data.endswith(b"us") or index != EACH - 1:
            while data not in (await mixed.go.received(index, TOPIC)).messages:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        return clock.beats() - before

    publisher = mixed.ours[-1] if data.endswith(b"us") else None
    async with asyncio.timeout(PATIENCE_S):
        took = await asyncio.gather(
            *(ours(each) for each in mixed.ours if each is not publisher),
            *(theirs(index, had) for index, had in enumerate(counted)),
        )
    assert max(took) <= BEATS
