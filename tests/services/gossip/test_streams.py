"""Streams as hostile or broken peers use them."""

from __future__ import annotations

import pytest

from mesh.codecs.gossip import Control, Graft, Rpc, Subscription
from mesh.errors import StreamReset
from mesh.framing import delimited
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.services.identify import PROTOCOL_ID as IDENTIFY
from tests.network.live import Nodes, connected, eventually, round_trip
from tests.services.gossip.network import VERSION, gossip_node, meshed, pair, stranger, take

MANY = 4


async def ended(stream: Stream) -> None:
    """The other side resets it."""
    with pytest.raises(StreamReset):
        await stream.read_all(2**20)


async def member(nodes: Nodes) -> Node:
    node = await gossip_node(nodes)
    node.pubsub.join("x")
    return node


async def test_the_first_rpc_tells_the_topics(nodes: Nodes) -> None:
    node, other = await member(nodes), await stranger(nodes)
    node.pubsub.join("y")
    await other.connect(node)
    await eventually(lambda: other.received, "an RPC")
    assert [(each.topic, each.subscribe) for each in other.received[0].subscriptions] == [
        ("x", True),
        ("y", True),
    ]
    assert len(other.streams) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x03\x0a\xff\x01",
        b"\xff\xff\xff\xff\xff",
        b"\x81\x80\x40" + bytes(100),
        delimited.encode(b"\x1a\x02\x1a\x05"),
    ],
    ids=["cut field", "length without end", "over a mebibyte", "cut control"],
)
async def test_what_is_no_rpc_ends_the_stream_and_not_the_connection(nodes: Nodes, garbage: bytes) -> None:
    node, other = await member(nodes), await stranger(nodes)
    await other.enter(node, "x")
    assert other.own is not None
    await other.write(garbage)
    await ended(other.own)
    await other.open(node)
    await other.send(Rpc(subscriptions=[Subscription(True, "after")]))
    await eventually(lambda: node.pubsub.peers("after"), "the next stream heard")
    assert len(node.connections) == 1


async def test_too_much_beside_messages_ends_the_stream(nodes: Nodes) -> None:
    node, other = await member(nodes), await stranger(nodes)
    await other.enter(node, "x")
    assert other.own is not None
    grafts = [Graft("t" * 100 + str(number)) for number in range(5500)]
    await other.send(Rpc(control=Control(graft=grafts)))
    await ended(other.own)
    assert node.counters["gossip.undecodable"] == 1


async def test_messages_may_take_all_of_a_mebibyte(nodes: Nodes) -> None:
    node, other = await gossip_node(nodes), await stranger(nodes)
    reader = node.pubsub.join("x").subscribe()
    await other.enter(node, "x")
    await other.send(Rpc(publish=[other.message("x", bytes(500_000)), other.message("x", bytes(500_000))]))
    assert [len(each.data) for each in await take(reader, 2)] == [500_000, 500_000]


async def test_empty_rpcs_mean_nothing(nodes: Nodes) -> None:
    node, other = await gossip_node(nodes), await stranger(nodes)
    reader = node.pubsub.join("x").subscribe()
    await other.enter(node, "x")
    await other.write(
        bytes(1000) + delimited.encode(Rpc(publish=[other.message("x", b"hello")]).encode()) + bytes(3)
    )
    assert [each.data for each in await take(reader, 1)] == [b"hello"]


async def test_a_long_rpc_is_taken_whole(nodes: Nodes) -> None:
    node, other = await gossip_node(nodes), await stranger(nodes)
    reader = node.pubsub.join("x").subscribe()
    await other.enter(node, "x")
    messages = [other.message("x", b"%d" % number) for number in range(500)]
    await other.send(Rpc(publish=[*messages, b"\xff broken", *messages]))
    assert [each.data for each in await take(reader, 500)] == [b"%d" % number for number in range(500)]
    await eventually(lambda: node.pubsub.counts()["duplicates"] == 500, "the copies")
    assert node.pubsub.counts()["malformed"] == 1
    assert not len(reader)


async def test_a_second_stream_takes_the_place_of_the_first(nodes: Nodes) -> None:
    node, other = await gossip_node(nodes), await stranger(nodes)
    reader = node.pubsub.join("x").subscribe()
    await other.enter(node, "x")
    first = other.own
    assert first is not None
    await other.send(Rpc(publish=[other.message("x", b"over the first")]))
    assert (await take(reader, 1))[0].data == b"over the first"
    await other.open(node)
    await other.send(Rpc(publish=[other.message("x", b"over the second")]))
    assert (await take(reader, 1))[0].data == b"over the second"
    await ended(first)
    assert node.counters["gossip.stream_replaced"] == 1


