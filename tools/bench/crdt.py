"""`python -m tools.bench.crdt`: puts and merges of the Merkle-CRDT, this node and go-ds-crdt, side by side.

One replica takes puts, one by one and in batches; another then hears of its head and has the blocks at hand. Both keep
everything on disk: go in leveldb with its default of synchronous writes, ours in SQLite, once as a node does by default
(what was acknowledged survives `kill -9`) and once with every commit on the disk (`power_safe`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

from mesh.config import Config, GossipSection, NetworkSection
from mesh.errors import RecordNotFound
from mesh.ipld.block import Block
from mesh.multiformats.cid import Cid
from mesh.network.scope import Scope
from mesh.node import Node
from mesh.protocols.crdt.replica import write_broadcast
from mesh.services.crdt import Crdt
from mesh.storage.blockstore import Blockstore
from mesh.storage.sqlite_datastore import SqliteDatastore
from tools.interop_peers.building import ensure_built

BATCHES: Final = {1: 1000, 1000: 50_000}
"""Keys put, by how many go into a node."""
VALUE: Final = bytes(100)
ROOM: Final = 10**10
RUN_S: Final = 600.0
FIGURES: Final = ("puts_per_second", "merged_keys_per_second")

Figures = dict[str, float]


class AtHand:
    """A block source that has nothing: all blocks are in the own store."""

    async def get(self, cid: Cid) -> Block:
        raise RecordNotFound(f"{cid} is not at hand")


async def ours(folder: Path, puts: int, batch: int, power_safe: bool) -> Figures:
    """One run of this node."""
    config = Config(gossip=GossipSection(enabled=True), network=NetworkSection(listen=()))
    async with (
        Node(config) as writing,
        Node(config) as reading,
        SqliteDatastore(folder / "writer.sqlite", power_safe=power_safe) as first,
        SqliteDatastore(folder / "reader.sqlite", power_safe=power_safe) as second,
    ):
        scope = Scope("bench")
        writer = await started(writing, Blockstore(first, ROOM), scope)
        began = time.perf_counter()
        for start in range(0, puts, batch):
            await writer.batch((f"/key/{n}", VALUE) for n in range(start, min(start + batch, puts)))
        put_s = time.perf_counter() - began
        blocks = Blockstore(second, ROOM)
        (head,) = writer.status().heads
        source = Blockstore(first, ROOM)
        await blocks.put(*(each for cid in source.walk(head) if (each := source.get(cid)) is not None))
        reader = await started(reading, blocks, scope)
        began = time.perf_counter()
        reader.hear(write_broadcast([head]))
        while reader.get("/key/0") is None or reader.status().behind:  # noqa: ASYNC110 - a mapping has no event
            await asyncio.sleep(0.001)
        merge_s = time.perf_counter() - began
        await writer.stop()
        await reader.stop()
        await scope.close()
    return {"puts_per_second": puts / put_s, "merged_keys_per_second": puts / merge_s}


async def started(node: Node, blocks: Blockstore, scope: Scope) -> Crdt:
    crdt = Crdt("bench", node.pubsub, blocks, AtHand(), node.counters)
    await crdt.start(scope)
    return crdt


def theirs(folder: Path, puts: int, batch: int) -> Figures:
    """One run of go-ds-crdt."""
    command = [
        str(ensure_built()),
        "crdt-bench",
        "--dir",
        str(folder),
        "--puts",
        str(puts),
        "--batch",
        str(batch),
    ]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=RUN_S)
    found: Figures = json.loads(told.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.crdt")
    parser.add_argument("--runs", type=int, default=3, help="interleaved runs of each")
    options = parser.parse_args()
    print("| keys a node | | mesh | mesh, power safe | go-ds-crdt | ratio | ratio, power safe |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for batch, puts in BATCHES.items():
        runs: dict[str, list[Figures]] = {"mesh": [], "safe": [], "go": []}
        for _ in range(options.runs):
            for name, found in runs.items():
                with tempfile.TemporaryDirectory() as folder:
                    place = Path(folder)
                    if name == "go":
                        found.append(theirs(place, puts, batch))
                    else:
                        found.append(asyncio.run(ours(place, puts, batch, name == "safe")))
        for figure in FIGURES:
            mesh, safe, go = (median(each[figure] for each in found) for found in runs.values())
            what = figure.replace("_", " ").replace("per second", "/s")
            print(
                f"| {batch} | {what} | {mesh:,.0f} | {safe:,.0f} | {go:,.0f} | {mesh / go:.2f} | {safe / go:.2f} |"
            )


if __name__ == "__main__":
    main()
