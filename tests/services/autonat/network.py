"""Nodes that serve AutoNAT on loopback, where private addresses count, and streams to them by hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from mesh.codecs.autonat import (
    DialRequest,
    DialResponse,
    DialResponseV1,
    DialV1,
    MessageV1,
    MessageV2,
    PeerV1,
    TypeV1,
)
from mesh.config import AutonatSection
from mesh.identity.keys import PrivateKey
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.services.autonat.v1_server import PROTOCOL_ID
from mesh.services.autonat.v2_server import DIAL_REQUEST_ID
from tests.network.live import PATIENCE_S, TCP, Nodes, configured

NOBODY = "/ip4/127.0.0.1/tcp/1"
"""Where nobody listens."""


def make(
    nodes: Nodes, *listen: str, key: PrivateKey | None = None, network: Any = None, **autonat: Any
) -> Node:
    """A node that is not started; ``autonat`` are fields of that section, ``network`` of the other."""
    settings = {"ask": False, "private_addresses": True} | autonat
    config = configured(*(listen or (TCP,)), scale="unlimited")
    config = replace(
        config, autonat=AutonatSection(**settings), network=replace(config.network, **(network or {}))
    )
    return Node(config, key=key, memory=nodes.memory)


async def start(nodes: Nodes, *listen: str, **settings: Any) -> Node:
    """A running node with quick timers."""
    node = make(nodes, *listen, **settings)
    node.reachability.v1.dial_s = 0.3
    node.reachability.v2.max_delay_s = 0.01
    node.reachability.client.arrival_s = 0.3
    node.reachability.asking.settle_s = 0.0
    node.reachability.asking.states.spacing_s = 0.0
    nodes.push_async_callback(node.stop)
    await node.start()
    return node


async def server(nodes: Nodes, *listen: str, **settings: Any) -> Node:
    """A node that dials back."""
    return await start(nodes, *listen, serve=True, **settings)


async def ask_v1(client: Node, at: Node, message: MessageV1) -> DialResponseV1:
    """What the server answers to a message of version 1."""
    async with asyncio.timeout(PATIENCE_S):
        stream = await client.open(at.listen_addrs[0], PROTOCOL_ID)
        await stream.write_message(message.encode())
        answer = MessageV1.decode(await stream.read_message(4096))
        await stream.close()
    assert answer.type is TypeV1.DIAL_RESPONSE
    assert answer.dial_response is not None
    return answer.dial_response


def dial_v1(node: Node, *addresses: str) -> MessageV1:
    """A request of version 1 by a node."""
    encoded = [Multiaddr.parse(each).to_bytes() for each in addresses]
    return MessageV1(TypeV1.DIAL, DialV1(PeerV1(node.peer_id.to_bytes(), encoded)))


async def request(client: Node, at: Node, *addresses: str, nonce: int = 7) -> Stream:
    """A request of version 2 by hand; its stream."""
    stream = await client.open(at.listen_addrs[0], DIAL_REQUEST_ID)
    encoded = [Multiaddr.parse(each).to_bytes() for each in addresses]
    await stream.write_message(MessageV2(dial_request=DialRequest(encoded, nonce)).encode())
    return stream


async def answer(stream: Stream) -> MessageV2:
    """The next message of version 2."""
    async with asyncio.timeout(PATIENCE_S):
        return MessageV2.decode(await stream.read_message(8192))


async def response(stream: Stream) -> DialResponse:
    """The next message, which has to be the verdict."""
    found = (await answer(stream)).dial_response
    assert found is not None
    return found
