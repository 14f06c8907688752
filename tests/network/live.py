"""Nodes under test, waiting for a condition, and proof that nothing of them is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from mesh.config import (
    AutonatSection,
    BlocksSection,
    Config,
    ConnectionsSection,
    CrdtSection,
    DcutrSection,
    IdentifySection,
    KademliaSection,
    KeepingSection,
    LimitsSection,
    MdnsSection,
    NetworkSection,
    NodeSection,
    PexSection,
    PingSection,
    PortMappingSection,
    QuicSection,
    RelaySection,
    RendezvousSection,
    ServicesSection,
    StunSection,
    YamuxSection,
)
from mesh.identity.keys import PrivateKey
from mesh.network.connection import Connection
from mesh.network.driver import Driver
from mesh.network.memory import MemoryTransport
from mesh.network.stream import Stream
from mesh.node import Node

TCP = "/ip4/127.0.0.1/tcp/0"
MEMORY = "/memory/0"
QUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
BYTES = {"tcp": TCP, "memory": MEMORY}
OVER_BYTES = pytest.mark.parametrize("listen", BYTES.values(), ids=BYTES)
"""Of tests that look into what carries streams over bytes: yamux and its driver."""
PATIENCE_S = 20.0
"""What a test waits for something that should come at once."""
_DESCRIPTORS = Path("/proc/self/fd")


def byte_driver(connection: Connection) -> Driver:
    """The driver of a connection over a byte stream."""
    assert isinstance(connection.driver, Driver)
    return connection.driver


class Nodes(contextlib.AsyncExitStack):
    """Starts nodes; leaving it stops them, latest first. All share one `MemoryTransport`."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryTransport()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    def make(
        self, *listen: str, key: PrivateKey | None = None, serve: tuple[str, ...] = ("echo",), **settings: Any
    ) -> Node:
        """A node that is not started. ``settings`` are fields of any section: `upgrade_timeout_s=0.2`."""
        return Node(configured(*listen, serve=serve, **settings), key=key, memory=self.memory)

    async def start(
        self,
        *listen: str,
        key: PrivateKey | None = None,
        serve: tuple[str, ...] = ("echo",),
        **settings: Any,
    ) -> Node:
        """A running node; it listens on loopback unless told where (``""``: nowhere)."""
        node = self.make(*listen, key=key, serve=serve, **settings)
        self.push_async_callback(node.stop)
        await node.start()
        return node

    async def pair(
        self, listen: str = TCP, *, server: Node | None = None, **settings: Any
    ) -> tuple[Node, Node, Connection]:
        """A listener, a dialer with the same settings, and the dialer's connection; both have been identified."""
        server = server or await self.start(listen, **settings)
        client = await self.start("", **settings)
        connection = await client.connect(server.listen_addrs[0])
        await identified(connection)
        inbound = await connected(server, client)
        await identified(inbound)
        await eventually(lambda: connection.stream_count == inbound.stream_count == 0, "quiet")
        return server, client, connection


def configured(*listen: str, serve: tuple[str, ...] = (), **settings: Any) -> Config:
    """A configuration whose ``settings`` find their section by name."""
    sections: dict[str, tuple[type[Any], dict[str, Any]]] = {
        "node": (NodeSection, {}),
        "network": (NetworkSection, {"listen": [each for each in listen or (TCP,) if each]}),
        "yamux": (YamuxSection, {}),
        "quic": (QuicSection, {}),
        "identify": (IdentifySection, {}),
        "autonat": (AutonatSection, {}),
        "stun": (StunSection, {}),
        "port_mapping": (PortMappingSection, {}),
        "ping": (PingSection, {}),
        "services": (ServicesSection, {"serve": serve}),
        "limits": (LimitsSection, {}),
        "connections": (ConnectionsSection, {}),
        "kademlia": (KademliaSection, {}),
        "mdns": (MdnsSection, {}),
        "pex": (PexSection, {}),
        "rendezvous": (RendezvousSection, {}),
        "relay": (RelaySection, {}),
        "dcutr": (DcutrSection, {}),
        "keeping": (KeepingSection, {}),
        "blocks": (BlocksSection, {}),
        "crdt": (CrdtSection, {}),
    }
    renamed = {"identify_timeout_s": ("identify", "timeout_s"), "ping_timeout_s": ("ping", "timeout_s")}
    renamed["connection_held_bytes"] = ("yamux", "max_held_bytes")
    renamed |= {"mdns": ("mdns", "enabled"), "pex": ("pex", "enabled")}
    renamed["serve_rendezvous"] = ("rendezvous", "serve")
    renamed |= {f"keep_{field}": ("keeping", field) for field in KeepingSection.__dataclass_fields__}
    renamed |= {"blocks": ("blocks", "enabled"), "announce_blocks": ("blocks", "announce")}
    renamed["relay_serve"] = ("relay", "serve")
    renamed["hole_punching"] = ("dcutr", "enabled")
    renamed["port_mapping"] = ("port_mapping", "protocol")
    renamed["autonat_ask"] = ("autonat", "ask")
    renamed["autonat_serve"] = ("autonat", "serve")
    renamed["stun_servers"] = ("stun", "servers")
    renamed["quic_keepalive_s"] = ("quic", "keepalive_s")
    for name, value in settings.items():
        home, field = renamed.get(name, ("", name))
        home = home or next(key for key, (kind, _) in sections.items() if field in kind.__dataclass_fields__)
        sections[home][1][field] = value
    return Config(**{key: kind(**values) for key, (kind, values) in sections.items()})


