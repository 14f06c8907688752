"""`python -m tools.bench.crdt_chain`: a cold replica fetches a linear history of a Go replica over bitswap, one of ours
and one of go-ds-crdt in turn. Every node has to come before the next one is known. All on disk."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

from mesh.config import BlocksSection, Config, GossipSection, NetworkSection, NodeSection
from mesh.node import Node
from tools.interop_peers.building import ensure_built
from tools.interop_peers.process import PeerProcess

TOPIC = "bench"
LOOK_S = 0.02


def replica(folder: Path) -> PeerProcess:
    """A Go replica."""
    command = (str(ensure_built()), "crdt", "--dir", str(folder), "--topic", TOPIC)
    return PeerProcess(*command, "--rebroadcast", "500ms")


async def ours(folder: Path, giver: PeerProcess, deltas: int) -> float:
    """Seconds from the first node that is known to the last that is merged."""
    config = Config(
        node=NodeSection(path=folder),
        network=NetworkSection(listen=("/ip4/127.0.0.1/tcp/0",)),
        gossip=GossipSection(enabled=True),
        blocks=BlocksSection(enabled=True, exchange=True),
    )
    async with Node(config) as node:
        crdt = await node.crdt(TOPIC)
        await node.connect(giver.address)
        while not crdt.status().behind:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(LOOK_S)
        began = time.perf_counter()
        while crdt.status().behind or crdt.get("/key/0") is None:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(LOOK_S)
        seconds = time.perf_counter() - began
        assert len(crdt.below("/key")) == deltas
        return seconds


async def theirs(folder: Path, giver: PeerProcess, deltas: int) -> float:
    """The same of a Go replica, which merges what comes first, first."""
    async with replica(folder) as peer:
        await peer.call("connect", addr=giver.address)
        while not (await peer.call("dump"))["entries"]:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(LOOK_S)
        began = time.perf_counter()
        while len((await peer.call("dump"))["entries"]) < deltas:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(LOOK_S)
        return time.perf_counter() - began


async def measure(deltas: int, runs: int, folder: Path) -> None:
    """Run and print."""
    async with replica(folder / "giver") as giver:
        for number in range(deltas):
            await giver.call("put", key=f"/key/{number}", value="x")
        found: dict[str, list[float]] = {"mesh": [], "go": []}
        for run in range(runs):
            found["mesh"].append(deltas / await ours(folder / f"mesh{run}", giver, deltas))
            found["go"].append(deltas / await theirs(folder / f"go{run}", giver, deltas))
    mesh, go = median(found["mesh"]), median(found["go"])
    print(f"deltas/s of a chain of {deltas:,}: mesh {mesh:,.0f}, go-ds-crdt {go:,.0f}, ratio {mesh / go:.2f}")


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.crdt_chain")
    parser.add_argument("--deltas", type=int, default=2000, help="length of the history [2000]")
    parser.add_argument("--runs", type=int, default=3, help="of each [3]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(options.deltas, options.runs, Path(folder)))


if __name__ == "__main__":
    main()
