"""`python -m tools.bench.relay`: a relay of ours and go-libp2p's, with limits off, between the same two Go peers.

Rounds alternate. Printed are medians of what the circuit carries, and of the processor time that the relay spends on it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tools.interop_peers.building import ensure_built
from tools.interop_peers.process import PeerProcess

MIB = 1 << 20
SETTINGS = {"MESH_RELAY_SERVE": "true", "MESH_RELAY_CIRCUIT_S": "0", "MESH_RELAY_CIRCUIT_BYTES": "0"}
KINDS = ("mesh", "go")


@dataclass(frozen=True, slots=True)
class Relay:
    """One that runs: where, and as which process."""

    address: str
    pid: int

    @property
    def cpu_s(self) -> float:
        """User and system time of all its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def running(kind: str) -> AsyncIterator[Relay]:
    """A relay without limits in a process of its own."""
    if kind == "go":
        command = (str(ensure_built()), "serve", "--relay", "serve-unlimited", "--unlimited")
        async with PeerProcess(*command) as peer:
            yield Relay(peer.address, peer.process.pid)
        return
    with tempfile.TemporaryDirectory() as folder:
        flags = ("--path", folder, "--listen", "/ip4/127.0.0.1/tcp/0", "--api", "off")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mesh", "daemon", *flags),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | SETTINGS,
        )
        try:
            assert process.stdout is not None
            address = ""
            while (line := (await process.stdout.readline()).decode().rstrip()) != "ready":
                if not line:
                    raise SystemExit("bench: the relay ended before it was ready")
                word, _, rest = line.partition(" ")
                address = rest if word == "listening" else address
            yield Relay(address, process.pid)
        finally:
            process.terminate()
            await process.wait()


async def measure(kind: str, size: int, circuits: int) -> tuple[float, float]:
    """Megabytes a second through all circuits together, and seconds of the relay's processor time for a gigabyte."""
    binary = str(ensure_built())
    async with contextlib.AsyncExitStack() as stack:
        relay = await stack.enter_async_context(running(kind))
        pairs = []
        for _ in range(circuits):
            source, target = [
                await stack.enter_async_context(PeerProcess(binary, "serve", "--relay", "use", "--unlimited"))
                for _ in range(2)
            ]
            await target.call("reserve", addr=relay.address)
            await source.call("connect", addr=f"{relay.address}/p2p-circuit/p2p/{target.peer}")
            pairs.append((source, target))
        began, spent = asyncio.get_running_loop().time(), relay.cpu_s
        await asyncio.gather(
            *(source.call("perf", peer=target.peer, upload=size) for source, target in pairs)
        )
        took = asyncio.get_running_loop().time() - began
        total = size * circuits
        return total / took / 1e6, (relay.cpu_s - spent) / total * 1e9


async def compare(rounds: int, size: int, circuits: int) -> None:
    """Alternate, and print what came of it."""
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            found[kind].append(await measure(kind, size, circuits))
    medians = {}
    for kind, results in found.items():
        speed, spent = (statistics.median(each) for each in zip(*results, strict=True))
        medians[kind] = (speed, spent)
        print(f"{kind:5} {speed:8.1f} MB/s  {spent:6.2f} s of the relay's processor time a GB")
    ours, theirs = medians["mesh"], medians["go"]
    print(f"mesh/go {ours[0] / theirs[0]:.2f}x the speed, {ours[1] / theirs[1]:.2f}x the processor time")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.relay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256, help="what each circuit carries")
    parser.add_argument("--circuits", type=int, default=1)
    arguments = parser.parse_args()
    asyncio.run(compare(arguments.rounds, arguments.mib * MIB, arguments.circuits))


if __name__ == "__main__":
    main()