async def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait until ``condition`` holds; `AssertionError` when it does not in time."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - any condition, few have an event
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"{what} did not come true within {PATIENCE_S:g} s") from None


async def connected(node: Node, peer: Node) -> Connection:
    """A node's own connection to another, once it has it."""
    await eventually(lambda: node.swarm.connection_to(peer.peer_id), "the connection")
    connection = node.swarm.connection_to(peer.peer_id)
    assert connection is not None
    return connection


async def identified(connection: Connection) -> None:
    """Wait for the exchange that every new connection begins with."""
    assert connection.identified is not None
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait([connection.identified])


async def exchange(stream: Stream, payload: bytes) -> bytes:
    """What an echo answers to ``payload``."""
    async with asyncio.timeout(PATIENCE_S):
        await stream.write(payload)
        return await stream.read_exactly(len(payload))


async def open_and_read(connection: Connection, protocol: str) -> bytes:
    """The first bytes of a new stream, for streams that the peer may refuse at any moment of it."""
    async with asyncio.timeout(PATIENCE_S):
        return await (await connection.open([protocol])).read()


async def round_trip(node: Node, target: Node) -> float:
    """One answered ping over a connection of its own kind: proof that ``target`` serves on."""
    async with asyncio.timeout(PATIENCE_S):
        async for seconds in node.ping(target.listen_addrs[0], count=1):
            assert seconds is not None, "the ping was lost"
            return seconds
    raise AssertionError("no ping was sent")


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fail, naming each, when there are more tasks, descriptors or threads at the end than at the start.

    What ends in the loop's next turns (a transport closes its socket one turn after it told its protocol) may do so.
    """
    before, kinds = present(), kinds_of(present())
    yield
    excess: dict[str, int] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while excess := dict(kinds_of(present()) - kinds):  # noqa: ASYNC110 - the loop's own turns
                await asyncio.sleep(0)
    new = [f"{kind} {text}" for key, (kind, text) in present().items() if key not in before]
    assert not excess, f"left behind: {excess}, among\n  " + "\n  ".join(new)


def present() -> dict[object, tuple[str, str]]:
    """Tasks besides this one, open descriptors and threads: what kind each is and a text that names it."""
    found: dict[object, tuple[str, str]] = {
        task: ("task", repr(task)) for task in asyncio.all_tasks() if task is not asyncio.current_task()
    }
    found |= {thread: ("thread", repr(thread)) for thread in threading.enumerate()}
    for number in os.listdir(_DESCRIPTORS) if _DESCRIPTORS.exists() else ():
        with contextlib.suppress(OSError):
            target = os.readlink(_DESCRIPTORS / number)
            if target != "/dev/null":  # libuv keeps one to accept and drop when descriptors run out
                found[number, target] = (target.partition(":[")[0], f"{number} {target}")
    return found


def kinds_of(things: Mapping[object, tuple[str, str]]) -> Counter[str]:
    """How many of each kind: uvloop makes a new pair of sockets for signals whenever it starts to run."""
    return Counter(kind for kind, _ in things.values())
