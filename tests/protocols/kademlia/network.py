"""A network of numbers with full tables and a clock of its own, for lookups to run in."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from heapq import heappop, heappush

from mesh.protocols.kademlia import (
    Candidate,
    Lookup,
    LookupSettings,
    RoundTrips,
    RoutingTable,
    TableSettings,
    key_of,
)
from mesh.protocols.kademlia.trace import Step

Named = Sequence[Candidate[int]]


@dataclass
class Network:
    """`answer` says what a peer names for a target; None for one that never answers.

    A share of `stale` members have not noticed yet that a peer is gone, and name it.
    """

    peers: list[Candidate[int]]
    tables: list[RoutingTable[int]]
    silent: Collection[int] = ()
    refusing: Collection[int] = ()
    lies: Callable[[int, int], Named] | None = None
    liars: Collection[int] = ()
    stale: float = 0.2
    delays: Callable[[int], float] = lambda peer: 0.05 + peer % 7 / 50

    def answer(self, peer: int, target: int, asker: int) -> Named | None:
        if peer >= len(self.peers) or peer in self.silent:
            return None
        if self.lies is not None and peer in self.liars:
            return self.lies(peer, target)
        members = self.tables[peer].closest(target, 60, (self.peers[asker].key,))
        return [each.candidate for each in members if self.names(peer, each.peer)][:20]

    def names(self, peer: int, other: int) -> bool:
        gone = other in self.silent or other in self.refusing
        return not gone or (other * 31 + peer) % 100 < 100 * self.stale

    def nearest(self, target: int, asker: int, count: int = 20) -> list[int]:
        """The true answer: the closest peers that live and tell the truth or not, without the asker."""
        there = [each for each in self.peers if each.peer not in (asker, *self.silent, *self.refusing)]
        return [each.peer for each in sorted(there, key=lambda each: each.key ^ target)[:count]]


@cache
def tables(size: int) -> tuple[list[Candidate[int]], list[RoutingTable[int]]]:
    """Peers 0 to size - 1, each with a table of whom it met in an order of its own."""
    rng = random.Random(size)
    names = [f"peer {number}".encode() for number in range(size)]
    peers = [Candidate(number, key_of(name)) for number, name in enumerate(names)]
    found = []
    for name in names:
        table: RoutingTable[int] = RoutingTable(name, TableSettings(diverse=False))
        for each in rng.sample(peers, size):
            table.admit(each, 0.0)
        found.append(table)
    return peers, found


def network(size: int = 1000) -> Network:
    return Network(*tables(size))


@dataclass
class Run:
    """A lookup that ran to its end, and what was seen of it."""

    lookup: Lookup[int]
    asked: list[int] = field(default_factory=list)
    steps: list[Step[int]] = field(default_factory=list)
    most_at_once: int = 0

    @property
    def found(self) -> list[int]:
        return [each.peer for each in self.lookup.result().closest]


def run(
    world: Network,
    target: int,
    settings: LookupSettings | None = None,
    asker: int = 0,
    *,
    trips: RoundTrips[int] | None = None,
    until: Callable[[int], bool] = lambda peer: False,
) -> Run:
    """Run one lookup from `asker`; `until` sees each peer that answered and says when to stop."""
    seeds = [entry.candidate for entry in world.tables[asker].closest(target)]
    lookup = Lookup(
        target,
        seeds,
        settings or LookupSettings(),
        trips or RoundTrips(),
        0.0,
        exclude=(world.peers[asker].key,),
        trace=True,
    )
    done = Run(lookup)
    arriving: list[tuple[float, int, int]] = []
    now = 0.0
    while True:
        for peer in lookup.requests():
            done.asked.append(peer)
            heappush(arriving, (now + world.delays(peer), len(done.asked), peer))
        done.steps += lookup.events()
        if lookup.finished:
            return done
        deadline = lookup.deadline()
        assert deadline is not None
        while arriving and arriving[0][2] not in world.refusing and silent(world, arriving[0][2]):
            heappop(arriving)
        if arriving and arriving[0][0] <= deadline:
            now, _, peer = heappop(arriving)
            if peer in world.refusing:
                lookup.failed(peer, now, "refused")
                continue
            lookup.answered(peer, world.answer(peer, target, asker) or (), now)
            if until(peer):
                lookup.stop(now)
        else:
            now = deadline
            lookup.wake(now)


def silent(world: Network, peer: int) -> bool:
    """Whether no answer ever comes from it."""
    return peer >= len(world.peers) or peer in world.silent
