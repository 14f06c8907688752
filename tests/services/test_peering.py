"""Peers that are kept connected: when they are dialled (in virtual time), and on live nodes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest

from mesh.errors import Closed, ConfigError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.services import peering
from mesh.services.bootstrap import FIRST_PAUSE_S, LONGEST_PAUSE_S
from mesh.services.peering import LASTING_S, TAG, Peering
from tests.network.live import TCP, Nodes, connected, eventually
from tests.services.test_bootstrap import A, B, peer_of
from tests.services.virtual_time import START_S, VirtualTime, ended
from tools.interop_peers.isolation import IsolationImpossible, add_bridge, isolated

PEER_A, PEER_B = peer_of(A), peer_of(B)


class Net:
    """What a node would be to its peering. ``up`` are the peers that answer."""

    def __init__(self, clock: VirtualTime) -> None:
        self.clock = clock
        self.up: set[PeerId] = set()
        self.connected: set[PeerId] = set()
        self.protected: set[tuple[PeerId, str]] = set()
        self.dials: list[tuple[float, PeerId]] = []
        self.named: tuple[Multiaddr, ...] = ()
        self.peering = Peering([], self.connect, self.is_connected, self.protect, self.unprotect)

    async def connect(self, peer: PeerId, addresses: tuple[Multiaddr, ...]) -> None:
        self.dials.append((self.clock.now - START_S, peer))
        self.named = addresses
        await asyncio.sleep(0)
        if peer not in self.up:
            raise Closed("nobody there")
        self.connected.add(peer)
        self.peering.connected(peer)

    def is_connected(self, peer: PeerId) -> bool:
        return peer in self.connected

    def protect(self, peer: PeerId, tag: str) -> None:
        self.protected.add((peer, tag))

    def unprotect(self, peer: PeerId, tag: str) -> None:
        self.protected.discard((peer, tag))

    def lose(self, peer: PeerId) -> None:
        self.connected.discard(peer)
        self.peering.disconnected(peer)

    def times(self, peer: PeerId) -> list[float]:
        return [at for at, each in self.dials if each == peer]

    @contextlib.asynccontextmanager
    async def running(self, *addresses: Multiaddr) -> AsyncIterator[Peering]:
        for each in addresses:
            self.peering.add(each)
        task = asyncio.create_task(self.peering.run())
        yield self.peering
        await ended(task)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    clock = VirtualTime()
    monkeypatch.setattr(peering, "time", clock)
    return clock


def test_failures_are_tried_again_for_ever(clock: VirtualTime) -> None:
    net = Net(clock)

    async def scenario() -> None:
        async with net.running(A) as kept:
            await asyncio.sleep(6 * 3600)
            assert kept.peers[PEER_A].failure == "nobody there"

    clock.run(scenario)
    times = net.times(PEER_A)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert times[0] == 0
    assert len(pauses) > 60
    for number, pause in enumerate(pauses):
        wanted = min(FIRST_PAUSE_S * 2**number, LONGEST_PAUSE_S)
        assert 0.74 * wanted <= pause <= 1.26 * wanted
    assert len({round(pause, 6) for pause in pauses}) > 30, "many nodes would dial in step"


def test_a_lost_peer_is_dialled_at_once(clock: VirtualTime) -> None:
    net = Net(clock)
    net.up = {PEER_A}

    async def scenario() -> None:
        async with net.running(A) as kept:
            await asyncio.sleep(3600)
            assert net.times(PEER_A) == [0]
            net.lose(PEER_A)
            await asyncio.sleep(1)
            assert net.times(PEER_A) == [0, 3600]
            assert kept.peers[PEER_A].connected

    clock.run(scenario)


def test_connections_that_do_not_last_are_failures(clock: VirtualTime) -> None:
    net = Net(clock)
    net.up = {PEER_A}

    async def scenario() -> None:
        async with net.running(A) as kept:
            for _ in range(600):
                if net.is_connected(PEER_A):
                    net.lose(PEER_A)
                await asyncio.sleep(1)
            assert len(net.dials) < 12
            assert kept.peers[PEER_A].failures > 5
            await asyncio.sleep(LONGEST_PAUSE_S + LASTING_S + 100)
            net.lose(PEER_A)
            assert kept.peers[PEER_A].failures == 0

    clock.run(scenario)


def test_another_network_ends_the_pauses(clock: VirtualTime) -> None:
    net = Net(clock)

    async def scenario() -> None:
        async with net.running(A) as kept:
            await asyncio.sleep(3600)
            before = len(net.dials)
            kept.hurry()
            await asyncio.sleep(0.1)
            assert len(net.dials) == before + 1
            assert net.times(PEER_A)[-1] == 3600

    clock.run(scenario)


def test_added_and_removed_while_it_runs(clock: VirtualTime) -> None:
    net = Net(clock)
    net.up = {PEER_B}

    async def scenario() -> None:
        async with net.running(A) as kept:
            await asyncio.sleep(10)
            kept.add(B)
            await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            assert net.times(PEER_B) == [10]
            assert net.protected == {(PEER_A, TAG), (PEER_B, TAG)}
            assert kept.remove(PEER_A)
            assert not kept.remove(PEER_A)
            tried = len(net.times(PEER_A))
            await asyncio.sleep(3600)
            assert len(net.times(PEER_A)) == tried
            assert net.protected == {(PEER_B, TAG)}

    clock.run(scenario)


async def test_several_addresses_of_a_peer_are_one_entry() -> None:
    net = Net(VirtualTime())
    net.peering.add(A)
    net.peering.add(Multiaddr.parse(f"/dnsaddr/example.org/p2p/{PEER_A}"))
    net.peering.add(Multiaddr.parse(f"/p2p/{PEER_A}"))
    (kept,) = net.peering.peers.values()
    assert list(map(str, kept.addresses)) == ["/ip4/192.0.2.1/tcp/4001", "/dnsaddr/example.org"]
    with pytest.raises(UsageError, match="names no peer"):
        net.peering.add(Multiaddr.parse("/ip4/192.0.2.1/tcp/4001"))


async def test_a_setting_that_names_no_peer(nodes: Nodes) -> None:
    with pytest.raises(ConfigError, match=r"network\.peering: .* names no peer"):
        await nodes.start("", peering=("/ip4/127.0.0.1/tcp/1",))


async def test_a_node_keeps_its_peer(nodes: Nodes) -> None:
    key = PrivateKey.generate()
    server = await nodes.start(TCP, key=key)
    address = str(server.listen_addrs[0])
    node = await nodes.start("", peering=(address,), low=0, high=0, grace_s=0.001)
    connection = await connected(node, server)
    await eventually(lambda: node.discovery.peering.peers[server.peer_id].connected, "it is noted")
    assert node.swarm.manager.is_protected(server.peer_id, TAG)
    assert node.swarm.manager.trim(1e12, force=True) == []

    await server.stop()
    await eventually(lambda: connection.closed, "the end")
    again = await nodes.start(str(Multiaddr.parse(address).without_peer()), key=key)
    node.discovery.peering.hurry()
    await connected(node, again)
    await connected(again, node)


async def test_another_network_is_dialled_at_once(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses are far too long: nothing but the new address can bring the connection."""
    monkeypatch.setattr(peering, "FIRST_PAUSE_S", 10_000.0)
    monkeypatch.setattr(peering, "LONGEST_PAUSE_S", 10_000.0)
    try:
        with isolated():
            server = await nodes.start("/ip4/0.0.0.0/tcp/0")
            port = server.listen_addrs[0].value("tcp")
            node = await nodes.start("", peering=(f"/ip4/10.77.0.1/tcp/{port}/p2p/{server.peer_id}",))
            kept = node.discovery.peering.peers[server.peer_id]
            await eventually(lambda: kept.failures, "a failure")
            add_bridge("m0", "10.77.0.1")
            await connected(node, server)
            await node.stop()
            await server.stop()
    except IsolationImpossible as reason:
        pytest.skip(f"NOTHING WAS TESTED IN ISOLATION: {reason}")