async def test_what_comes_over_the_stream_we_opened_is_ignored(nodes: Nodes) -> None:
    node, other = await member(nodes), await stranger(nodes)
    await other.enter(node, "x")
    (stream,) = other.streams
    await stream.write(delimited.encode(Rpc(subscriptions=[Subscription(True, "smuggled")]).encode()))
    await eventually(lambda: node.counters["gossip.data_on_outbound"], "the data")
    node.pubsub.join("later")
    await eventually(lambda: other.told_of("later"), "the stream in use")
    assert node.pubsub.peers("smuggled") == []
    assert len(other.streams) == 1


async def test_a_peer_that_ends_every_stream_is_left_alone_until_it_identifies_anew(nodes: Nodes) -> None:
    node, other = await member(nodes), await stranger(nodes)
    other.resets = True
    await other.connect(node)
    await eventually(lambda: node.counters["gossip.given_up"] == 1, "giving up")
    assert len(other.streams) == 1 + MANY
    assert node.pubsub.peers() == []
    (connection,) = node.connections
    assert not connection.closed
    assert await round_trip(other.node, node) > 0
    own = await other.open(node)
    await ended(own)
    other.resets = False
    other.node.handle("/something/new", other._serve)
    await eventually(lambda: len(other.streams) == 2 + MANY, "another try")
    assert node.pubsub.peers() == [other.node.peer_id]
    assert node.connections == [connection]


async def test_a_stream_that_was_lost_once_is_opened_again(nodes: Nodes) -> None:
    node, other = await member(nodes), await stranger(nodes)
    await other.enter(node, "x")
    assert other.own is not None
    other.streams[0].reset()
    await ended(other.own)
    await eventually(lambda: len(other.streams) == 2, "another stream")
    await eventually(
        lambda: sum(bool(each.subscriptions) for each in other.received) == 2, "the topics again"
    )
    assert node.pubsub.peers("x") == []
    await other.open(node)
    await other.send(Rpc(subscriptions=[Subscription(True, "x")]))
    await eventually(lambda: node.pubsub.peers("x"), "the peer back in the topic")


async def test_who_is_heard_before_it_is_identified_is_heard(nodes: Nodes) -> None:
    """A peer that does not answer identify, but opens a stream and serves one."""
    node, other = await gossip_node(nodes), await stranger(nodes)
    reader = node.pubsub.join("x").subscribe()
    other.node.unhandle(IDENTIFY)
    await other.node.connect(node.listen_addrs[0])
    stream = await other.node.open(node.peer_id, VERSION)
    await stream.write(delimited.encode(Rpc(publish=[other.message("x", b"early")]).encode()))
    assert [each.data for each in await take(reader, 1)] == [b"early"]


async def test_who_only_sends_is_not_heard(nodes: Nodes) -> None:
    node, other = await member(nodes), await nodes.start("")
    await other.connect(node.listen_addrs[0])
    stream = await other.open(node.peer_id, VERSION)
    await stream.write(delimited.encode(Rpc(subscriptions=[Subscription(True, "x")]).encode()))
    await ended(stream)
    assert node.pubsub.peers() == []


async def test_an_ordered_end_of_the_peers_stream_is_no_fault(nodes: Nodes) -> None:
    node, other = await gossip_node(nodes), await stranger(nodes)
    reader = node.pubsub.join("x").subscribe()
    await other.enter(node, "x")
    assert other.own is not None
    await other.send(Rpc(publish=[other.message("x", b"last words")]))
    await other.own.close()
    assert (await take(reader, 1))[0].data == b"last words"
    assert node.pubsub.peers("x") == [other.node.peer_id]
    assert node.counters.total("handler.failed") == 0


async def test_peers_that_stop_speaking_pubsub_are_no_peers(nodes: Nodes) -> None:
    first, second = await pair(nodes)
    ours, theirs = first.pubsub.join("x"), second.pubsub.join("x")
    await meshed(ours, theirs)
    await second.pubsub.stop()
    await eventually(lambda: not first.pubsub.peers(), "the peer gone")
    assert (await connected(first, second)).usable
    assert await ours.publish(b"to nobody") == 0
