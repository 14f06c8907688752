"""Nodes with pubsub, and a peer that plays it by hand."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from mesh.codecs.gossip import Rpc, Subscription
from mesh.config import GossipSection
from mesh.errors import MeshError
from mesh.framing import delimited
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.gossip.signing import Policy, seal
from mesh.services.gossip import Message, Topic
from mesh.services.gossip import Subscription as Reader
from tests.network.live import PATIENCE_S, Nodes, configured, eventually

HEARTBEAT_S = 0.05
VERSION = "/meshsub/1.2.0"


async def gossip_node(
    nodes: Nodes, *listen: str, others: dict[str, Any] | None = None, **settings: Any
) -> Node:
    """A running node with pubsub; ``settings`` are of its section, ``others`` of other sections."""
    node = make_node(nodes, *listen, others=others, **settings)
    await node.start()
    return node


def make_node(nodes: Nodes, *listen: str, others: dict[str, Any] | None = None, **settings: Any) -> Node:
    """The same, not started; it is stopped with the test."""
    config = configured(*listen, **(others or {}))
    section = GossipSection(**{"enabled": True, "heartbeat_s": HEARTBEAT_S, **settings})
    node = Node(dataclasses.replace(config, gossip=section), memory=nodes.memory)
    nodes.push_async_callback(node.stop)
    return node


async def pair(nodes: Nodes, **settings: Any) -> tuple[Node, Node]:
    """Two connected nodes over TCP."""
    first, second = await gossip_node(nodes, **settings), await gossip_node(nodes, **settings)
    await second.connect(first.listen_addrs[0])
    await eventually(lambda: first.pubsub.peers() and second.pubsub.peers(), "pubsub on both sides")
    return first, second


async def meshed(*topics: Topic) -> None:
    """Wait until every one of these has a neighbour."""
    await eventually(lambda: all(each.mesh() for each in topics), "a mesh for all")


async def take(reader: Reader, count: int) -> list[Message]:
    """The next messages."""
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(reader) for _ in range(count)]


class Stranger:
    """A node that serves a pubsub protocol by hand: what is sent to it is kept, and it sends what a test says."""

    def __init__(self, node: Node, protocol: str = VERSION) -> None:
        self.node = node
        self.protocol = protocol
        self.streams: list[Stream] = []
        """Those the other side opened."""
        self.received: list[Rpc] = []
        self.reads = asyncio.Event()
        """Whether it does."""
        self.reads.set()
        self.resets = False
        """Every stream at once."""
        self.own: Stream | None = None
        self.sent = 0
        node.handle(protocol, self._serve)

    async def _serve(self, stream: Stream) -> None:
        self.streams.append(stream)
        if self.resets:
            stream.reset()
            return
        try:
            while True:
                await self.reads.wait()
                self.received.append(Rpc.decode(await stream.read_message(2**20)))
        except MeshError:
            return

    async def connect(self, target: Node) -> Connection:
        """Connect, and wait for the stream that the other side opens."""
        connection = await self.node.connect(target.listen_addrs[0])
        await eventually(lambda: self.streams, "a stream to the stranger")
        return connection

    async def open(self, target: Node) -> Stream:
        """A stream of its own to send over."""
        self.own = await self.node.open(target.peer_id, self.protocol)
        return self.own

    async def send(self, rpc: Rpc) -> None:
        """Send an RPC over the latest stream of its own."""
        await self.write(delimited.encode(rpc.encode()))

    async def write(self, data: bytes) -> None:
        """Send bytes, whatever they are."""
        assert self.own is not None
        await self.own.write(data)

    async def enter(self, target: Node, topic: str) -> None:
        """Connect, open a stream and be in a topic; wait until the other side knows."""
        await self.connect(target)
        await self.open(target)
        await self.send(Rpc(subscriptions=[Subscription(True, topic)]))
        await eventually(lambda: self.node.peer_id in target.pubsub.peers(topic), "the stranger in the topic")

    def message(self, topic: str, data: bytes) -> bytes:
        """A message it signed, encoded."""
        self.sent += 1
        key, sender = self.node.key, self.node.peer_id.to_bytes()
        return seal(topic, data, sender, self.sent.to_bytes(8, "big"), key, Policy.STRICT_SIGN)[1]

    def told_of(self, topic: str) -> bool:
        """Whether the other side said that it is in a topic."""
        return any(
            each.subscribe and each.topic == topic for rpc in self.received for each in rpc.subscriptions
        )


async def stranger(nodes: Nodes, protocol: str = VERSION) -> Stranger:
    """A running one that dials and does not listen."""
    return Stranger(await nodes.start(""), protocol)
