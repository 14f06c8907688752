"""Messages between nodes over loopback: to everyone, once, whoever comes when."""

from __future__ import annotations

import asyncio
import gc

import pytest

from mesh.errors import UsageError
from mesh.services.gossip import Overflow
from tests.network.live import MEMORY, TCP, Nodes, eventually
from tests.services.gossip.network import gossip_node, make_node, meshed, pair, take


async def test_a_message_arrives_with_all_that_is_known_of_it(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    reader = theirs.subscribe()
    await meshed(ours, theirs)
    assert await ours.publish(b"hello") == 1
    (message,) = await take(reader, 1)
    assert (message.topic, message.data) == ("x", b"hello")
    assert message.author == message.received_from == first.peer_id
    assert message.seqno is not None
    assert len(message.seqno) == 8
    assert message.id == first.peer_id.to_bytes() + message.seqno
    assert ours.peers() == ours.mesh() == first.pubsub.mesh("x") == [second.peer_id]
    assert first.pubsub.topics() == ["x"]


async def test_sequence_numbers_rise(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    reader = theirs.subscribe()
    await meshed(ours)
    for number in range(50):
        await ours.publish(b"%d" % number)
    messages = await take(reader, 50)
    assert [each.data for each in messages] == [b"%d" % number for number in range(50)]
    numbers = [each.seqno or b"" for each in messages]
    assert numbers == sorted(set(numbers))


async def test_every_one_of_twenty_gets_each_message_once(nodes: Nodes) -> None:
    members = [await gossip_node(nodes, d_lazy=3) for _ in range(20)]
    for index, node in enumerate(members):
        for step in (1, 3, 7):
            await node.connect(members[(index + step) % 20].listen_addrs[0])
    topics = [node.pubsub.join("x") for node in members]
    readers = [topic.subscribe(own=True) for topic in topics]
    await eventually(lambda: all(len(each.mesh()) >= 3 for each in topics), "the meshes")
    for number in range(10):
        for index, topic in enumerate(topics):
            assert await topic.publish(b"%d of %d" % (number, index))
    expected = sorted(b"%d of %d" % (number, index) for number in range(10) for index in range(20))
    for reader in readers:
        assert sorted(each.data for each in await take(reader, 200)) == expected
    assert sum(node.pubsub.counts()["duplicates"] for node in members) > 0
    assert all(not len(reader) for reader in readers)


async def test_a_message_crosses_nodes_that_are_not_connected(nodes: Nodes) -> None:
    left, middle, right = [await gossip_node(nodes, MEMORY) for _ in range(3)]
    await left.connect(middle.listen_addrs[0])
    await right.connect(middle.listen_addrs[0])
    topics = [node.pubsub.join("x") for node in (left, middle, right)]
    reader = topics[2].subscribe()
    await meshed(topics[0], topics[2])
    await eventually(lambda: len(topics[1].mesh()) == 2, "both in the middle's mesh")
    await topics[0].publish(b"far")
    (message,) = await take(reader, 1)
    assert message.author == left.peer_id
    assert message.received_from == middle.peer_id


async def test_who_joins_late_gets_what_is_published_from_then_on(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    await meshed(ours, theirs)
    await ours.publish(b"before")
    late = await gossip_node(nodes)
    topic = late.pubsub.join("x")
    reader = topic.subscribe()
    await late.connect(first.listen_addrs[0])
    await eventually(lambda: late.peer_id in ours.mesh(), "the late one in the mesh")
    await ours.publish(b"after")
    messages = await take(reader, 1)
    if messages[0].data == b"before":  # told of by gossip in time
        messages = await take(reader, 1)
    assert messages[0].data == b"after"


async def test_a_node_that_starts_again_is_found_again(nodes: Nodes) -> None:
    first = await gossip_node(nodes)
    second = make_node(nodes, "")
    await second.start()
    ours = first.pubsub.join("x")
    for life in range(2):
        if life:
            await second.stop()
            await eventually(lambda: not ours.peers(), "the peer gone")
            await second.start()
        await second.connect(first.listen_addrs[0])
        theirs = second.pubsub.join("x")
        reader = theirs.subscribe()
        await meshed(ours, theirs)
        await ours.publish(b"life %d" % life)
        heard = [each.data for each in await take(reader, 1)]
        if heard == [b"life 0"] and life:  # told of by gossip: it was said lately
            heard = [each.data for each in await take(reader, 1)]
        assert heard == [b"life %d" % life]


async def test_pubsub_survives_the_end_of_one_of_two_connections(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    await meshed(ours, theirs)
    (old,) = first.connections
    await second.swarm.dial(first.peer_id, first.listen_addrs)
    await eventually(lambda: len(first.connections) == 2, "a second connection")
    await old.close()
    reader = theirs.subscribe()
    await eventually(lambda: not ours.peers(), "the stream lost")
    await meshed(ours, theirs)
    await ours.publish(b"still here")
    assert (await take(reader, 1))[0].data == b"still here"


async def test_each_subscription_has_its_own_messages(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    one, other = theirs.subscribe(), theirs.subscribe(overflow=Overflow.DROP_OLDEST)
    await meshed(ours)
    await ours.publish(b"hello")
    assert [each.data for each in await take(one, 1) + await take(other, 1)] == [b"hello", b"hello"]
    with one:
        pass
    await ours.publish(b"again")
    assert (await take(other, 1))[0].data == b"again"
    assert [each async for each in one] == []


async def test_own_messages_come_only_if_wanted(nodes: Nodes) -> None:
    node = await gossip_node(nodes)
    topic = node.pubsub.join("x")
    without, wanted = topic.subscribe(), topic.subscribe(own=True)
    assert await topic.publish(b"to nobody else") == 0
    (message,) = await take(wanted, 1)
    assert message.received_from == message.author == node.peer_id
    assert not len(without)


async def test_leaving_ends_subscriptions_and_tells_peers(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours = first.pubsub.join("x")
    async with second.pubsub.join("x") as theirs:
        reader = theirs.subscribe()
        await meshed(ours, theirs)
        await ours.publish(b"last")
        await eventually(lambda: len(reader) == 1, "the message")
    assert [each.data async for each in reader] == [b"last"]
    await eventually(lambda: not ours.peers(), "the peer out of the topic")
    assert second.pubsub.topics() == []
    await theirs.leave()
    assert [each async for each in theirs.subscribe()] == []
    async with second.pubsub.join("x"):
        await eventually(lambda: ours.peers(), "the peer back in the topic")


async def test_a_waiting_reader_ends_with_the_node(nodes: Nodes) -> None:
    node = await gossip_node(nodes)
    reader = node.pubsub.join("x").subscribe()
    waiting = asyncio.ensure_future(anext(reader, None))
    await asyncio.sleep(0)
    with pytest.raises(UsageError, match="another task"):
        await anext(reader)
    await node.stop()
    assert await waiting is None


async def test_a_subscription_that_nobody_holds_is_forgotten(nodes: Nodes) -> None:
    node = await gossip_node(nodes)
    topic = node.pubsub.join("x")
    reader = topic.subscribe(own=True)
    assert topic.heard
    del reader
    gc.collect()
    assert not topic.heard


async def test_who_is_not_in_a_topic_can_publish_to_it(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    reader = second.pubsub.join("x").subscribe()
    await eventually(lambda: first.pubsub.peers("x"), "the peer in the topic")
    assert await first.pubsub.publish("x", b"from outside") == 1
    assert (await take(reader, 1))[0].data == b"from outside"
    assert first.pubsub.topics() == []


async def test_floodsub_alone_passes_messages_on(nodes: Nodes) -> None:
    left, middle, right = [await gossip_node(nodes, protocols=("/floodsub/1.0.0",)) for _ in range(3)]
    await left.connect(middle.listen_addrs[0])
    await right.connect(middle.listen_addrs[0])
    topics = [node.pubsub.join("x") for node in (left, middle, right)]
    reader = topics[2].subscribe()
    await eventually(lambda: topics[0].peers() and len(topics[1].peers()) == 2, "all in the topic")
    assert await topics[0].publish(b"flood") == 1
    assert (await take(reader, 1))[0].data == b"flood"
    assert topics[1].mesh() == []


@pytest.mark.parametrize("old", ["/meshsub/1.0.0", "/meshsub/1.1.0", "/meshsub/1.2.0", "/floodsub/1.0.0"])
async def test_an_older_version_is_spoken_with_those_that_have_no_newer(nodes: Nodes, old: str) -> None:
    first, second = await gossip_node(nodes), await gossip_node(nodes, "", protocols=(old,))
    await second.connect(first.listen_addrs[0])
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    reader, back = theirs.subscribe(), ours.subscribe()
    await eventually(lambda: ours.peers() and theirs.peers(), "both in the topic")
    if not old.startswith("/floodsub"):
        await meshed(ours, theirs)
    await ours.publish(b"hello")
    await theirs.publish(b"hi")
    assert (await take(reader, 1))[0].data == b"hello"
    assert (await take(back, 1))[0].data == b"hi"


async def test_a_message_of_nearly_a_mebibyte_arrives(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    reader = theirs.subscribe()
    await meshed(ours)
    data = bytes(range(256)) * 4080
    await ours.publish(data)
    await ours.publish(b"small")
    assert [each.data for each in await take(reader, 2)] == [data, b"small"]


async def test_a_topic_may_have_message_ids_of_its_own(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours = first.pubsub.join("x", message_id=lambda message: (message.data or b"")[:1])
    theirs = second.pubsub.join("x", message_id=lambda message: (message.data or b"")[:1])
    reader = theirs.subscribe()
    await meshed(ours, theirs)
    assert await ours.publish(b"a first") == 1
    assert await ours.publish(b"a second") == 0
    assert await ours.publish(b"b third") == 1
    assert [(each.id, each.data) for each in await take(reader, 2)] == [
        (b"a", b"a first"),
        (b"b", b"b third"),
    ]


async def test_messages_whose_id_cannot_be_made_are_dropped(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours = first.pubsub.join("x")
    theirs = second.pubsub.join("x", message_id=lambda message: (message.data or b"").split(b":")[1])
    reader = theirs.subscribe()
    await meshed(ours)
    await ours.publish(b"no colon")
    await ours.publish(b"id:1")
    assert [each.data for each in await take(reader, 1)] == [b"id:1"]
    assert second.counters["gossip.message_id:crashed"] == 1


async def test_what_can_never_work_is_said_at_once(nodes: Nodes) -> None:
    node = await gossip_node(nodes)
    topic = node.pubsub.join("x")
    with pytest.raises(UsageError, match="joined already"):
        node.pubsub.join("x")
    with pytest.raises(UsageError):
        node.pubsub.join("y" * 5000)
    with pytest.raises(UsageError, match="holds nothing"):
        topic.subscribe(buffer=0)
    await node.stop()
    with pytest.raises(UsageError, match="not running"):
        node.pubsub.join("x")
    with pytest.raises(UsageError, match="been left"):
        await topic.publish(b"late")
    with pytest.raises(UsageError, match="not running"):
        await node.pubsub.publish("x", b"late")


async def test_pubsub_is_off_unless_asked_for(nodes: Nodes) -> None:
    quiet, node = await nodes.start(TCP), await gossip_node(nodes, "")
    with pytest.raises(UsageError, match=r"gossip\.enabled"):
        _ = quiet.pubsub
    assert not [each for each in quiet.protocols if "sub" in each]
    connection = await node.connect(quiet.listen_addrs[0])
    await eventually(lambda: connection.remote_protocols is not None, "identify")
    assert node.pubsub.peers() == []
