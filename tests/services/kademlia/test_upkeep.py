"""The loop that joins, refreshes, checks, sweeps and announces again: joins on live nodes, the rest in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.codecs.kademlia import Message
from mesh.errors import Closed
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.kademlia import Refresh, RefreshSettings, RoutingTable, candidate_of, key_of
from mesh.protocols.kademlia import common_prefix_length as shared_bits
from mesh.protocols.kademlia.settings import TableSettings
from mesh.protocols.kademlia.sweep import Batch, ReprovideSweep
from mesh.services.kademlia import upkeep
from mesh.services.kademlia.upkeep import SWEEP_S, Upkeep
from tests.network.live import Nodes, eventually
from tests.services.kademlia.network import dht_node, multihash
from tests.services.virtual_time import VirtualTime, ended

HOUR_S = 3600.0
OWN = PeerId.from_public_key(PrivateKey.from_seed(bytes(32)).public)


class Service:
    """All that the upkeep works with; what it did is written down with its time in hours."""

    def __init__(self, clock: VirtualTime) -> None:
        self.clock = clock
        self.started = clock.now
        self.table: RoutingTable[PeerId] = RoutingTable(OWN.to_bytes(), TableSettings(diverse=False))
        self.sweep = ReprovideSweep()
        self.looked_up: list[tuple[float, bytes]] = []
        self.checked: list[tuple[float, PeerId]] = []
        self.alive = True
        self.announced: list[tuple[float, tuple[bytes, ...]]] = []
        self.failing = 0
        self.values: dict[bytes, float] = {}
        self.republished: list[tuple[float, bytes]] = []
        self.sweeps: list[float] = []
        self.bootstraps: list[float] = []

    @property
    def hours(self) -> float:
        return (self.clock.now - self.started) / HOUR_S

    # -- what it is to the upkeep ------------------------------------------------------------------------------------

    peer_id = OWN

    def bootstrap(self) -> None:
        self.bootstraps.append(self.hours)

    async def run(self, target: bytes, _message: Message) -> None:
        self.looked_up.append((self.hours, target))

    async def check(self, peer: PeerId) -> bool:
        self.checked.append((self.hours, peer))
        if self.alive:
            self.table.useful(peer, self.clock.now)
        else:
            self.table.failed(peer, self.clock.now)
        return self.alive

    async def provide_batch(self, batch: Batch) -> int:
        if self.failing:
            self.failing -= 1
            raise Closed("offline")
        self.announced.append((self.hours, batch.keys))
        return len(batch.keys)

    def own(self) -> list[tuple[bytes, float]]:
        return list(self.values.items())

    async def republish(self, key: bytes) -> None:
        self.values[key] = self.clock.time()
        self.republished.append((self.hours, key))

    async def swept(self) -> int:
        self.sweeps.append(self.hours)
        return 0

    # -- the test's side ---------------------------------------------------------------------------------------------

    def join(self, count: int = 12) -> None:
        for number in range(1, count + 1):
            peer = PeerId.from_public_key(PrivateKey.from_seed(bytes([number]) * 32).public)
            self.table.admit(candidate_of(peer), self.clock.now, useful=True)

    def upkeep(self) -> Upkeep:
        records: Any = SimpleNamespace(own=self.own, sweep=self.swept)
        providers: Any = SimpleNamespace(sweep=self.swept)
        itself: Any = self
        return Upkeep(
            itself,
            self.table,
            itself,
            Refresh(self.table.local_key, RefreshSettings(), self.clock.now),
            itself,
            (records, providers),
            (itself, itself),
            self.sweep,
            self.clock.time,
        )

    def live(self, hours: float) -> None:
        """Run the loop for so long."""

        async def scenario() -> None:
            task = asyncio.create_task(self.upkeep().run())
            await asyncio.sleep(hours * HOUR_S)
            await ended(task)

        self.clock.run(scenario)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    clock = VirtualTime()
    monkeypatch.setattr(upkeep, "time", clock)
    return Service(clock)


def test_content_is_announced_again_after_22_hours(service: Service) -> None:
    service.join()
    keys = {multihash(bytes([each])) for each in range(5)}
    for key in keys:
        service.sweep.add(key, service.clock.time())
    service.live(70)
    for key in keys:
        times = [at for at, batch in service.announced if key in batch]
        assert 3 <= len(times) <= 4
        assert times[0] <= 22.1
        assert all(21.9 < after - before < 22.1 for before, after in itertools.pairwise(times))


def test_what_was_never_announced_is_so_at_once(service: Service) -> None:
    service.join()
    service.sweep.add(key := multihash())
    service.live(1)
    assert [batch for _, batch in service.announced] == [(key,)]
    assert service.announced[0][0] < 0.01


def test_a_failed_announcement_is_tried_again_soon(service: Service) -> None:
    service.join()
    service.sweep.add(key := multihash())
    service.failing = 3
    service.live(1)
    assert [batch for _, batch in service.announced] == [(key,)]
    assert service.announced[0][0] < 0.05


def test_nothing_is_announced_to_nobody(service: Service) -> None:
    service.sweep.add(multihash())
    service.values[b"/v/one"] = 0.0
    service.live(30)
    assert not service.announced
    assert not service.republished


def test_values_are_put_again_after_22_hours(service: Service) -> None:
    service.join()
    service.values[b"/v/one"] = service.clock.time()
    service.live(70)
    times = [at for at, _ in service.republished]
    assert [round(at) for at in times] == [22, 44, 66]


def test_stores_are_swept_every_hour(service: Service) -> None:
    service.live(10.5)
    assert len(service.sweeps) == 20, "both stores"
    assert service.sweeps[0] == pytest.approx(SWEEP_S / HOUR_S, abs=0.02)


def test_buckets_are_refreshed_every_ten_minutes(service: Service) -> None:
    service.join()
    service.live(5)
    local = service.table.local_key
    own = [at for at, target in service.looked_up if target == OWN.to_bytes()]
    assert 29 <= len(own) <= 31
    assert own[0] < 0.001
    depths = {shared_bits(key_of(target), local) for _, target in service.looked_up} - {256}
    assert depths == set(range(service.table.deepest + 1))
    for depth in depths:
        times = [at for at, target in service.looked_up if shared_bits(key_of(target), local) == depth]
        assert 28 <= len(times) <= 31


def test_a_poor_table_asks_the_bootstrap_peers(service: Service) -> None:
    service.join(3)
    service.live(1)
    assert 25 <= len(service.bootstraps) <= 31, "every two minutes"


def test_members_not_heard_of_are_checked(service: Service) -> None:
    service.join()
    service.live(3)
    times = sorted({round(at, 2) for at, _ in service.checked})
    assert times[0] == pytest.approx(2600 / HOUR_S, abs=0.02)
    assert len({peer for _, peer in service.checked}) == len(service.table) == 12


def test_dead_members_leave(service: Service) -> None:
    service.join()
    service.alive = False
    service.live(1)
    assert not len(service.table)
    assert len(service.checked) == 24, "a second chance for each"


async def test_a_node_joins_as_soon_as_it_has_met_somebody(nodes: Nodes) -> None:
    """Without anybody's help: the first member has the own key looked up."""
    hub = await dht_node(nodes)
    others = [await dht_node(nodes) for _ in range(4)]
    for each in others:
        await each.connect(hub.listen_addrs[0])
        await eventually(lambda each=each: each.peer_id in hub.dht.table)  # type: ignore[misc]
    late = await dht_node(nodes)
    await late.connect(hub.listen_addrs[0])
    await eventually(lambda: len(late.dht.table) == 5, "the neighbours")


async def test_what_is_provided_before_anybody_is_met_is_announced_then(nodes: Nodes) -> None:
    early, other = await dht_node(nodes), await dht_node(nodes)
    written = await early.dht.provide(multihash())
    assert written.asked == 0
    await early.connect(other.listen_addrs[0])
    await eventually(lambda: len(other.dht.providers) == 1, "the announcement")
