"""`python -m tools.bench.crdt_catching_up`: how fast a replica catches up with a long linear history, and what it costs.

Each delta puts a key of its own above the one before. One replica has all blocks in its own store and hears of the head;
another, on a node of its own, knows nothing and takes a snapshot of the first over a connection. Everything is on disk.
The memory is what the process holds more after the first has merged all and given back what is free, its store's cache
included.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from mesh.codecs.crdt import Delta, Element
from mesh.config import BlocksSection, Config, CrdtSection, GossipSection, NetworkSection, NodeSection
from mesh.ipld.block import Block
from mesh.multiformats.cid import Cid
from mesh.node import Node
from mesh.protocols.crdt.delta import make_block
from mesh.protocols.crdt.replica import write_broadcast
from mesh.services.crdt import Crdt
from tools.bench.resident import give_back, resident_bytes

TOPIC = "bench"
VALUE = bytes(100)
WRITTEN_AT_ONCE = 5000


def node(folder: Path, crdt: CrdtSection) -> Node:
    """A node whose blocks are on disk."""
    return Node(
        Config(
            node=NodeSection(path=folder),
            network=NetworkSection(listen=("/ip4/127.0.0.1/tcp/0",)),
            gossip=GossipSection(enabled=True),
            blocks=BlocksSection(enabled=True, exchange=True),
            crdt=crdt,
        )
    )


async def fill(giver: Node, deltas: int) -> Cid:
    """Put the history into the giver's store; its head."""
    links: list[Cid] = []
    blocks: list[Block] = []
    for number in range(deltas):
        delta = Delta(elements=[Element(key=f"/key/{number}", value=VALUE)], priority=number + 1)
        blocks.append(make_block(delta, links))
        links = [blocks[-1].cid]
        if len(blocks) == WRITTEN_AT_ONCE:
            await giver.blocks.put(*blocks)
            blocks = []
    await giver.blocks.put(*blocks)
    return links[0]


async def whole(crdt: Crdt, deltas: int) -> float:
    """Seconds until a replica lacks nothing."""
    began, last = time.perf_counter(), f"/key/{deltas - 1}"
    while crdt.get(last) is None or crdt.status().behind:  # noqa: ASYNC110 - a mapping has no event
        await asyncio.sleep(0.01)
    return time.perf_counter() - began


async def measure(deltas: int, folder: Path) -> None:
    """Run and print."""
    async with node(folder / "giver", CrdtSection(serve_snapshots=True)) as giver:
        head = await fill(giver, deltas)
        give_back()
        before = resident_bytes()
        crdt = await giver.crdt(TOPIC)
        crdt.hear(write_broadcast([head]))
        print(f"deltas/s, blocks at hand: {deltas / await whole(crdt, deltas):,.0f}", flush=True)
        give_back()
        grown = max(0, resident_bytes() - before)
        print(f"memory for each of {deltas:,} keys: {grown / deltas:,.0f} B", flush=True)
        taking = CrdtSection(trusted=(str(giver.peer_id),))
        async with node(folder / "taker", taking) as taker:
            copy = await taker.crdt(TOPIC)
            await taker.connect(giver.listen_addrs[0])
            print(f"deltas/s, by snapshot: {deltas / await whole(copy, deltas):,.0f}", flush=True)
            assert taker.counters["crdt.snapshots_taken"] == 1


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.crdt_catching_up")
    parser.add_argument("--deltas", type=int, default=100_000, help="length of the history [100000]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(options.deltas, Path(folder)))


if __name__ == "__main__":
    main()
