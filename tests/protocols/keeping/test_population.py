"""A day among three hundred peers that come and go: their number stays in its bounds, near ones of many networks stay."""

from __future__ import annotations

import random
import statistics

from mesh.identity.peer_id import PeerId
from mesh.protocols.keeping.keeper import Keeper
from mesh.protocols.keeping.settings import Close, Dead, Probe, Redial, Seek, Settings

POPULATION = 300
NETWORKS = 40
STEP_S = 2.0
LIFE_S = 7200.0
"""How long a peer is up on average, and how long it is away."""


class Population:
    """Every peer has a network and a round trip; they go and come at random. The sources name some when they are asked,
    and a few each minute besides."""

    def __init__(self) -> None:
        self.rng = random.Random(7)
        self.now = 0.0
        self.peers = [
            PeerId.from_bytes(b"\x12\x20" + number.to_bytes(32, "big")) for number in range(POPULATION)
        ]
        self.network = {each: f"net {self.rng.randrange(NETWORKS)}" for each in self.peers}
        self.round_trip = {each: self.rng.uniform(0.01, 0.5) for each in self.peers}
        self.up = set(self.peers)
        self.connected: set[PeerId] = set()
        self.waiting: dict[PeerId, str] = {}
        self.keeper = Keeper(Settings(), lambda _peer: False, self.rng.random)

    def step(self) -> None:
        self.now += STEP_S
        for each in self.peers:
            if self.rng.random() < STEP_S / LIFE_S:
                self.up ^= {each}
        if self.rng.random() < STEP_S / 20.0:
            self._name(2)
        self.keeper.wake(self.now)
        while events := self.keeper.events():
            for event in events:
                self._do(event)
        while self.waiting and self.keeper.has_room(self.now):
            peer = self.keeper.choose(self.waiting)
            del self.waiting[peer]
            self.keeper.dialling(peer, self.now)
            self._dial(peer)

    def _name(self, count: int) -> None:
        for peer in self.rng.sample(self.peers, count):
            if peer not in self.connected and self.keeper.admits(peer, self.now) and len(self.waiting) < 50:
                self.waiting[peer] = self.network[peer]

    def _dial(self, peer: PeerId) -> None:
        if peer in self.up and peer not in self.connected:
            self.connected.add(peer)
            self.keeper.connected(peer, self.network[peer], self.now, dialled=True)
        else:
            self.keeper.failed(peer, self.now)

    def _lose(self, peer: PeerId) -> None:
        if peer in self.connected:
            self.connected.discard(peer)
            self.keeper.disconnected(peer, self.now)

    def _do(self, event: object) -> None:
        match event:
            case Probe(peer) if peer in self.up:
                self.keeper.answered(peer, self.round_trip[peer] * self.rng.uniform(0.9, 1.3), self.now)
            case Probe(peer):
                self.keeper.missed(peer, self.now)
            case Dead(peer) | Close(peer, _):
                self._lose(peer)
            case Redial(peer):
                self._dial(peer)
            case Seek():
                self._name(20)


def test_a_day_among_peers_that_come_and_go() -> None:
    world = Population()
    counts, means, networks = [], [], []
    for step in range(int(86_400 / STEP_S)):
        world.step()
        if world.now > 1800.0 and step % 30 == 0:
            alive = world.connected & world.up
            counts.append(len(alive))
            means.append(statistics.mean(world.round_trip[each] for each in alive))
            networks.append(len({world.network[each] for each in alive}))
    everybody = statistics.mean(world.round_trip.values())
    assert statistics.mean(count >= 23 for count in counts) > 0.99
    assert max(counts) <= 26
    assert statistics.mean(means) < 0.6 * everybody
    assert statistics.mean(networks) > 15
