"""`python -m tools.bench.dht`: the DHT of this node and go-libp2p-kad-dht, networks of the same size in turn.

Each run is a fresh process with a whole network on loopback; figures are medians of the runs' medians.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from tools.bench.report import machine
from tools.interop_peers.building import ensure_built

OPERATIONS = {
    "closest_peers": "closest peers",
    "provide": "provide",
    "find_providers": "find providers",
    "put_value": "put",
    "get_value": "get",
}
RUN_S = 600.0


def run(program: str, nodes: int, rounds: int) -> dict[str, Any]:
    """One network of ``program`` (`mesh` or `go`). Raises `CalledProcessError`, `PeerMissing`."""
    own = [sys.executable, "-m", "tools.bench.dht_worker"]
    command = own if program == "mesh" else [str(ensure_built()), "kad-bench"]
    command += ["--nodes", str(nodes), "--rounds", str(rounds)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=RUN_S)
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return found


def table(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Medians in milliseconds and the ratio: below 1 is quicker than Go."""
    lines = ["| operation, median ms | mesh | go | mesh / go |", "|---|---:|---:|---:|"]
    for name, text in OPERATIONS.items():
        ours, theirs = (median(each[name]["median_ms"] for each in runs[who]) for who in ("mesh", "go"))
        lines.append(f"| {text} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.dht")
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=200, help="operations of each kind in one run")
    parser.add_argument("--runs", type=int, default=3, help="networks of each program")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {"mesh": [], "go": []}
    for number in range(options.runs):
        for program in ("mesh", "go") if number % 2 == 0 else ("go", "mesh"):
            runs[program].append(run(program, options.nodes, options.rounds))
            print(f"run {number + 1} {program}: {json.dumps(runs[program][-1])}", file=sys.stderr, flush=True)
    print(table(runs))
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
