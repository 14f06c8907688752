"""Streams to peers: kept, used again, replaced when the peer ended them, bounded."""

from __future__ import annotations

import asyncio

import pytest

from mesh.codecs.kademlia import Answer, Message, MessageType
from mesh.errors import Closed, DecodeError, ProtocolNotSupported, StreamReset, TimedOut
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.services.kademlia import links as sending
from mesh.services.kademlia.links import Links
from tests.network.live import MEMORY, PATIENCE_S, Nodes, connected, eventually
from tests.services.kademlia.network import PREFIX, dht_node

PROTOCOL = f"{PREFIX}/kad/1.0.0"
QUESTION = Message(MessageType.FIND_NODE, b"anything").encode()
ANSWER = Message(MessageType.FIND_NODE).encode()


class Peer:
    """A peer that answers as the test has it. ``streams`` are those opened to it, ``requests`` counts what came."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.streams: list[Stream] = []
        self.requests = 0
        self.answers = asyncio.Event()
        self.answers.set()
        node.handle(PROTOCOL, self.serve)

    async def serve(self, stream: Stream) -> None:
        self.streams.append(stream)
        while True:
            await stream.read_message(Message.MAX_BYTES)
            self.requests += 1
            await self.answers.wait()
            await stream.write_message(ANSWER)


async def prepared(nodes: Nodes, count: int = 1) -> tuple[Node, Links, list[Peer]]:
    """A client connected to ``count`` peers; its table stays out of this: only the links are used."""
    client = await nodes.start("", mode="client", prefix="/other")
    links = Links(client.dht._host, PROTOCOL, client.dht._spawn, client.counters)
    peers = [Peer(await nodes.start(MEMORY)) for _ in range(count)]
    for each in peers:
        await client.connect(each.node.listen_addrs[0])
    return client, links, peers


async def ask(links: Links, peer: Peer, limit_s: float = PATIENCE_S) -> None:
    answer = await links.request(peer.node.peer_id, (), QUESTION, limit_s)
    assert answer.type is MessageType.FIND_NODE


async def test_a_stream_is_kept_and_used_again(nodes: Nodes) -> None:
    _, links, (peer,) = await prepared(nodes)
    for _ in range(5):
        await ask(links, peer)
    told: list[object] = []
    links.tell(peer.node.peer_id, (), QUESTION, PATIENCE_S, told.append)
    await eventually(lambda: peer.requests == 6)
    assert told == [Answer()]
    assert len(peer.streams) == 1


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_stream_that_the_peer_ended_is_replaced(nodes: Nodes, end: str) -> None:
    client, links, (peer,) = await prepared(nodes)
    for number in range(1, 4):
        await ask(links, peer)
        assert len(peer.streams) == number
        stream = peer.streams[-1]
        if end == "reset":
            stream.reset()
        else:
            await stream.close()
    connection = await connected(client, peer.node)
    await eventually(lambda: connection.stream_count <= 1)


async def test_a_new_stream_that_is_ended_is_a_failure(nodes: Nodes) -> None:
    _, links, (peer,) = await prepared(nodes)

    async def refuse(stream: Stream) -> None:
        await stream.read(1)
        stream.reset(7)

    peer.node.unhandle(PROTOCOL)
    peer.node.handle(PROTOCOL, refuse)
    with pytest.raises(StreamReset):
        await ask(links, peer)
    peer.node.unhandle(PROTOCOL)
    with pytest.raises((ProtocolNotSupported, StreamReset)):
        await ask(links, peer)


async def test_many_at_once_have_streams_of_their_own(nodes: Nodes) -> None:
    client, links, (peer,) = await prepared(nodes)
    peer.answers.clear()
    asked = [asyncio.ensure_future(ask(links, peer)) for _ in range(20)]
    await eventually(lambda: peer.requests == 20)
    assert len(peer.streams) == 20
    peer.answers.set()
    await asyncio.gather(*asked)
    connection = await connected(client, peer.node)
    await eventually(lambda: connection.stream_count == 1, "the surplus closed")
    await ask(links, peer)
    assert len(peer.streams) == 20


async def test_no_more_are_kept_than_that(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MAX_KEPT", 2)
    client, links, peers = await prepared(nodes, 3)
    for peer in peers:
        await ask(links, peer)
    oldest = await connected(client, peers[0].node)
    await eventually(lambda: oldest.stream_count == 0, "the one unused for longest closed")
    for peer in (peers[1], peers[2], peers[0]):
        await ask(links, peer)
    assert [len(peer.streams) for peer in peers] == [2, 1, 1]


async def test_a_late_answer_is_a_failure_and_answers_nothing_else(nodes: Nodes) -> None:
    client, links, (peer,) = await prepared(nodes)
    peer.answers.clear()
    with pytest.raises(TimedOut, match="did not answer"):
        await ask(links, peer, 0.05)
    connection = await connected(client, peer.node)
    await eventually(lambda: connection.stream_count == 0)
    peer.answers.set()
    await ask(links, peer)
    assert len(peer.streams) == 2


async def test_cancelled_requests_leave_no_stream(nodes: Nodes) -> None:
    client, links, (peer,) = await prepared(nodes)
    peer.answers.clear()
    asked = [asyncio.ensure_future(ask(links, peer)) for _ in range(5)]
    await eventually(lambda: peer.requests == 5)
    for each in asked:
        each.cancel()
    await asyncio.wait(asked)
    connection = await connected(client, peer.node)
    await eventually(lambda: connection.stream_count == 0)


@pytest.mark.parametrize("busy", [True, False], ids=["under way", "afterwards"])
async def test_the_end_of_the_service_ends_requests(nodes: Nodes, busy: bool) -> None:
    client, links, (peer,) = await prepared(nodes)
    await ask(links, peer)
    peer.answers.clear()
    asked = asyncio.ensure_future(ask(links, peer)) if busy else None
    await eventually(lambda: peer.requests == 1 + busy)
    links.stop()
    with pytest.raises(Closed, match="stopped"):
        await (asked or ask(links, peer))
    connection = await connected(client, peer.node)
    await eventually(lambda: connection.stream_count == 0)


async def test_a_long_answer_comes_whole(nodes: Nodes) -> None:
    _, links, (peer,) = await prepared(nodes)
    long = Answer(MessageType.FIND_NODE, closer_peers=[bytes([each]) * 4000 for each in range(20)])

    async def answer(stream: Stream) -> None:
        while True:
            await stream.read_message(Message.MAX_BYTES)
            await stream.write_message(long.encode())

    peer.node.unhandle(PROTOCOL)
    peer.node.handle(PROTOCOL, answer)
    for _ in range(3):
        assert await links.request(peer.node.peer_id, (), QUESTION, PATIENCE_S) == long


async def test_garbage_is_a_failure_and_ends_the_stream(nodes: Nodes) -> None:
    client, links, (peer,) = await prepared(nodes)

    async def garble(stream: Stream) -> None:
        await stream.read_message(Message.MAX_BYTES)
        await stream.write(b"\x03\xff\xff\xff")

    peer.node.unhandle(PROTOCOL)
    peer.node.handle(PROTOCOL, garble)
    with pytest.raises(DecodeError):
        await ask(links, peer)
    connection = await connected(client, peer.node)
    await eventually(lambda: connection.stream_count == 0)


async def test_another_connection_after_the_first_was_lost(nodes: Nodes) -> None:
    server = await dht_node(nodes)
    client = await dht_node(nodes, mode="client")
    await client.connect(server.listen_addrs[0])
    await eventually(lambda: server.peer_id in client.dht.table)
    for _ in range(2):
        assert await client.dht.closest_peers(b"anything") == [server.peer_id]
        await (await connected(client, server)).close()
