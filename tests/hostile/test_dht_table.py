"""Peers that want a DHT node's routing table for themselves."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import pytest

from mesh.codecs.kademlia import Message
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.protocols.kademlia import RoutingTable, TableSettings
from mesh.services.kademlia import service as dht_service
from mesh.services.kademlia.address_filter import FILTERS
from mesh.services.kademlia.membership import MAX_CHECKS, Membership
from mesh.telemetry.counters import Counters
from tests.hostile.conftest import Target
from tests.hostile.dht import (
    LIES,
    PROTOCOL,
    SERVER,
    server,
    stranger,
)
from tests.network.live import MEMORY, PATIENCE_S, TCP, Nodes, eventually


@server()
@pytest.mark.parametrize("lie", ["silence", "reset", "garbage"])
async def test_who_announces_but_does_not_answer_never_enters(target: Target, lie: str) -> None:
    nodes = [await target.nodes.start(TCP) for _ in range(3)]
    asked = 0

    async def serve(stream: Stream) -> None:
        nonlocal asked
        request = Message.decode(await stream.read_message(Message.MAX_BYTES))
        asked += 1
        await LIES[lie](stream, request)

    for each in nodes:
        each.handle(PROTOCOL, serve)
        await each.connect(target.node.listen_addrs[0])
    await eventually(lambda: asked >= 3, "the target's questions")
    assert not len(target.node.dht.table)
    for each in nodes:
        await each.stop()
    await eventually(lambda: not target.node.dht._membership._checking)
    assert not len(target.node.dht.table)


async def test_a_full_bucket_of_live_peers_is_not_displaced(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dht_service, "TableSettings", partial(TableSettings, bucket_size=2))
    victim = await nodes.start(MEMORY, **SERVER)
    first = [await nodes.start(MEMORY, **SERVER) for _ in range(8)]
    for each in first:
        await each.connect(victim.listen_addrs[0])
    await eventually(lambda: victim.counters.total("kademlia.table") == 8, "all of them checked")
    table = victim.dht.table
    full = {row.prefix_length: {entry.peer for entry in row.entries} for row in victim.dht.rows()}
    full = {length: members for length, members in full.items() if len(members) == 2}
    assert full
    for _ in range(24):
        late = await nodes.start(MEMORY, **SERVER)
        await late.connect(victim.listen_addrs[0])
    await eventually(lambda: victim.counters.total("kademlia.table") == 32, "the newcomers checked")
    await victim.dht.refresh()
    rows = {row.prefix_length: {entry.peer for entry in row.entries} for row in victim.dht.rows()}
    assert {length: rows[length] for length in full} == full
    assert len(table) <= 2 * len(rows)


class Crowd:
    """A host with any number of connected peers, each from an address of its own; all that answer are believed."""

    def __init__(self) -> None:
        self.peer_id = stranger()
        self.own_addresses: list[Multiaddr] = []
        self.connections: dict[PeerId, Any] = {}
        self.asked: list[PeerId] = []
        self.table: RoutingTable[PeerId] = RoutingTable(self.peer_id.to_bytes(), TableSettings())
        itself: Any = self
        self.tasks: set[asyncio.Task[None]] = set()
        self.membership = Membership(
            itself, self.table, itself, PROTOCOL, FILTERS["public"], self.spawn, Counters()
        )

    def spawn(self, work: Any, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        return task

    def connection_to(self, peer: PeerId) -> Any:
        return self.connections.get(peer)

    def addresses_of(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        return (self.connections[peer].remote,)

    async def request(self, peer: PeerId, *_rest: object) -> None:
        self.asked.append(peer)

    async def arrive(self, address: str) -> PeerId:
        connection: Any = Crowd.__new__(Crowd)
        connection.peer, connection.remote = stranger(), Multiaddr.parse(address)
        connection.remote_protocols = frozenset((PROTOCOL,))
        self.connections[connection.peer] = connection
        self.membership.identified(connection)
        if self.tasks:
            await asyncio.wait(self.tasks)
            self.tasks.clear()
        return connection.peer  # type: ignore[no-any-return]


async def test_one_network_gets_few_places(nodes: Nodes) -> None:
    crowd = Crowd()
    for number in range(300):
        await crowd.arrive(f"/ip4/45.1.{number % 250}.{number % 199 + 1}/tcp/{1000 + number}")
    assert len(crowd.table) <= 3
    for number in range(40):
        await crowd.arrive(f"/ip4/45.{number + 2}.1.1/tcp/4001")
    assert len(crowd.table) >= 20, "others still find a place"
    assert sum("/ip4/45.1." in str(crowd.connections[entry.peer].remote) for entry in crowd.table) <= 3


async def test_peers_of_other_networks_are_not_even_asked(nodes: Nodes) -> None:
    crowd = Crowd()
    for address in ("/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip6/fe80::1/tcp/1", "/memory/1"):
        await crowd.arrive(address)
    assert not crowd.asked
    assert not len(crowd.table)


async def test_few_are_checked_at_a_time(nodes: Nodes) -> None:
    crowd = Crowd()
    answers = asyncio.Event()

    async def request(peer: PeerId, *_rest: object) -> None:
        crowd.asked.append(peer)
        await answers.wait()

    crowd.request = request  # type: ignore[method-assign]
    arrivals = [
        asyncio.ensure_future(crowd.arrive(f"/ip4/{number}.1.1.1/tcp/1"))
        for number in range(60, 60 + 2 * MAX_CHECKS)
    ]
    began = time.monotonic()
    await eventually(lambda: len(crowd.asked) == MAX_CHECKS)
    answers.set()
    await asyncio.gather(*arrivals)
    assert len(crowd.asked) == MAX_CHECKS
    rows = crowd.table.rows(time.monotonic())  # a bucket has room for 20, the others wait
    assert sum(len(row.entries) + len(row.replacements) for row in rows) == MAX_CHECKS
    assert time.monotonic() - began < PATIENCE_S
