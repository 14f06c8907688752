"""Replicas of one mapping under everything a network and a machine can do to them, until they have to agree.

Broadcasts get lost, come late, twice and in any order; the network falls into parts and heals; processes die with what
they had not written and start again from their stores. In the end all is mended: then every replica must hold the same
mapping, heads and store, and every change that was ever acknowledged must be part of it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

from mesh.errors import UsageError
from mesh.ipld.block import Block
from mesh.multiformats.cid import Cid
from mesh.protocols.crdt.replica import Replica
from mesh.simulation.figures import spread_of
from mesh.simulation.seeds_report import SeedsReport
from mesh.simulation.world import Alarm, World

ACTIVE_MS = 120_000
"""How long there are changes and trouble."""
AFTER_MS = 600_000
"""How long the replicas have to agree once all is mended."""
LOOK_MS = 1000
WRITE_MS = 5
"""What a commit takes: whoever dies sooner has lost it."""
LATENCY_MS = (10, 300)
ASKED = 5
"""Times that a block is asked for."""
UNANSWERED_MS = 1000

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CrdtParameters:
    """What is simulated. Shares are of messages, or of replicas that die during a run. Raises UsageError."""

    replicas: int = 100
    seed: int = 1
    """The first of them."""
    seeds: int = 20
    changes: int = 80
    keys: int = 20
    loss: float = 0.2
    duplicates: float = 0.1
    crashes: float = 0.3
    partitions: int = 2
    """Times that the network falls into two parts."""

    def __post_init__(self) -> None:
        if self.replicas < 2 or self.seeds < 1 or self.changes < 1 or self.keys < 1:
            raise UsageError("two replicas, one seed, one change and one key at least")
        if not 0 <= self.loss < 1 or not 0 <= self.duplicates <= 1 or not 0 <= self.crashes <= 1:
            raise UsageError("loss is from 0 to below 1, duplicates and crashes from 0 to 1")


class Disk:
    """What survives the process: entries in order, and blocks."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.blocks: dict[Cid, Block] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def get_many(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        return {key: self.entries[key] for key in keys if key in self.entries}

    def below(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted((key, value) for key, value in self.entries.items() if key.startswith(prefix)))

    def write(self, changes: dict[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value


class Surroundings(Protocol):
    """What a process asks of its network."""

    world: World
    acknowledged: set[Cid]

    def broadcast(self, sender: Process, data: bytes) -> None:
        """Have everybody else hear it, in time."""

    def ask(self, process: Process, cid: Cid) -> None:
        """Have the process `answered`, with the block or without, in time."""


class Process:
    """A replica that runs, until it dies. What it changed is written `WRITE_MS` later, and told after that."""

    def __init__(self, network: Surroundings, number: int, disk: Disk) -> None:
        self.network = network
        self.number = number
        self.disk = disk
        self.dead = False
        self._writing = False
        self._asked: dict[Cid, int] = {}
        self.replica = Replica(
            disk,
            disk.blocks.get,
            random=network.world.random(f"replica {number}").random,
            now=network.world.now_s,
        )
        self._alarm = Alarm(network.world, self._wake)
        self.settle()

    def settle(self) -> None:
        """After anything that happened: ask for blocks, merge, have it written."""
        for cid in self.replica.wanted():
            block = self.disk.blocks.get(cid)
            if block is not None:
                self.network.world.after(1, self._come, block)
            else:
                self._asked[cid] = 0
                self.network.ask(self, cid)
        self.replica.merge()
        self._alarm.set(self.replica.deadline())
        if not self._writing:
            self._writing = True
            self.network.world.after(WRITE_MS, self._write)

    def change(self, key: str, value: bytes | None) -> None:
        """Put, or delete with None."""
        if value is None:
            self.replica.delete(key)
        else:
            self.replica.put(key, value)
        self.settle()

    def hear(self, data: bytes) -> None:
        if not self.dead:
            self.replica.receive(data, b"", self.network.world.now_s)
            self.settle()

    def answered(self, cid: Cid, block: Block | None) -> None:
        """A peer had the block, or had not."""
        if self.dead or cid not in self._asked:
            return
        if block is not None:
            del self._asked[cid]
            self._come(block)
            return
        self._asked[cid] += 1
        if self._asked[cid] < ASKED:
            self.network.ask(self, cid)
        else:
            del self._asked[cid]
            self.replica.unobtainable(cid, self.network.world.now_s)
            self.settle()

    def _come(self, block: Block) -> None:
        if not self.dead:
            self.replica.arrived(block, self.network.world.now_s)
            self.settle()

    def _wake(self) -> None:
        if not self.dead:
            self.replica.wake(self.network.world.now_s)
            self.settle()

    def _write(self) -> None:
        if self.dead:
            return
        self._writing = False
        blocks, changes = self.replica.blocks(), self.replica.changes()
        broadcasts = self.replica.broadcasts()
        self.replica.events()
        made = self.replica.counts["made"]
        for block in blocks:
            self.disk.blocks[block.cid] = block
        self.disk.write(changes)
        self.network.acknowledged.update(each for each in self.replica.heads if made)
        for data in broadcasts:
            self.hear(data)
            self.network.broadcast(self, data)
        if self.replica.merge():
            self.settle()


class CrdtNetwork:
    """All replicas of a run. `cut` says who is on which side while there are two."""

    def __init__(self, parameters: CrdtParameters, seed: int) -> None:
        self.parameters = parameters
        self.world = World(seed)
        self.acknowledged: set[Cid] = set()
        self.trouble = True
        self.cut: list[bool] | None = None
        self.messages = self.lost = self.crashes = 0
        self._chance = self.world.random("network")
        self.processes = [Process(self, number, Disk()) for number in range(parameters.replicas)]
        self._plan(self.world.random("plan"))

    def broadcast(self, sender: Process, data: bytes) -> None:
        for other in range(len(self.processes)):
            if other != sender.number:
                for _ in range(1 + (self.trouble and self._chance.random() < self.parameters.duplicates)):
                    self._send(sender.number, other, lambda process: process.hear(data))

    def ask(self, process: Process, cid: Cid) -> None:
        """Ask everybody who can be reached for a block; one who has it answers."""
        having = [
            each.number
            for each in self.processes
            if cid in each.disk.blocks and not self._parted(process.number, each.number)
        ]
        if having:
            other = self._chance.choice(having)
            block = self.processes[other].disk.blocks[cid]
            if self._send(other, process.number, lambda back: back.answered(cid, block)):
                return
        self.world.after(UNANSWERED_MS, self._unanswered, process, cid)

    def _unanswered(self, process: Process, cid: Cid) -> None:
        process.answered(cid, None)

    def _send(self, sender: int, receiver: int, what: Callable[[Process], None]) -> bool:
        """Have something happen at the receiver; whether it will."""
        self.messages += 1
        if self._parted(sender, receiver) or (self.trouble and self._chance.random() < self.parameters.loss):
            self.lost += 1
            return False
        self.world.after(self._chance.randint(*LATENCY_MS), lambda: what(self.processes[receiver]))
        return True

    def _parted(self, one: int, other: int) -> bool:
        return self.cut is not None and self.cut[one] != self.cut[other]

    # -- what happens ------------------------------------------------------------------------------------------------

    def _plan(self, chance: random.Random) -> None:
        given = self.parameters
        for number in range(given.changes):
            self.world.at(chance.randrange(ACTIVE_MS), self._change, chance.random(), number)
        for number in range(len(self.processes)):
            if chance.random() < given.crashes:
                self.world.at(chance.randrange(ACTIVE_MS), self._crash, number)
        for _ in range(given.partitions):
            begin = chance.randrange(ACTIVE_MS)
            sides = [chance.random() < 0.5 for _ in self.processes]
            self.world.at(begin, self._part, sides)
            self.world.at(begin + chance.randrange(ACTIVE_MS // 2), self._part, None)
        self.world.at(2 * ACTIVE_MS, self._mend)

    def _change(self, roll: float, number: int) -> None:
        process = self.processes[int(roll * len(self.processes))]
        key = f"/key/{int(roll * 1e6) % self.parameters.keys}"
        value = None if int(roll * 1e7) % 5 == 0 else f"value {number}".encode()
        process.change(key, value)

    def _crash(self, number: int) -> None:
        self.crashes += 1
        old = self.processes[number]
        old.dead = True
        self.processes[number] = Process(self, number, old.disk)

    def _part(self, sides: list[bool] | None) -> None:
        self.cut = sides

    def _mend(self) -> None:
        self.trouble, self.cut = False, None

    # -- what must be ------------------------------------------------------------------------------------------------

    def agree(self) -> bool:
        """Whether all replicas are the same, and lack nothing."""
        first = self.processes[0]
        return all(
            not each.replica.behind
            and each.replica.heads == first.replica.heads
            and each.disk.entries == first.disk.entries
            for each in self.processes
        )

    def missing(self) -> int:
        """Acknowledged changes that some replica does not have."""
        return sum(not each.replica.is_merged(cid) for each in self.processes for cid in self.acknowledged)


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One run: seconds from the mending to agreement (None for never), acknowledged changes that are missing."""

    agreed_after_s: float | None
    missing: int
    messages: int
    lost: int
    crashes: int
    nodes: int


def run_seed(parameters: CrdtParameters, seed: int) -> SeedResult:
    """One run to its agreement, or to the end of patience."""
    network = CrdtNetwork(parameters, seed)
    network.world.run(2 * ACTIVE_MS)
    agreed: float | None = None
    while network.world.now_ms < 2 * ACTIVE_MS + AFTER_MS:
        network.world.run(network.world.now_ms + LOOK_MS)
        if network.agree():
            agreed = (network.world.now_ms - 2 * ACTIVE_MS) / 1000
            break
    nodes = len(network.processes[0].disk.blocks)
    return SeedResult(agreed, network.missing(), network.messages, network.lost, network.crashes, nodes)


def run(parameters: CrdtParameters, tell: Tell | None = None) -> SeedsReport:
    """All seeds; `tell` gets a line now and then."""
    began_s = time.monotonic()
    results = []
    for done in range(parameters.seeds):
        results.append(run_seed(parameters, parameters.seed + done))
        if tell is not None and (done + 1) % 10 == 0:
            tell(f"{done + 1} of {parameters.seeds} seeds")
    agreed = [each.agreed_after_s for each in results if each.agreed_after_s is not None]
    astray = [
        parameters.seed + at for at, each in enumerate(results) if each.agreed_after_s is None or each.missing
    ]
    figures = {
        "convergence": {
            "seeds_converged": len(agreed),
            "seeds_that_did_not": astray,
            "acknowledged_changes_missing": sum(each.missing for each in results),
            "seconds_from_mending_to_agreement": spread_of(agreed).rounded() if agreed else "none",
        },
        "trouble": {
            "messages": sum(each.messages for each in results),
            "messages_lost": sum(each.lost for each in results),
            "crashes": sum(each.crashes for each in results),
            "nodes_a_run": spread_of(each.nodes for each in results).rounded(),
        },
    }
    title = f"{parameters.replicas} replicas of a Merkle-CRDT"
    return SeedsReport("crdt", title, asdict(parameters), figures, time.monotonic() - began_s)
