"""A relay, who is reached through it, and who dials."""

from __future__ import annotations

from typing import Any

from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.services.relay.client import RelayClient
from mesh.services.relay.server import RelayServer
from tests.network.live import Nodes, eventually, identified

LOUD = "/loud/1"
"""An echo that is served over limited connections, too."""


def server_of(node: Node) -> RelayServer:
    assert node.relaying is not None
    assert node.relaying.server is not None
    return node.relaying.server


def client_of(node: Node) -> RelayClient:
    assert node.relaying is not None
    assert node.relaying.client is not None
    return node.relaying.client


async def relay_node(nodes: Nodes, *listen: str, **settings: Any) -> Node:
    return await nodes.start(*listen, relay_serve=True, **settings)


async def reached_through(nodes: Nodes, *relays: Node, **settings: Any) -> Node:
    """A node that listens nowhere but at these relays, and holds reservations of as many as it wants."""
    named = tuple(str(each.listen_addrs[0]) for each in relays)
    node = await nodes.start("", relays=named, **settings)
    node.handle(LOUD, echo, limited=True)
    wanted = min(len(relays), node.config.relay.wanted)
    await eventually(lambda: len(client_of(node).held) == wanted, "the reservations")
    return node


async def echo(stream: Stream) -> None:
    while chunk := await stream.read_chunk():
        await stream.write(chunk)


def circuit_to(node: Node) -> Multiaddr:
    """Its first address through a relay."""
    return next(each for each in node.listen_addrs if each.has("p2p-circuit"))


async def dial_through(source: Node, target: Node) -> Connection:
    connection = await source.connect(circuit_to(target))
    await identified(connection)
    return connection
