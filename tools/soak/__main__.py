"""`python -m tools.soak`: run, report, judge."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.interop_peers.process import PeerProcess
from tools.soak.load import Load
from tools.soak.report import QUIET, Outcome, markdown
from tools.soak.verdict import QUANTITIES, trend

QUIET_S = 45.0
"""How long the node gets to be as it was before the load: longer than every time limit of an unfinished upgrade."""


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    parser.add_argument("--minutes", type=_positive, default=30.0, help="how long the load lasts [30]")
    parser.add_argument("--every", type=_positive, default=10.0, help="seconds between samples [10]")
    parser.add_argument("--seed", type=int, help="what the load is drawn from [random]")
    help_text = (
        "how many identities the visitors share, 0 for a fresh one each time; then the first minutes also fill what is "
        "remembered of the last 10,000 peers, and a run shorter than 15 minutes is not flat [0]"
    )
    parser.add_argument("--identities", type=int, default=0, metavar="N", help=help_text)
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report there as well")
    return parser


async def soak(minutes: float, every_s: float, seed: int, identities: int = 0) -> Outcome:
    """Load one node for that long, then let it come to rest."""
    async with PeerProcess(sys.executable, "-m", "tools.soak.node_worker") as node:
        before = await node.call("sample")
        load = Load(node, seed, identities)
        working = asyncio.create_task(load.run())
        samples, trouble = [], []
        started = time.monotonic()
        try:
            for number in range(1, int(minutes * 60 / every_s) + 1):
                pause = started + number * every_s - time.monotonic()
                if (await asyncio.wait([working], timeout=max(0.0, pause)))[0]:
                    break
                samples.append({**await node.call("sample"), "at_s": time.monotonic() - started})
                _note(samples[-1])
        finally:
            working.cancel()
            try:
                await working
            except asyncio.CancelledError:
                pass
            except BaseExceptionGroup as failures:
                trouble += [f"the load broke down: {each}" for each in failures.exceptions]
        after = await at_rest(node, before)
    values = {each: [(sample["at_s"], sample[each.member]) for sample in samples] for each in QUANTITIES}
    trends = [trend(each, values[each]) for each in QUANTITIES if values[each]]
    return Outcome(before, after, samples, trends, dict(load.did), dict(load.surprises), trouble)


async def at_rest(node: PeerProcess, before: dict[str, Any]) -> dict[str, Any]:
    """The first sample with nothing more in it than before the load, or the last one there was time for."""
    after: dict[str, Any] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(QUIET_S):
            while True:
                after = await node.call("sample")
                if all(after[each] <= before[each] for each in QUIET):
                    break
                await asyncio.sleep(0.5)
    return after


def _note(sample: dict[str, Any]) -> None:
    values = ", ".join(f"{each.member} {sample[each.member]}" for each in QUANTITIES)
    print(
        f"{sample['at_s']:6.0f} s: {values}, connections {sample['connections']}", file=sys.stderr, flush=True
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 when something is not flat, did not end, or went wrong."""
    options = _parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    outcome = asyncio.run(soak(options.minutes, options.every, seed, options.identities))
    text = markdown(outcome, options.minutes, seed)
    print(text)
    if options.report is not None:
        options.report.write_text(text)
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
