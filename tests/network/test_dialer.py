"""Dials of one address, dials that several callers wait for, and dials that are given up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from mesh.errors import DialError, DialFailure
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.memory import MemoryTransport
from mesh.node import Node
from tests.network.live import MEMORY, PATIENCE_S, Nodes, eventually

STRANGER = PeerId.from_public_key(PrivateKey.from_seed(b"r" * 32).public)


@dataclass
class Gate:
    """Holds every connect over memory until it opens."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: list[Connection] = field(default_factory=list)


@pytest.fixture
async def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    dial = MemoryTransport.dial

    async def held(self: MemoryTransport, address: Multiaddr, connection: Connection) -> None:
        gate.waiting.append(connection)
        await gate.opened.wait()
        await dial(self, address, connection)

    monkeypatch.setattr(MemoryTransport, "dial", held)
    return gate


async def dialling(client: Node, peer: PeerId, *addresses: object) -> asyncio.Task[Connection]:
    return asyncio.create_task(client.connect(peer, [str(each) for each in addresses]))


async def given_up(task: asyncio.Task[Connection]) -> None:
    task.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.both_loops
@pytest.mark.parametrize("known", [True, False], ids=["a peer", "whoever answers"])
async def test_one_address_needs_no_task_of_its_own(nodes: Nodes, gate: Gate, known: bool) -> None:
    server, client = await nodes.start(MEMORY), await nodes.start("")
    address = server.swarm.listen_addresses[0]
    connecting = asyncio.create_task(
        client.connect(server.peer_id, [str(address)]) if known else client.connect(str(address))
    )
    await eventually(lambda: gate.waiting, "the connect")
    assert "dial address" not in {each.get_name() for each in asyncio.all_tasks()}
    gate.opened.set()
    async with asyncio.timeout(PATIENCE_S):
        connection = await connecting
    assert (connection.peer, connection.remote) == (server.peer_id, address)


@pytest.mark.parametrize("count", [1, 2])
async def test_a_failure_is_told(nodes: Nodes, count: int) -> None:
    client = await nodes.start("")
    addresses = [f"/memory/{at + 1}" for at in range(count)]
    with pytest.raises(DialError) as caught:
        await (await dialling(client, STRANGER, *addresses))
    assert set(caught.value.failures) == {
        DialFailure(each, "connect", f"nobody listens at {each}") for each in addresses
    }


@pytest.mark.both_loops
@pytest.mark.parametrize("count", [1, 2])
async def test_the_time_for_all_addresses_ends(nodes: Nodes, gate: Gate, count: int) -> None:
    client = await nodes.start("", dial_timeout_s=0.05)
    addresses = [f"/memory/{at + 1}" for at in range(count)]
    with pytest.raises(DialError) as caught:
        await (await dialling(client, STRANGER, *addresses))
    cause = "not finished when the 0.05 s for all addresses were over"
    assert set(caught.value.failures) == {DialFailure(each, "connect", cause) for each in addresses}
    assert client.counters["dial.failed"] == 1
    assert [str(each.close_reason or "") for each in gate.waiting].count("another address was faster") == 0


@pytest.mark.both_loops
@pytest.mark.parametrize("count", [0, 1, 2])
async def test_a_cancelled_dial_leaves_nothing(nodes: Nodes, gate: Gate, count: int) -> None:
    client = await nodes.start("")
    addresses = [f"/memory/{at + 1}" for at in range(count)]
    task = (
        await dialling(client, STRANGER, *addresses)
        if addresses
        else asyncio.create_task(client.connect("/memory/1"))
    )
    await eventually(lambda: len(gate.waiting) == max(count, 1), "the connects")
    await given_up(task)
    dialer = client.swarm._dialer
    assert not dialer._active
    assert not dialer._waiting
    assert not client.connections
    assert not {each.get_name() for each in asyncio.all_tasks()} & {"dial", "dial address"}


@pytest.mark.parametrize("leaver", [0, 1])
async def test_a_caller_that_gives_up_does_not_take_the_dial_from_another(
    nodes: Nodes, gate: Gate, leaver: int
) -> None:
    server, client = await nodes.start(MEMORY), await nodes.start("")
    address = server.swarm.listen_addresses[0]
    callers = [await dialling(client, server.peer_id, address) for _ in range(2)]
    await eventually(lambda: gate.waiting, "the connect")
    await given_up(callers[leaver])
    gate.opened.set()
    async with asyncio.timeout(PATIENCE_S):
        connection = await callers[1 - leaver]
    assert connection.peer == server.peer_id
    assert len(gate.waiting) == 1, "they shared one dial"


async def test_the_last_caller_to_give_up_ends_the_dial(nodes: Nodes, gate: Gate) -> None:
    server, client = await nodes.start(MEMORY), await nodes.start("")
    address = server.swarm.listen_addresses[0]
    callers = [await dialling(client, server.peer_id, address) for _ in range(2)]
    await eventually(lambda: gate.waiting, "the connect")
    for each in callers:
        await given_up(each)
    assert not client.swarm._dialer._active
    gate.opened.set()
    async with asyncio.timeout(PATIENCE_S):
        assert (await client.connect(server.listen_addrs[0])).peer == server.peer_id
    assert len(gate.waiting) == 2


async def test_a_node_that_stops_ends_its_dials(nodes: Nodes, gate: Gate) -> None:
    client = await nodes.start("")
    dialer = client.swarm._dialer
    task = await dialling(client, STRANGER, "/memory/1")
    await eventually(lambda: gate.waiting, "the connect")
    async with asyncio.timeout(PATIENCE_S):
        await client.stop()
        await asyncio.wait([task])
    assert not dialer._active
    assert not dialer._waiting
