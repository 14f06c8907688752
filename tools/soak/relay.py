"""`python -m tools.soak.relay`: a relay with all its reservations held and circuits busy: flat, and within its limits?

Two processes of peers hold the reservations and keep the circuits busy, each until the relay ends it by its bytes or its
time. Peers too many ask meanwhile, and have to be refused.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tools.interop_peers.process import PeerProcess
from tools.soak.__main__ import at_rest
from tools.soak.report import Outcome, markdown
from tools.soak.verdict import QUANTITIES, trend

RESERVATIONS = 100
CIRCUITS = 50
PROCESSES = 2
CIRCUIT_S = 20.0
CIRCUIT_BYTES = 1 << 20
BUSY = 0.6
"""Of the circuits this part is up at any time: each is dialled again when it has ended."""


class Crew:
    """The processes of peers, and what they say."""

    def __init__(self, clients: Sequence[PeerProcess]) -> None:
        self._clients = clients

    def total(self, what: str) -> Counter[str]:
        """Of all processes: `did` or `surprised`."""
        found: Counter[str] = Counter()
        for client in self._clients:
            told = [event for event in client.events if event["event"] == "did"]
            found.update(told[-1][what] if told else {})
        return found


async def soak(minutes: float, every_s: float, seed: int, reservations: int, circuits: int) -> Outcome:
    """Load one relay for that long, then let it come to rest."""
    limits = (str(CIRCUIT_S), str(CIRCUIT_BYTES))
    trouble: list[str] = []
    async with PeerProcess(sys.executable, "-m", "tools.soak.relay_worker", *limits) as relay:
        before = await relay.call("sample")
        async with AsyncExitStack() as stack:
            clients = []
            for number in range(PROCESSES):
                shares = (reservations // PROCESSES, circuits // PROCESSES, seed + number)
                command = ("-m", "tools.soak.relay_client", relay.address, *limits, *map(str, shares))
                clients.append(await stack.enter_async_context(PeerProcess(sys.executable, *command)))
            crew = Crew(clients)
            samples = await _watch(relay, minutes, every_s)
            did, surprises = crew.total("did"), crew.total("surprised")
        after = await at_rest(relay, before)
    trouble += judge(samples, after, did, surprises, reservations, circuits)
    values = {each: [(sample["at_s"], sample[each.member]) for sample in samples] for each in QUANTITIES}
    trends = [trend(each, values[each]) for each in QUANTITIES if values[each]]
    return Outcome(before, after, samples, trends, dict(did), dict(surprises), trouble)


async def _watch(relay: PeerProcess, minutes: float, every_s: float) -> list[dict[str, Any]]:
    started, samples = time.monotonic(), []
    for number in range(1, int(minutes * 60 / every_s) + 1):
        await asyncio.sleep(max(0.0, started + number * every_s - time.monotonic()))
        samples.append({**await relay.call("sample"), "at_s": time.monotonic() - started})
        shown = ("reservations", "circuits", "transferred_bytes", "rss_bytes", "tasks", "held_bytes")
        print(
            f"{samples[-1]['at_s']:6.0f} s:", *(f"{each} {samples[-1][each]}," for each in shown), flush=True
        )
    return samples


def judge(
    samples: Sequence[dict[str, Any]],
    after: dict[str, Any],
    did: Counter[str],
    surprises: Counter[str],
    reservations: int,
    circuits: int,
) -> list[str]:
    """What went wrong besides growth."""
    found = []
    if any(each["reservations"] != reservations for each in samples):
        found.append(f"not always {reservations} reservations")
    busy = sum(each["circuits"] for each in samples) / len(samples) if samples else 0
    if busy < BUSY * circuits:
        found.append(f"{busy:.0f} circuits at a time, {circuits} were wanted")
    wanted = ["circuits ended by their bytes", "circuits ended by their time"]
    if reservations >= RESERVATIONS:
        wanted += ["reservations refused", "circuits refused"]
    found += [f"none: {each}" for each in wanted if not did[each]]
    found += [f"{count} x {what}" for what, count in surprises.items()]
    found += [f"{name}: {after[name]} left" for name in ("reservations", "circuits") if after[name]]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 when something is not flat, a limit was passed, or something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.relay", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the load lasts [5]")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples [5]")
    parser.add_argument("--seed", type=int, help="what the load is drawn from [random]")
    parser.add_argument("--reservations", type=int, default=RESERVATIONS)
    parser.add_argument("--circuits", type=int, default=CIRCUITS)
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report there as well")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    outcome = asyncio.run(soak(options.minutes, options.every, seed, options.reservations, options.circuits))
    text = _report(outcome, options, seed)
    print(text)
    if options.report is not None:
        options.report.write_text(text)
    return 1 if outcome.failures else 0


def _report(outcome: Outcome, options: argparse.Namespace, seed: int) -> str:
    """The soak's own report, with what a relay has besides."""
    samples = outcome.samples
    circuits = [each["circuits"] for each in samples] or [0]
    passed = outcome.after["transferred_bytes"]
    command = (
        f"python -m tools.soak.relay --minutes {options.minutes:g} --every {options.every:g} --seed {seed} "
        f"--reservations {options.reservations} --circuits {options.circuits}"
    )
    relay = [
        "# Soak of a relay",
        "",
        f"`{command}`",
        "",
        f"{options.reservations} reservations, {options.circuits} peers that use one circuit after another, each limited "
        f"to {CIRCUIT_S:g} s and {CIRCUIT_BYTES:,} bytes each way. Circuits at a time: {min(circuits)} to "
        f"{max(circuits)}; passed on: {passed:,} bytes. What the relay counted: "
        + ", ".join(f"{name} {value:,}" for name, value in sorted(outcome.after["counters"].items()))
        + ".",
    ]
    rest = markdown(outcome, options.minutes, seed).split("\n", 1)[1]
    return "\n".join(relay) + "\n" + rest


if __name__ == "__main__":
    sys.exit(main())
