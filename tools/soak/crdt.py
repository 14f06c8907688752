"""`python -m tools.soak.crdt --kills 1000`: a replica dies by SIGKILL again and again; nothing acknowledged may be lost.

Each life is a process of its own on the same folder: four writers put, delete and batch keys of their own, another hears
of branches of somebody else, blocks are collected now and then. It says what it begins and what was acknowledged. It dies
at any instant, also while it starts. The next life says what the mapping holds: of each key that has to be the last value
acknowledged, or one begun after that. Now and then, and at the end, all rows are held against those that merging every
block again gives.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mesh.codecs.crdt import Delta, Element
from mesh.config import BlocksSection, Config, GossipSection, NetworkSection, NodeSection
from mesh.node import Node
from mesh.protocols.crdt.delta import make_block
from mesh.protocols.crdt.replica import write_broadcast
from mesh.services.crdt import Crdt
from mesh.services.crdt.history import digest_of, merge_again
from mesh.services.crdt.kept import clear, heads_in

TOPIC: Final = "soak"
WRITERS: Final = 4
KEYS: Final = 12
LIFE_S: Final = (0.0, 0.12)
EARLY: Final = 0.15
"""Share of lives that may end before the replica has started."""
START_S: Final = 120.0
PROVEN_EVERY: Final = 100


class Writer:
    """Tells the parent, one JSON line each."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def tell(self, what: str, **more: Any) -> None:
        os.write(self._descriptor, json.dumps({"what": what, **more}).encode() + b"\n")


async def live(folder: Path, seed: int, proving: bool, out: Writer) -> None:
    """One life; it ends by a signal, or at once after the proof."""
    config = Config(
        node=NodeSection(path=folder),
        network=NetworkSection(listen=()),
        gossip=GossipSection(enabled=True),
        blocks=BlocksSection(enabled=True, exchange=True),
    )
    async with Node(config) as node:
        crdt = await node.crdt(TOPIC)
        while crdt.status().behind:  # noqa: ASYNC110 - being behind has no event
            await asyncio.sleep(0.001)
        out.tell("ready", mapping={key: value.decode() for key, value in crdt.below("/own")})
        if proving:
            await crdt.stop()
            out.tell("proof", fault=await _fault(node, crdt.namespace))
            return
        chance = random.Random(seed)
        async with asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                group.create_task(_write(crdt, number, random.Random(chance.random()), out))
            known = asyncio.Lock()
            group.create_task(_hear(node, crdt, known, random.Random(chance.random())))
            group.create_task(_collect(node, known, random.Random(chance.random())))


async def _write(crdt: Crdt, number: int, chance: random.Random, out: Writer) -> None:
    turn = 0
    while True:
        turn += 1
        keys = [f"/own/{number}/{chance.randrange(KEYS)}"]
        if chance.random() < 0.2:
            keys = sorted({f"/own/{number}/{chance.randrange(KEYS)}" for _ in range(KEYS)})
        value = None if chance.random() < 0.25 else f"{os.getpid()}.{turn}"
        changes = {key: None if value is None else f"{value}.{key}" for key in keys}
        out.tell("begun", changes=changes)
        if len(changes) > 1:
            await crdt.batch((key, None if text is None else text.encode()) for key, text in changes.items())
        elif value is None:
            await crdt.delete(keys[0])
        else:
            await crdt.put(keys[0], f"{value}.{keys[0]}".encode())
        out.tell("done", changes=changes)


async def _hear(node: Node, crdt: Crdt, known: asyncio.Lock, chance: random.Random) -> None:
    """Branches of somebody else, whose blocks are at hand. Nobody else has them: they are not collected before the
    replica has heard of them."""
    while True:
        links, blocks = list(crdt.status().heads)[:1], []
        height = max(crdt.status().heads.values(), default=0)
        for step in range(chance.randint(1, 20)):
            element = Element(key=f"/other/{chance.randrange(50)}", value=chance.randbytes(20))
            blocks.append(make_block(Delta(elements=[element], priority=height + step + 1), links))
            links = [blocks[-1].cid]
        async with known:
            await node.blocks.put(*blocks)
            crdt.hear(write_broadcast(links))
        await asyncio.sleep(chance.random() * 0.02)


async def _collect(node: Node, known: asyncio.Lock, chance: random.Random) -> None:
    while True:
        await asyncio.sleep(chance.random() * 0.2)
        async with known:
            await node.collect_blocks()


async def _fault(node: Node, namespace: str) -> str:
    """Why merging all blocks again does not give the rows that are there; empty when it does."""
    again, datastore = f"{namespace}-again", node.blocks.datastore
    heads = heads_in(datastore, namespace)
    merged = await merge_again(node.blocks, heads, again, time.monotonic)
    same = await digest_of(datastore, namespace) == await digest_of(datastore, again)
    await clear(datastore, f"{again}/")
    if not merged:
        return "not all blocks below the heads are there"
    return "" if same else "the rows are not those of the blocks"


