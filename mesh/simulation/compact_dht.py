"""Lookups among a million peers: the real `Lookup` over compact tables, one after the other in virtual time.

What a lookup does is the same code as on a live node; only tables and links are condensed. A few hundred observers ask,
each with timeouts learnt from its own lookups. Connections stand to members of one's table and to those who have one in
theirs (with `keep_warm`); all others are set up first.
"""

from __future__ import annotations

import random
from heapq import heappop, heappush

from mesh.protocols.kademlia import Candidate, Lookup, LookupSettings, RoundTrips
from mesh.protocols.kademlia.trace import Result
from mesh.simulation.compact_tables import BITS, CompactTables
from mesh.simulation.dht_parameters import DhtParameters
from mesh.simulation.dht_workload import COLD_ONE_IN, LookupTally
from mesh.simulation.figures import share
from mesh.simulation.links import JITTER, Latency

OBSERVERS = 128
_LEARNING = 3
"""Lookups of each observer before those that count."""

Arrival = tuple[float, int, int, list[Candidate[int]]]


class _Observer:
    """A peer that looks up: its table and its timeouts."""

    __slots__ = ("members", "peer", "trips")

    def __init__(self, tables: CompactTables, peer: int) -> None:
        self.peer = peer
        self.members = frozenset(tables.members(peer))
        self.trips: RoundTrips[int] = RoundTrips()


class CompactDht:
    """Lookups in one set of tables. Raises UsageError without numpy."""

    def __init__(self, parameters: DhtParameters, stale: float | None = None) -> None:
        self.parameters = parameters
        self.tables = CompactTables(parameters, stale)
        self._settings: LookupSettings = parameters.lookup_settings()
        self._latency = Latency(parameters.latency_ms, parameters.spread, parameters.seed)
        self._random = random.Random(f"{parameters.seed}/compact")

    def run(self) -> LookupTally:
        """The measured lookups."""
        tally = LookupTally()
        draw = self._random
        observers = [_Observer(self.tables, self._someone()) for _ in range(OBSERVERS)]
        for observer in observers:
            for _ in range(_LEARNING):
                self._look_up(observer, draw.getrandbits(BITS), False)
        k = self.parameters.k
        for number in range(self.parameters.lookups):
            observer = observers[draw.randrange(OBSERVERS)]
            target = draw.getrandbits(BITS)
            if number % 2:
                target = self.tables.integers[self._someone()]
            cold = number // 2 % COLD_ONE_IN == 0
            result = self._look_up(observer, target, cold)
            expected = self.tables.nearest(target, k, observer.peer)
            found = {each.peer for each in result.closest}
            recall = share(len(found.intersection(expected)), len(expected))
            tally.add(result, result.duration_s * 1000, cold, expected[0] in found, recall)
        return tally

    def _someone(self) -> int:
        while True:
            peer = self._random.randrange(self.tables.peers)
            if self.tables.alive(peer):
                return peer

    def _look_up(self, observer: _Observer, target: int, cold: bool) -> Result[int]:
        tables, asker = self.tables, observer.peer
        seeds = tables.closest(asker, target, asker)
        lookup = Lookup(target, seeds, self._settings, observer.trips, 0.0, exclude=(tables.integers[asker],))
        arriving: list[Arrival] = []
        now_s = 0.0
        sent = 0
        while True:
            for peer in lookup.requests():
                sent += 1
                delay_s = self._delay_s(observer, peer, cold)
                if delay_s is not None:
                    heappush(arriving, (now_s + delay_s, sent, peer, tables.closest(peer, target, asker)))
            if lookup.finished:
                return lookup.result()
            deadline = lookup.deadline()
            if arriving and (deadline is None or arriving[0][0] <= deadline):
                now_s, _, peer, closer = heappop(arriving)
                lookup.answered(peer, closer, now_s)
            elif deadline is not None:
                now_s = deadline
                lookup.wake(now_s)

    def _delay_s(self, observer: _Observer, peer: int, cold: bool) -> float | None:
        """How long until an answer comes; None for never."""
        parameters, draw = self.parameters, self._random.random
        if not self.tables.alive(peer):
            return None
        if parameters.loss and (draw() < parameters.loss or draw() < parameters.loss):
            return None
        round_trip = self._latency.round_trip_ms(observer.peer, peer)
        taken = round_trip * (1 + JITTER * (draw() + draw()) / 2)
        if cold or not parameters.keep_warm or not self._kept(observer, peer):
            taken += round_trip * parameters.setup_round_trips
        return taken / 1000

    def _kept(self, observer: _Observer, peer: int) -> bool:
        return peer in observer.members or self.tables.knows(peer, observer.peer)
