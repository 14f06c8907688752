"""A DHT server under attack: its settings, honest questions to it, and members that answer what the test has them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import pytest

from mesh.codecs.kademlia import Message, MessageType, Peer
from mesh.errors import StreamReset
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.kademlia.reply import closer_peer
from tests.hostile.conftest import Target
from tests.network.live import PATIENCE_S, TCP, eventually

PREFIX = "/test"
PROTOCOL = f"{PREFIX}/kad/1.0.0"
SERVER: dict[str, Any] = {"mode": "server", "prefix": PREFIX}
KIB, MIB = 1024, 1024 * 1024
HERE = Multiaddr.parse("/ip4/192.0.2.7/tcp/4001").to_bytes()
NOBODY = Multiaddr.parse("/ip4/127.0.0.1/tcp/1").to_bytes()


def server(**settings: Any) -> pytest.MarkDecorator:
    """The target is a DHT server with these settings."""
    return pytest.mark.parametrize("target", [SERVER | settings], indirect=True)


@contextlib.asynccontextmanager
async def attacker(target: Target) -> AsyncIterator[Node]:
    """Connected to the target, and gone in the end."""
    node = await target.nodes.start("")
    await node.connect(target.node.listen_addrs[0])
    try:
        yield node
    finally:
        await node.stop()


async def dht(target: Target, listen: str = TCP, **settings: Any) -> Node:
    return await target.nodes.start(listen, **(SERVER | settings))


async def ask(stream: Stream, message: Message) -> Message:
    async with asyncio.timeout(PATIENCE_S):
        await stream.write_message(message.encode())
        return Message.decode(await stream.read_message(Message.MAX_BYTES))


async def was_reset(stream: Stream) -> None:
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StreamReset):
            await stream.read_message(Message.MAX_BYTES)


async def serves_others(target: Target) -> None:
    """The bystander is answered."""
    async with (
        asyncio.timeout(PATIENCE_S),
        await target.bystander.open(target.node.peer_id, PROTOCOL) as stream,
    ):
        assert await ask(stream, Message(MessageType.PING)) == Message(MessageType.PING)


def stranger() -> PeerId:
    return PeerId.from_public_key(PrivateKey.generate().public)


def multihash() -> bytes:
    return b"\x12\x20" + os.urandom(32)


def stranger_id() -> bytes:
    """An id that looks like one."""
    return b"\x12\x20" + os.urandom(32)


class Liar:
    """In the target's table, since it answered once; from then on it answers by ``lie``, in bytes."""

    def __init__(self, node: Node, lie: Callable[[Stream, Message], Awaitable[None]]) -> None:
        self.node = node
        self.lie = lie
        self.honest = True
        node.handle(PROTOCOL, self.serve)

    async def serve(self, stream: Stream) -> None:
        while True:
            request = Message.decode(await stream.read_message(Message.MAX_BYTES))
            if self.honest:
                await stream.write_message(Message(request.type).encode())
            else:
                await self.lie(stream, request)


@contextlib.asynccontextmanager
async def liar(target: Target, lie: Callable[[Stream, Message], Awaitable[None]]) -> AsyncIterator[Liar]:
    node = await target.nodes.start(TCP)
    found = Liar(node, lie)
    await node.connect(target.node.listen_addrs[0])
    await eventually(lambda: node.peer_id in target.node.dht.table, "the liar in the table")
    found.honest = False
    try:
        yield found
    finally:
        await node.stop()


def naming(make: Callable[[Message], Iterable[Peer]]) -> Callable[[Stream, Message], Awaitable[None]]:
    """A lie that names these peers, as closer ones and as providers."""

    async def lie(stream: Stream, request: Message) -> None:
        peers = list(make(request))
        closer = [closer_peer(each.id, each.addrs) for each in peers]
        parts = [Message(provider_peers=[each]).encode() for each in peers]
        await stream.write_message(b"".join((Message(request.type).encode(), *closer, *parts)))

    return lie


async def garbage(stream: Stream, _request: Message) -> None:
    await stream.write(varint.encode(MIB) + os.urandom(MIB))


async def garbage_without_length(stream: Stream, _request: Message) -> None:
    await stream.write(b"\xff" * MIB)


async def announced_only(stream: Stream, _request: Message) -> None:
    await stream.write(varint.encode(4 * MIB) + b"\x08\x04")
    await asyncio.Event().wait()


async def silence(_stream: Stream, _request: Message) -> None:
    await asyncio.Event().wait()


async def drip(stream: Stream, _request: Message) -> None:
    await stream.write(varint.encode(1000))
    while True:
        await stream.write(b"\x00")
        await asyncio.sleep(0.01)


async def reset(stream: Stream, _request: Message) -> None:
    stream.reset()


async def close(stream: Stream, _request: Message) -> None:
    await stream.close_write()


LIES = {
    each.__name__: each
    for each in (garbage, garbage_without_length, announced_only, silence, drip, reset, close)
}
