"""`python -m tools.bench.bitswap`: a file by bitswap, between two of this node, two of boxo, and one of each.

Each side is a process of its own with its blocks on disk: go in leveldb with its default of synchronous writes, ours as a
daemon keeps them. The time is from the request for the file's root to its last byte, read in order and hashed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from tools.interop_peers.building import ensure_built
from tools.interop_peers.process import PeerProcess

PAIRS: Final = (("mesh", "mesh"), ("go", "go"), ("go", "mesh"), ("mesh", "go"))
"""Who gives and who takes."""
MIB: Final = 1024 * 1024
CALL_S: Final = 300.0


def process(kind: str, folder: Path | None) -> PeerProcess:
    """A side with its blocks in a folder, or in memory."""
    place = () if folder is None else ("--dir", str(folder))
    if kind == "go":
        return PeerProcess(str(ensure_built()), "bitswap", *place)
    return PeerProcess(sys.executable, "-m", "tools.bench.bitswap_worker", *place)


async def transfer(giver: str, taker: str, size: int, seed: int, memory: bool = False) -> float:
    """Bytes a second of one transfer. Raises `AssertionError` when other bytes arrived."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            process(giver, None if memory else Path(folder) / "giver") as one,
            process(taker, None if memory else Path(folder) / "taker") as two,
        ):
            made = await one.call("add_file", within_s=CALL_S, bytes=size, seed=seed)
            await two.call("connect", addr=one.address)
            got = await two.call("get_file", within_s=CALL_S, cid=made["cid"])
    assert (got["bytes"], got["sha256"]) == (size, made["sha256"]), "other bytes arrived"
    return size / float(got["seconds"])


async def measure(runs: int, mib: int, memory: bool) -> dict[tuple[str, str], list[float]]:
    """MiB/s of each run, the pairs taking turns."""
    found: dict[tuple[str, str], list[float]] = {pair: [] for pair in PAIRS}
    for number in range(runs):
        for pair, speeds in found.items():
            speeds.append(await transfer(*pair, mib * MIB, number, memory) / MIB)
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.bitswap")
    parser.add_argument("--runs", type=int, default=5, help="interleaved runs of each [5]")
    parser.add_argument("--mib", type=int, default=100, help="size of the file [100]")
    parser.add_argument("--memory", action="store_true", help="keep blocks in memory on every side")
    options = parser.parse_args()
    found = asyncio.run(measure(options.runs, options.mib, options.memory))
    reference = median(found["go", "go"])
    print("| from | to | MiB/s | least | most | to go-go |")
    print("|---|---|---:|---:|---:|---:|")
    for (giver, taker), speeds in found.items():
        middle = median(speeds)
        print(
            f"| {giver} | {taker} | {middle:.0f} | {min(speeds):.0f} | {max(speeds):.0f} | {middle / reference:.2f} |"
        )


if __name__ == "__main__":
    main()
