"""RPCs of a stream, whole or in pieces, and an owner that has enough of them for a while."""

from __future__ import annotations

import pytest

from mesh.errors import Malformed
from mesh.framing import delimited
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.services.gossip.inlet import Inlet
from tests.network.live import Nodes, eventually, round_trip
from tests.services.gossip.network import make_node

PROTOCOL = "/rpcs"
LONG = bytes(16 * 1024)
"""Longer than what a stream hands on whole."""


class Reader:
    """Two nodes: one reads RPCs and is held up when it has ``most`` of them, the other sends them."""

    def __init__(self, most: int = 1 << 30, max_rpc_bytes: int = 20_000) -> None:
        self.most = most
        self.max_rpc_bytes = max_rpc_bytes
        self.rpcs: list[bytes] = []
        self.inlet: Inlet | None = None

    @property
    def held_up(self) -> bool:
        return len(self.rpcs) >= self.most

    def take(self, rpc: bytes) -> None:
        self.rpcs.append(rpc)

    async def serve(self, stream: Stream) -> None:
        self.inlet = Inlet(stream, self.max_rpc_bytes, self)
        await self.inlet.ended

    async def open(self, nodes: Nodes) -> None:
        self.sender, self.node = await _running(nodes), await _running(nodes)
        self.node.handle(PROTOCOL, self.serve)
        self.stream = await self.sender.open(self.node.listen_addrs[0], PROTOCOL)
        await self.send(b"")
        await eventually(lambda: self.inlet is not None, "a reader of the stream")

    async def send(self, *pieces: bytes) -> None:
        """Send each alone; returns once the other side has it."""
        for piece in pieces:
            await self.stream.write(piece)
            await round_trip(self.sender, self.node)


async def _running(nodes: Nodes) -> Node:
    node = make_node(nodes)
    await node.start()
    return node


async def test_whole_ones_and_pieces_come_in_order(nodes: Nodes) -> None:
    reader = Reader()
    await reader.open(nodes)
    sent = [b"whole", b"in two pieces", b"whole again", LONG, b"", b"after the long one", b"last"]
    cut = delimited.encode(sent[1])
    await reader.send(delimited.encode(sent[0]), cut[:5], cut[5:])
    await reader.send(*map(delimited.encode, sent[2:-1]))
    await reader.send(delimited.encode(sent[-1]) + cut[:3], cut[3:])
    assert reader.rpcs == [*(each for each in sent if each), sent[1]]


async def test_who_has_enough_is_given_no_more_until_it_asks(nodes: Nodes) -> None:
    reader = Reader(most=2)
    await reader.open(nodes)
    sent = [bytes([number]) for number in range(1, 6)]
    await reader.send(*map(delimited.encode, sent[:4]))
    assert reader.rpcs == sent[:2]
    reader.most = 1 << 30
    assert reader.inlet is not None
    reader.inlet.pump()
    assert reader.rpcs == sent[:4]
    await reader.send(delimited.encode(sent[4]))
    assert reader.rpcs == sent


@pytest.mark.parametrize("size", [101, len(LONG)])
async def test_one_that_is_too_long_ends_the_reading(nodes: Nodes, size: int) -> None:
    reader = Reader(max_rpc_bytes=100)
    await reader.open(nodes)
    await reader.send(delimited.encode(bytes(100)), delimited.encode(bytes(size)))
    assert reader.inlet is not None
    assert isinstance(reader.inlet.ended.exception(), Malformed)
    assert reader.rpcs == [bytes(100)]
