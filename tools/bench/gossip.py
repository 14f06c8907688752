"""`python -m tools.bench.gossip`: pubsub of this node and go-libp2p-pubsub, side by side.

A publisher and a subscriber in processes of their own, each pair in turn: how many signed messages a second arrive, and
that none is lost. And 20 hosts in one process, with more and with fewer messages under way: deliveries for a second of
processor time. Figures are medians.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Final

from tools.bench.report import machine
from tools.interop_peers.building import ensure_built

PAIRS: Final = (("mesh", "mesh"), ("mesh", "go"), ("go", "mesh"), ("go", "go"))
"""Publisher and subscriber."""
RUN_S: Final = 120.0
GO_PUBLISHER: Final = ("--workers", "2")
"""One worker of Go's leaves a processor idle."""
WINDOWS: Final = (64, 128, 256)
"""Messages under way in the networks: Go's does best with the second."""


def command(program: str, role: str, *options: str) -> list[str]:
    """How to start one end."""
    own = [sys.executable, "-m", "tools.bench.gossip_worker"]
    return [*(own if program == "mesh" else [str(ensure_built()), "pubsub-bench"]), role, *options]


def last_line(text: str) -> dict[str, Any]:
    """The figures a program ends with."""
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def pair(publisher: str, subscriber: str, seconds: float) -> dict[str, Any]:
    """One run of a pair. Raises `CalledProcessError`, `PeerMissing`, `TimeoutExpired`."""
    with subprocess.Popen(command(subscriber, "sub"), stdout=subprocess.PIPE, text=True) as receiving:
        try:
            assert receiving.stdout is not None
            address = json.loads(receiving.stdout.readline())["addrs"][0]
            extra = GO_PUBLISHER if publisher == "go" else ()
            sending = command(
                publisher, "pub", "--to", address, "--rate", "0", "--seconds", f"{seconds:g}", *extra
            )
            told = subprocess.run(sending, check=True, stdout=subprocess.PIPE, text=True, timeout=RUN_S)
            sent = last_line(told.stdout)
            received = last_line(receiving.communicate(timeout=RUN_S)[0])
        except BaseException:
            receiving.kill()
            raise
    return {
        "per_second": received["per_second"],
        "lost": sent["sent"] - received["received"],
        "sent": sent["sent"],
        "publisher_cpu_s": sent["cpu_seconds"],
        "subscriber_cpu_s": received["cpu_seconds"],
    }


def network(program: str, seconds: float, window: int) -> dict[str, Any]:
    """One run of 20 hosts in a process, with at most ``window`` messages that have not reached all."""
    told = subprocess.run(
        command(program, "network", "--rate", "0", "--seconds", f"{seconds:g}", "--window", f"{window}"),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=RUN_S,
    )
    return last_line(told.stdout)


Networks = dict[int, dict[str, list[dict[str, Any]]]]
"""Runs by the window and the program."""


def table(pairs: dict[str, list[dict[str, Any]]], networks: Networks) -> str:
    """Medians and ratios to Go with itself: above 1 is better."""
    lines = ["| publisher to subscriber | messages/s | ratio | lost of sent |", "|---|---:|---:|---:|"]
    base = median(each["per_second"] for each in pairs["go to go"])
    for name, runs in pairs.items():
        rate = median(each["per_second"] for each in runs)
        lost, sent = (sum(each[key] for each in runs) for key in ("lost", "sent"))
        lines.append(f"| {name} | {rate:,.0f} | {rate / base:.2f} | {lost:,} of {sent:,} |")
    lines += [
        "",
        "| 20 hosts in one process | under way | deliveries/s | per CPU second | ratio | missing |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for window, programs in networks.items():
        base = median(each["per_cpu_second"] for each in programs["go"])
        for name, runs in programs.items():
            rate, cpu = (median(each[key] for each in runs) for key in ("per_second", "per_cpu_second"))
            missing = sum(each["expected"] - each["delivered"] for each in runs)
            lines.append(f"| {name} | {window} | {rate:,.0f} | {cpu:,.0f} | {cpu / base:.2f} | {missing:,} |")
    return "\n".join(lines)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.gossip")
    parser.add_argument("--runs", type=int, default=3, help="interleaved runs of each pair and network")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    options = parser.parse_args()
    pairs: dict[str, list[dict[str, Any]]] = {f"{here} to {there}": [] for here, there in PAIRS}
    networks: Networks = {window: {"mesh": [], "go": []} for window in WINDOWS}
    for number in range(options.runs):
        for here, there in PAIRS:
            found = pair(here, there, options.seconds)
            pairs[f"{here} to {there}"].append(found)
            print(f"run {number + 1} {here} to {there}: {json.dumps(found)}", file=sys.stderr, flush=True)
        for window, program in product(networks, ("mesh", "go")):
            found = network(program, options.seconds, window)
            networks[window][program].append(found)
            print(f"run {number + 1} {program}, {window}: {json.dumps(found)}", file=sys.stderr, flush=True)
    print(table(pairs, networks))
    if options.json is not None:
        figures = {"machine": machine(), "pairs": pairs, "networks": networks}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
