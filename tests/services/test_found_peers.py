"""Whom others named: dialled while more are wanted, and at little cost when they lied."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from mesh.errors import Closed
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.blacklist import FAILURES, FIRST_S
from mesh.services import found_peers
from mesh.services.found_peers import DIALS_AT_ONCE, MAX_ADDRESSES, MAX_WAITING, FoundPeers, UpTo
from mesh.telemetry.counters import Counters
from tests.services.test_bootstrap import A, B, C, peer_of
from tests.services.virtual_time import VirtualTime, ended

PEER_A, PEER_B, PEER_C = map(peer_of, (A, B, C))


def stranger(number: int) -> PeerId:
    return PeerId.from_bytes(b"\x12\x20" + number.to_bytes(32, "big"))


class Net:
    """What a node would be. ``up`` are the peers that answer."""

    def __init__(self, wanted: int = 100, per_minute: int = 1_000_000) -> None:
        self.up: set[PeerId] = set()
        self.connected: set[PeerId] = set()
        self.dials: list[PeerId] = []
        self.under_way = self.most = 0
        self.named: tuple[Multiaddr, ...] = ()
        self.counters = Counters()
        self.found = FoundPeers(
            PEER_C,
            self.connect,
            lambda peer: peer in self.connected,
            UpTo(wanted, lambda: len(self.connected)),
            self.counters,
        )
        self.found.limit("test", per_minute)

    async def connect(self, peer: PeerId, addresses: tuple[Multiaddr, ...]) -> None:
        self.dials.append(peer)
        self.named = addresses
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(1)
        self.under_way -= 1
        if peer not in self.up:
            raise Closed("nobody there")
        self.connected.add(peer)

    def offer(self, peer: PeerId) -> bool:
        return self.found.offer(peer, [A], "test")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.found.run())
        yield
        await ended(task)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    clock = VirtualTime()
    monkeypatch.setattr(found_peers, "time", clock)
    return clock


def test_who_was_named_is_dialled(clock: VirtualTime) -> None:
    net = Net()
    net.up = {PEER_A}

    async def scenario() -> None:
        async with net.running():
            assert net.found.offer(PEER_A, [A, A, B], "test")
            await asyncio.sleep(5)
            assert net.connected == {PEER_A}
            assert net.named == (A.without_peer(), B.without_peer())
            assert not net.offer(PEER_A)

    clock.run(scenario)
    assert net.counters["discovery.reached"] == net.counters["discovery.found:test"] == 1
    assert net.counters["discovery.declined:connected"] == 1


def test_itself_and_nowhere_are_nobody() -> None:
    net = Net()
    assert not net.offer(PEER_C)
    assert not net.found.offer(PEER_A, [Multiaddr.parse(f"/p2p/{PEER_A}")], "test")
    assert net.counters["discovery.declined:nobody"] == 2


def test_of_many_addresses_a_few_are_taken(clock: VirtualTime) -> None:
    net = Net()

    async def scenario() -> None:
        async with net.running():
            many = [Multiaddr.parse(f"/ip4/192.0.2.1/tcp/{port}") for port in range(1, 500)]
            net.found.offer(PEER_A, many, "test")
            await asyncio.sleep(0.1)

    clock.run(scenario)
    assert len(net.named) == MAX_ADDRESSES


def test_a_flood_costs_a_few_dials_at_a_time(clock: VirtualTime) -> None:
    net = Net()

    async def scenario() -> None:
        async with net.running():
            taken = [net.offer(stranger(each)) for each in range(100_000)]
            assert sum(taken) == MAX_WAITING
            assert net.found.waiting == MAX_WAITING
            await asyncio.sleep(600)

    clock.run(scenario)
    assert net.most == DIALS_AT_ONCE
    assert len(net.dials) == MAX_WAITING
    assert net.counters["discovery.declined:full"] == 100_000 - MAX_WAITING


def test_a_source_names_so_many_a_minute(clock: VirtualTime) -> None:
    net = Net(per_minute=60)
    net.found.limit("other", 60)

    async def scenario() -> None:
        async with net.running():
            taken = 0
            for number in range(600):
                taken += net.offer(stranger(number))
                await asyncio.sleep(0.1)
            assert 85 <= taken <= 92
            assert net.found.offer(stranger(1000), [A], "other")

    clock.run(scenario)
    assert net.counters["discovery.declined:too-many"] > 500


def test_who_fails_again_and_again_is_left_alone(clock: VirtualTime) -> None:
    net = Net()

    async def scenario() -> None:
        async with net.running():
            for _ in range(300):
                net.offer(PEER_A)
                await asyncio.sleep(2)
            assert len(net.dials) == FAILURES
            await asyncio.sleep(FIRST_S)
            net.up = {PEER_A}
            net.offer(PEER_A)
            await asyncio.sleep(2)
            assert net.connected == {PEER_A}

    clock.run(scenario)


def test_nobody_is_dialled_when_enough_are_connected(clock: VirtualTime) -> None:
    net = Net(wanted=1)
    net.up = {PEER_A, PEER_B}

    async def scenario() -> None:
        async with net.running():
            net.offer(PEER_A)
            net.offer(PEER_B)
            await asyncio.sleep(60)
            assert net.dials == [PEER_A]
            net.connected.clear()
            net.found.look()
            await asyncio.sleep(5)
            assert net.dials == [PEER_A, PEER_B]

    clock.run(scenario)
