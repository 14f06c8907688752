"""Peers to begin with: dialled until they were reached, and again when the node stands alone. In virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest

from mesh.errors import Closed, DialError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from mesh.services import bootstrap
from mesh.services.bootstrap import ALONE_CHECK_S, FIRST_PAUSE_S, LONGEST_PAUSE_S, Bootstrap
from tests.network.live import TCP, Nodes, eventually
from tests.network.name_server import name_server
from tests.services.virtual_time import START_S, VirtualTime, ended


class Net:
    """What a node would be to its bootstrap list. ``up`` are the addresses that answer, after ``delays``."""

    def __init__(self, clock: VirtualTime) -> None:
        self.clock = clock
        self.up: set[Multiaddr] = set()
        self.delays: dict[Multiaddr, float] = {}
        self.connected: set[PeerId] = set()
        self.dials: list[tuple[float, Multiaddr]] = []
        self.lonely: bool | None = None

    async def connect(self, address: Multiaddr) -> None:
        self.dials.append((self.clock.now - START_S, address))
        await asyncio.sleep(self.delays.get(address, 0.0))
        if address not in self.up:
            raise Closed("nobody there")
        self.connected.add(peer_of(address))

    def alone(self) -> bool:
        return not self.connected if self.lonely is None else self.lonely

    def times(self, address: Multiaddr) -> list[float]:
        return [at for at, each in self.dials if each == address]

    @contextlib.asynccontextmanager
    async def running(self, *addresses: Multiaddr) -> AsyncIterator[Bootstrap]:
        peers = Bootstrap(map(str, addresses), self.connect, lambda peer: peer in self.connected, self.alone)
        task = asyncio.create_task(peers.run())
        yield peers
        await ended(task)


def address(number: int) -> Multiaddr:
    peer = PeerId.from_public_key(PrivateKey.from_seed(bytes([number]) * 32).public)
    return Multiaddr.parse(f"/ip4/192.0.2.{number}/tcp/4001/p2p/{peer}")


def peer_of(given: Multiaddr) -> PeerId:
    data = given.peer_id_bytes()
    assert data is not None
    return PeerId.from_bytes(data)


A, B, C = map(address, (1, 2, 3))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    clock = VirtualTime()
    monkeypatch.setattr(bootstrap, "time", clock)
    return clock


def test_failures_are_tried_again_for_ever(clock: VirtualTime) -> None:
    net = Net(clock)

    async def scenario() -> None:
        async with net.running(A) as peers:
            await asyncio.sleep(6 * 3600)
            assert peers.peers[A].failure == "nobody there"
            assert not peers.peers[A].reached

    clock.run(scenario)
    times = net.times(A)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert times[0] == 0
    assert len(pauses) > 60
    for number, pause in enumerate(pauses):
        wanted = min(FIRST_PAUSE_S * 2**number, LONGEST_PAUSE_S)
        assert 0.74 * wanted <= pause <= 1.26 * wanted
    assert len({round(pause, 6) for pause in pauses}) > 30, "many nodes would dial in step"


def test_who_was_reached_is_left_alone(clock: VirtualTime) -> None:
    net = Net(clock)
    net.up = {A}

    async def scenario() -> None:
        async with net.running(A, B) as peers:
            await asyncio.sleep(3600)
            assert peers.peers[A].reached
            assert peers.peers[B].failures > 5

    clock.run(scenario)
    assert len(net.times(A)) == 1
    assert len(net.times(B)) > 10


def test_who_comes_up_late_is_reached(clock: VirtualTime) -> None:
    net = Net(clock)

    async def scenario() -> None:
        async with net.running(A) as peers:
            await asyncio.sleep(1800)
            net.up.add(A)
            await asyncio.sleep(1.3 * LONGEST_PAUSE_S)
            assert peers.peers[A].reached
            assert peers.peers[A].failures == 0
            assert peers.peers[A].failure == ""

    clock.run(scenario)


def test_a_slow_one_holds_nobody_up(clock: VirtualTime) -> None:
    net = Net(clock)
    net.up = {C}
    net.delays = {A: 600.0}

    async def scenario() -> None:
        async with net.running(A, B) as peers:
            await asyncio.sleep(100)
            peers.add(C)
            await asyncio.sleep(1)
            assert peers.peers[C].reached
            assert len(net.times(A)) == 1, "one attempt at a time"

    clock.run(scenario)
    assert len(net.times(B)) > 4


def test_additions_and_removals_at_run_time(clock: VirtualTime) -> None:
    net = Net(clock)
    net.up = {A}
    net.connected = {peer_of(B)}

    async def scenario() -> None:
        async with net.running() as peers:
            await asyncio.sleep(1000)
            assert not net.dials
            peers.add(A)
            peers.add(C)
            await asyncio.sleep(0.1)
            assert net.times(A) == [1000]
            assert peers.peers[A].reached
            assert peers.remove(A)
            assert not peers.remove(A)
            await asyncio.sleep(100)
            tries = len(net.times(C))
            assert tries > 4
            assert peers.remove(C)
            await asyncio.sleep(1000)
            assert len(net.times(C)) == tries
            assert not peers.peers

    clock.run(scenario)
    assert peer_of(A) in net.connected, "removal ended the connection"


def test_removed_while_it_is_dialled(clock: VirtualTime) -> None:
    net = Net(clock)
    net.delays = {A: 10.0}

    async def scenario() -> None:
        async with net.running(A) as peers:
            await asyncio.sleep(5)
            peers.remove(A)
            await asyncio.sleep(1000)
            assert len(net.dials) == 1
            peers.add(A)
            await asyncio.sleep(1)
            assert len(net.dials) == 2

    clock.run(scenario)


def test_added_again_is_tried_at_once(clock: VirtualTime) -> None:
    net = Net(clock)

    async def scenario() -> None:
        async with net.running(A) as peers:
            await asyncio.sleep(1000)
            tries = len(net.dials)
            net.up.add(A)
            peers.add(A)
            await asyncio.sleep(0.1)
            assert len(net.dials) == tries + 1
            assert peers.peers[A].reached

    clock.run(scenario)


def test_hurry_dials_whoever_is_not_connected(clock: VirtualTime) -> None:
    net = Net(clock)
    net.up = {A, B}

    async def scenario() -> None:
        async with net.running(A, B, C) as peers:
            await asyncio.sleep(1000)
            tries = len(net.times(C))
            net.connected.discard(peer_of(B))
            peers.hurry()
            await asyncio.sleep(0.1)
            assert len(net.times(A)) == 1
            assert len(net.times(B)) == 2
            assert len(net.times(C)) == tries + 1

    clock.run(scenario)


@pytest.mark.parametrize("dead", [[], [C]], ids=["all reached", "one never reached"])
def test_a_node_alone_begins_again(clock: VirtualTime, dead: list[Multiaddr]) -> None:
    net = Net(clock)
    net.up = {A, B}

    async def scenario() -> None:
        async with net.running(A, B, *dead):
            await asyncio.sleep(5000)
            assert len(net.times(A)) == len(net.times(B)) == 1
            net.connected.clear()
            await asyncio.sleep(ALONE_CHECK_S + 1)
            assert {peer_of(A), peer_of(B)} <= net.connected
            tries = len(net.times(A))
            await asyncio.sleep(5000)
            assert len(net.times(A)) == tries

    clock.run(scenario)
    if dead:
        times = net.times(C)
        late = [after - before for before, after in itertools.pairwise(times[12:])]
        assert min(late) > 0.7 * LONGEST_PAUSE_S, "being alone is no reason to dial the dead more often"


def test_who_is_reached_but_does_not_stay_is_not_dialled_without_end(clock: VirtualTime) -> None:
    net = Net(clock)
    net.up = {A}
    net.lonely = True

    async def scenario() -> None:
        async with net.running(A, B):
            await asyncio.sleep(3600)

    clock.run(scenario)
    times = net.times(A)
    assert len(times) > 50
    assert min(after - before for before, after in itertools.pairwise(times)) >= ALONE_CHECK_S


def test_a_node_with_company_is_not_alone(clock: VirtualTime) -> None:
    net = Net(clock)
    net.up = {A}
    net.lonely = False

    async def scenario() -> None:
        async with net.running(A):
            await asyncio.sleep(100)
            net.connected.clear()
            await asyncio.sleep(5000)

    clock.run(scenario)
    assert len(net.dials) == 1


async def test_a_live_node_reaches_those_that_answer(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    up = await nodes.start(TCP)
    gone: Node = await nodes.start(TCP)
    missing = gone.listen_addrs[0]
    await gone.stop()
    node = await nodes.start("", bootstrap=(str(missing), str(up.listen_addrs[0])))
    await eventually(lambda: node.swarm.is_connected(up.peer_id), "the bootstrap peer")
    await eventually(lambda: node.bootstrap.peers[missing].failures == 1, "the failure")
    with pytest.raises(DialError):
        await node.connect(missing)
    assert node.bootstrap.peers[missing].failure
    assert sum("bootstrap" in record.getMessage() for record in caplog.records) == 1


async def test_names_are_looked_up_again_for_each_dial(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "FIRST_PAUSE_S", 0.01)
    server, node = await nodes.start(TCP), await nodes.start("")
    async with name_server() as names:
        names.serve(node)
        names.texts["_dnsaddr.nodes.test"] = [f"dnsaddr=/ip4/127.0.0.1/tcp/1/p2p/{server.peer_id}"]
        address = Multiaddr.parse(f"/dnsaddr/nodes.test/p2p/{server.peer_id}")
        node.bootstrap.add(address)
        await eventually(lambda: node.bootstrap.peers[address].failures >= 2, "failures")
        names.texts["_dnsaddr.nodes.test"] = [f"dnsaddr={server.listen_addrs[0]}"]
        await eventually(lambda: node.swarm.is_connected(server.peer_id), "the connection")
        assert names.asked >= 3
