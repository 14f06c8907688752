"""Slow readers, slow peers, and peers that do not read at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from mesh.codecs.gossip import Rpc
from mesh.errors import Closed, LimitError
from mesh.services.gossip import Overflow
from tests.network.live import PATIENCE_S, Nodes, eventually, round_trip
from tests.services.gossip.network import gossip_node, meshed, pair, stranger, take

BLOCK = bytes(64 * 1024)
HELD_BLOCKS = 80
"""More than what a peer's queue, window and the stream's records hold of them."""


async def still(count: Callable[[], int]) -> None:
    """Wait until a count has stayed as it is for many turns of the loop."""
    before, turns = count(), 0
    async with asyncio.timeout(PATIENCE_S):
        while turns < 1000:
            await asyncio.sleep(0)
            turns = turns + 1 if count() == before else 0
            before = count()


async def test_what_a_slow_reader_has_no_room_for_is_dropped_and_counted(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    newest, oldest = theirs.subscribe(buffer=10), theirs.subscribe(buffer=10, overflow=Overflow.DROP_OLDEST)
    ample = theirs.subscribe()
    small = theirs.subscribe(buffer_bytes=5)
    await meshed(ours)
    for number in range(30):
        await ours.publish(b"%02d" % number)
    await take(ample, 30)
    assert (newest.dropped, oldest.dropped, small.dropped) == (20, 20, 28)
    assert [each.data for each in await take(newest, 10)] == [b"%02d" % number for number in range(10)]
    assert [each.data for each in await take(oldest, 10)] == [b"%02d" % number for number in range(20, 30)]
    assert [each.data for each in await take(small, 2)] == [b"00", b"01"]
    assert second.counters["gossip.reader_slow"] == 68
    await ours.publish(b"longer than all the buffer")
    assert [each.data for each in await take(small, 1)] == [b"longer than all the buffer"]


async def test_a_publisher_waits_for_a_slow_peer_and_loses_nothing(nodes: Nodes) -> None:
    node, other = await gossip_node(nodes, publish_patience_s=60.0), await stranger(nodes)
    topic = node.pubsub.join("x")
    await other.enter(node, "x")
    await meshed(topic)
    other.reads.clear()
    published = 0

    async def publish() -> None:
        nonlocal published
        for _ in range(2 * HELD_BLOCKS):
            assert await topic.publish(BLOCK) == 1
            published += 1

    publisher = asyncio.create_task(publish())
    await eventually(lambda: published >= HELD_BLOCKS // 2, "a full queue")
    await still(lambda: published)
    assert published < HELD_BLOCKS
    other.reads.set()
    async with asyncio.timeout(PATIENCE_S):
        await publisher

    def arrived() -> int:
        return sum(len(each.publish) for each in other.received)

    await eventually(lambda: arrived() == 2 * HELD_BLOCKS, "every message")
    assert node.counters["gossip.peer_stalled"] == 0


async def test_a_peer_that_does_not_read_stops_nobody_for_ever(nodes: Nodes) -> None:
    node, listener = await gossip_node(nodes, publish_patience_s=1.0), await gossip_node(nodes, "")
    other = await stranger(nodes)
    topic, theirs = node.pubsub.join("x"), listener.pubsub.join("x")
    reader = theirs.subscribe()
    await listener.connect(node.listen_addrs[0])
    await other.enter(node, "x")
    await eventually(lambda: len(topic.mesh()) == 2, "both in the mesh")
    other.reads.clear()
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(HELD_BLOCKS):
            assert await topic.publish(BLOCK)
    assert len(await take(reader, HELD_BLOCKS)) == HELD_BLOCKS
    assert node.counters["gossip.peer_stalled"] == 1
    assert node.pubsub.counts()["dropped_full"] > 0
    other.reads.set()
    before = node.pubsub.counts()["dropped_full"]
    await eventually(lambda: len(other.received) > 60, "the stalled peer's backlog")
    assert await topic.publish(b"again") == 2
    assert node.pubsub.counts()["dropped_full"] == before


async def test_who_waits_to_publish_is_told_of_the_end(nodes: Nodes) -> None:
    node, other = await gossip_node(nodes, publish_patience_s=60.0), await stranger(nodes)
    topic = node.pubsub.join("x")
    await other.enter(node, "x")
    await meshed(topic)
    other.reads.clear()

    async def publish() -> None:
        for _ in range(HELD_BLOCKS):
            await topic.publish(BLOCK)

    publisher = asyncio.create_task(publish())
    await eventually(lambda: node.pubsub.counts()["published"] >= HELD_BLOCKS // 2, "a full queue")
    await still(lambda: node.pubsub.counts()["published"])
    await node.stop()
    with pytest.raises(Closed, match="stopped"):
        await publisher


async def test_a_peer_that_goes_is_not_waited_for(nodes: Nodes) -> None:
    node, other = await gossip_node(nodes, publish_patience_s=60.0), await stranger(nodes)
    topic = node.pubsub.join("x")
    await other.enter(node, "x")
    await meshed(topic)
    other.reads.clear()

    async def publish() -> None:
        for _ in range(HELD_BLOCKS):
            await topic.publish(BLOCK)

    publisher = asyncio.create_task(publish())
    await eventually(lambda: node.pubsub.counts()["published"] >= HELD_BLOCKS // 2, "a full queue")
    await still(lambda: node.pubsub.counts()["published"])
    await other.node.stop()
    async with asyncio.timeout(PATIENCE_S):
        await publisher


async def test_a_publisher_that_never_waits_lets_others_work(nodes: Nodes) -> None:
    node = await gossip_node(nodes)
    topic = node.pubsub.join("x")
    turns = 0
    publishing = True

    async def work() -> None:
        nonlocal turns
        while publishing:
            turns += 1
            await asyncio.sleep(0)

    worker = asyncio.create_task(work())
    for _ in range(2000):
        await topic.publish(bytes(1000))
    publishing = False
    await worker
    assert turns > 1


@pytest.mark.parametrize("size", [2**20, 2**20 - 100, 2**22])
async def test_a_message_that_fits_into_no_rpc_is_refused(nodes: Nodes, size: int) -> None:
    node = await gossip_node(nodes)
    topic = node.pubsub.join("x")
    with pytest.raises(LimitError, match=r"1048568.*gossip\.max_rpc_bytes"):
        await topic.publish(bytes(size))


async def test_the_longest_rpc_is_a_setting(nodes: Nodes) -> None:
    first, second = await pair(nodes, max_rpc_bytes=1024)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    reader = theirs.subscribe()
    await meshed(ours)
    with pytest.raises(LimitError, match="1016"):
        await ours.publish(bytes(1000))
    for number in range(100):
        await ours.publish(bytes(300) + b"%d" % number)
    assert len(await take(reader, 100)) == 100
    assert first.counters["gossip.stream_lost"] == second.counters["gossip.stream_lost"] == 0


async def test_pings_pass_while_many_messages_come(nodes: Nodes) -> None:
    node, other, third = await gossip_node(nodes), await stranger(nodes), await nodes.start("")
    reader = node.pubsub.join("x").subscribe(buffer=10_000)
    await other.enter(node, "x")
    await round_trip(third, node)
    messages = [other.message("x", b"%d" % number) for number in range(4000)]
    flood = asyncio.create_task(other.send(Rpc(publish=messages)))
    await eventually(lambda: node.pubsub.counts()["delivered"], "the first of them")
    await round_trip(third, node)
    assert node.pubsub.counts()["delivered"] < 4000
    await flood
    assert len(await take(reader, 4000)) == 4000
