"""`python -m tools.bench.crdt_catching_up`: how fast a replica catches up with a long linear history, and what it costs.

Each delta puts a key of its own above the one before. One replica has all blocks in its own store and hears of the head;
another, on a node of its own, knows nothing and takes a snapshot of the first over a connection. Everything is on disk.

Memory is what the process has resident beyond what it had when the blocks were in the store and no replica was open: at
most while the first catches up; and after it has merged all and given back what is free, which the allocator can do with
whole arenas alone. A replica opened anew has read every key, in a process of its own, and what is told is how much more
that has resident than a process that has looked for the same keys in an empty store. SQLite's cache is subtracted from
none of them, though up to 2 MB of it for each of the store's two connections may be in them: what a replica holds itself
is less than what is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from mesh.codecs.crdt import Delta, Element
from mesh.config import BlocksSection, Config, CrdtSection, GossipSection, NetworkSection, NodeSection
from mesh.ipld.block import Block
from mesh.multiformats.cid import Cid
from mesh.node import Node
from mesh.protocols.crdt.delta import make_block
from mesh.protocols.crdt.replica import write_broadcast
from mesh.services.crdt import Crdt
from tools.bench.resident import forget_peak, give_back, peak_bytes, resident_bytes

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


async def opened(folder: Path, deltas: int) -> int:
    """Bytes resident once the replica of a folder is open and every key has been read."""
    async with node(folder, CrdtSection()) as reader:
        crdt = await reader.crdt(TOPIC)
        for number in range(deltas):
            crdt.get(f"/key/{number}")
        give_back()
        return resident_bytes()


def open_and_read(folder: Path, deltas: int) -> int:
    """`opened`, in a loop of its own."""
    return asyncio.run(opened(folder, deltas))


def opened_alone(folder: Path, deltas: int) -> int:
    """The same of a process that did nothing before."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as alone:
        return alone.submit(open_and_read, folder, deltas).result()


async def catch_up(deltas: int, folder: Path) -> None:
    """With the blocks at hand, and by a snapshot; prints both."""
    async with node(folder / "giver", CrdtSection(serve_snapshots=True)) as giver:
        head = await fill(giver, deltas)
        give_back()
        forget_peak()
        before = resident_bytes()
        crdt = await giver.crdt(TOPIC)
        crdt.hear(write_broadcast([head]))
        print(f"deltas/s, blocks at hand: {deltas / await whole(crdt, deltas):,.0f}", flush=True)
        highest = peak_bytes() - before
        give_back()
        left = resident_bytes() - before
        print(f"memory for each of {deltas:,} keys, at most: {highest / deltas:,.0f} B", flush=True)
        print(f"memory for each of {deltas:,} keys, afterwards: {left / deltas:,.0f} B", flush=True)
        taking = CrdtSection(trusted=(str(giver.peer_id),))
        async with node(folder / "taker", taking) as taker:
            copy = await taker.crdt(TOPIC)
            await taker.connect(giver.listen_addrs[0])
            print(f"deltas/s, by snapshot: {deltas / await whole(copy, deltas):,.0f}", flush=True)
            assert taker.counters["crdt.snapshots_taken"] == 1


def measure(deltas: int, folder: Path) -> None:
    """Run and print."""
    asyncio.run(catch_up(deltas, folder))
    grown = opened_alone(folder / "giver", deltas) - opened_alone(folder / "empty", deltas)
    print(f"memory for each of {deltas:,} keys, opened anew: {grown / deltas:,.0f} B", flush=True)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.crdt_catching_up")
    parser.add_argument("--deltas", type=int, default=100_000, help="length of the history [100000]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options.deltas, Path(folder))


if __name__ == "__main__":
    main()
