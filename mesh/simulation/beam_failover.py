"""How long a download pauses when the path that carries it ends or falls silent, and how long routes take to rank.

Both ends are the real session machines, with two paths by different relays whose round trips are drawn. The pause is the
longest time without a byte from the failure on.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from statistics import median
from typing import Any, Final

from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.gossip_message import Link
from mesh.protocols.beam.path_quality import Quality
from mesh.protocols.beam.route_table import RouteTable
from mesh.simulation.beam_paths import SessionPath, SimulatedEnd, close_path
from mesh.simulation.figures import spread_of
from mesh.simulation.links import Latency
from mesh.simulation.world import World

FRAME_MS: Final = 20
LASTS_MS: Final = 8_000
RELAYS: Final = 540
LINKS: Final = 10
"""That each takes up, the one with the destination among them: over a thousand routes come of it."""
OWN_LINKS: Final = 50
ROUNDS: Final = 15


class Download:
    """A provider that sends all the time by the first of two paths, until ``closed`` or silence ends that one."""

    def __init__(self, seed: int, latency_ms: float, closed: bool) -> None:
        self.world = World(seed)
        chance = self.world.random("failover")
        latency = Latency(latency_ms, 0.4, seed)
        self.received = 0
        self.pause_ms = 0
        self._last_ms = 0
        self._fails_ms = 1000 + chance.randrange(2000)
        self._silent = False
        self._opener = SimulatedEnd(self.world, True, self._lost, self._came)
        self._provider = SimulatedEnd(self.world, False, self._ignored, self._nothing)
        self._opener.other, self._provider.other = self._provider, self._opener
        trips = [
            round(latency.round_trip_ms(0, each) / 2 + latency.round_trip_ms(each, 1) / 2) for each in (2, 3)
        ]
        self._first = SessionPath(trips[0], lambda: not self._silent, FRAME_MS)
        for number, path in ((1, self._first), (2, SessionPath(trips[1], lambda: True, FRAME_MS))):
            for end in (self._opener, self._provider):
                end.add_path(number, path, carries=number == 1)
        self.world.at(self._fails_ms, self._fail, closed)

    def run(self) -> Download:
        """Let it happen."""
        self._send()
        self.world.run(LASTS_MS)
        return self

    def _send(self) -> None:
        self._provider.write(bytes(1 << 18))
        self.world.after(FRAME_MS, self._send)

    def _fail(self, closed: bool) -> None:
        self._silent = True
        if closed:
            close_path(self.world, 1, self._first, (self._opener, self._provider))

    def _came(self, data: bytes) -> None:
        now = self.world.now_ms
        if now >= self._fails_ms:
            self.pause_ms = max(self.pause_ms, now - max(self._last_ms, self._fails_ms))
        self._last_ms = now
        self.received += len(data)

    def _lost(self, number: int, _reason: str) -> None:
        self._opener.session.carry_by({2} if number == 1 else {1})

    def _ignored(self, _number: int, _reason: str) -> None:
        """The provider sends by what it hears."""

    def _nothing(self, _data: bytes) -> None:
        """Nothing is sent to it."""


def failovers(seed: int, trials: int, latency_ms: float) -> dict[str, Any]:
    """Pauses in ms, of paths that were closed and of paths that fell silent."""
    return {
        name: spread_of(
            Download(seed * 10_000 + number, latency_ms, closed).run().pause_ms for number in range(trials)
        ).rounded()
        for name, closed in (("closed_ms", True), ("silent_ms", False))
    }


def route_calculation(seed: int, clock: Callable[[], float]) -> dict[str, Any]:
    """The median time that ``clock`` measures for ranking the routes to a peer, in ms, and how many come out."""
    chance = random.Random(seed)
    peers = [PeerId(b"\x00\x24\x08\x01\x12\x20" + number.to_bytes(32, "big")) for number in range(RELAYS + 2)]
    own, destination, relays = peers[0], peers[1], peers[2:]
    table = RouteTable(own)
    neighbours: dict[PeerId, set[PeerId]] = {each: {destination} for each in relays}
    for each in relays:
        for other in chance.sample(relays, LINKS - 1):
            if other != each:
                neighbours[each].add(other)
                neighbours[other].add(each)
    for each in relays:
        table.update(each, 1, [_link(peer, chance) for peer in sorted(neighbours[each])], 0.0)
    own_links = {each: Quality(chance.uniform(0.01, 0.2), 1e6, 1.0, 0.0) for each in relays[:OWN_LINKS]}
    taken, found = [], 0
    for _ in range(ROUNDS):
        began = clock()
        found = len(table.routes(destination, own_links, 1.0))
        taken.append(1000 * (clock() - began))
    return {"routes": found, "links": len(table), "median_ms": round(median(taken), 3)}


def _link(peer: PeerId, chance: random.Random) -> Link:
    return Link(peer, chance.uniform(5, 100), chance.uniform(1e5, 1e6), 1.0, 0.0)