@dataclass
class Books:
    """What was acknowledged, and what was begun after that, of each key. ``wrong`` lists what should not be."""

    acknowledged: dict[str, str | None] = field(default_factory=dict)
    begun: dict[str, list[str | None]] = field(default_factory=dict)
    changes: int = 0
    kills: int = 0
    early: int = 0
    proofs: int = 0
    wrong: list[str] = field(default_factory=list)

    def take(self, line: dict[str, Any]) -> None:
        """One line of a life."""
        if line["what"] == "ready":
            self._check(line["mapping"])
        elif line["what"] == "begun":
            for key, value in line["changes"].items():
                self.begun.setdefault(key, []).append(value)
        elif line["what"] == "done":
            self.changes += 1
            for key, value in line["changes"].items():
                self.acknowledged[key] = value
                self.begun[key] = []
        elif line["what"] == "proof":
            self.proofs += 1
            if line["fault"]:
                self.wrong.append(f"after {self.kills} kills: {line['fault']}")

    def _check(self, mapping: dict[str, str]) -> None:
        for key in {*self.acknowledged, *mapping, *self.begun}:
            may_be = [self.acknowledged.get(key), *self.begun.get(key, [])]
            if mapping.get(key) not in may_be:
                self.wrong.append(
                    f"after {self.kills} kills: {key} is {mapping.get(key)}, not one of {may_be}"
                )
            self.acknowledged[key], self.begun[key] = mapping.get(key), []


def run(kills: int, seed: int, folder: Path) -> Books:
    """So many lives and deaths, and a last life that proves what is left."""
    chance, books = random.Random(seed), Books()
    while books.kills < kills:
        if books.kills % PROVEN_EVERY == PROVEN_EVERY - 1:
            _one(folder, chance, books, proving=True)
        _one(folder, chance, books, proving=False)
        books.kills += 1
        if not books.kills % 100:
            print(
                f"... {books.kills} kills, {books.changes} changes acknowledged", file=sys.stderr, flush=True
            )
    _one(folder, chance, books, proving=True)
    return books


def _one(folder: Path, chance: random.Random, books: Books, *, proving: bool) -> None:
    reading, writing = os.pipe()
    seed, early, life_s = chance.randrange(2**32), chance.random() < EARLY, chance.uniform(*LIFE_S)
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reading)
            asyncio.run(live(folder, seed, proving, Writer(writing)))
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as lines:
        told = b""
        if proving or not early:
            if not select.select([lines], [], [], START_S)[0]:
                books.wrong.append(f"after {books.kills} kills: it lacks something that nobody has")
                os.kill(child, signal.SIGKILL)
            told = lines.readline()
        if not proving:
            time.sleep(life_s)
            os.kill(child, signal.SIGKILL)
        told += lines.read()
    _, status = os.waitpid(child, 0)
    if proving and status:
        books.wrong.append(f"after {books.kills} kills: it does not start, or not end, any more ({status})")
    whole = told[: told.rfind(b"\n") + 1].splitlines()
    books.early += not whole and not proving
    for line in whole:
        books.take(json.loads(line))


def markdown(books: Books, seed: int, seconds: float) -> str:
    """The report."""
    rows = [
        ("kills", books.kills),
        ("of those before the replica had started", books.early),
        ("changes acknowledged", books.changes),
        ("times that all blocks were merged again and gave the same rows", books.proofs),
        ("acknowledged changes lost, or rows that are wrong", len(books.wrong)),
    ]
    verdict = "Nothing acknowledged was lost." if not books.wrong else "FAILED."
    lines = [
        "# A replica that is killed",
        "",
        f"`python -m tools.soak.crdt --kills {books.kills} --seed {seed}`, {seconds:.0f} s, Python "
        f"{'.'.join(map(str, sys.version_info[:3]))}.",
        "",
        f"**{verdict}**",
        "",
        "| figure | |",
        "|---|---:|",
        *(f"| {name} | {value:,} |" for name, value in rows),
        *(["", *(f"- {each}" for each in books.wrong[:50])] if books.wrong else []),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and report; 1 when something was lost."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.crdt")
    parser.add_argument("--kills", type=int, default=1000, help="how often it dies [1000]")
    parser.add_argument(
        "--seed", type=int, default=1, help="what is written, and when it dies, is drawn from this [1]"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report there as well")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        books = run(options.kills, options.seed, Path(folder))
    report = markdown(books, options.seed, time.monotonic() - began)
    if options.report is not None:
        options.report.write_text(report)
    print(report, end="")
    return 1 if books.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
