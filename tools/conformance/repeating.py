"""Whether verdicts hold: a peer tried many times over, and each of its failures alone, by the command a report gives."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from mesh.conformance import baseline
from mesh.conformance.runner import Report
from mesh.conformance.verdict import Verdict
from tools.conformance.peers import ConformancePeer, running

ALONE_S = 900.0
SAID_LETTERS = 400


@dataclass(slots=True)
class Variation:
    """What many runs gave. ``verdicts``: how often each, by case; ``said``: what was seen then; ``seconds`` a run."""

    verdicts: dict[str, Counter[str]] = field(default_factory=dict)
    said: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def take(self, report: Report) -> None:
        self.seconds.append(report.seconds)
        for each in report.results:
            self.verdicts.setdefault(each.id, Counter())[each.verdict.value] += 1
            self.said.setdefault(each.id, {})[each.verdict.value] = each.actual

    @property
    def several(self) -> list[str]:
        """The cases that got several verdicts."""
        return [name for name, counted in self.verdicts.items() if len(counted) > 1]

    def __str__(self) -> str:
        times = f"{min(self.seconds):.0f} to {max(self.seconds):.0f} s"
        counts = f"{len(self.seconds)} runs of {len(self.verdicts)} cases, {times} each"
        return f"{counts}: {len(self.several)} cases with several verdicts"


async def varied(runs: int, run: Callable[[], Awaitable[Report]]) -> Variation:
    """So many runs, at least one, each told on stderr, and behind them the cases that got several verdicts."""
    found = Variation()
    for number in range(1, runs + 1):
        found.take(await run())
        print(
            f"run {number} of {runs}: {found.seconds[-1]:.0f} s, {len(found.several)} vary", file=sys.stderr
        )
    for name in found.several:
        print(f"{name}: {dict(found.verdicts[name])} {found.said[name]}", file=sys.stderr)
    return found


async def not_repeated(peer: ConformancePeer, seed: str, scale: float) -> tuple[int, list[str]]:
    """How many failures the peer's baseline has, and those among them that `mesh conform ADDR ID` does not fail when it
    runs the case alone against a fresh process. Raises `PeerMissing`."""
    kept = baseline.read(peer.baseline)
    failures = [name for name, verdict in kept.items() if verdict == Verdict.FAIL]
    others = []
    for name in failures:
        async with running(peer) as address:
            verdict, actual = await _alone(address, name, seed, scale)
        if verdict != Verdict.FAIL:
            others.append(f"{name}: {verdict}: {actual}")
    return len(failures), others


async def _alone(address: str, name: str, seed: str, scale: float) -> tuple[str, str]:
    """The verdict of one case by the command, and what was seen."""
    words = (address, name, "--seed", seed, "--harmful", "--slow", "--timeout-scale", f"{scale:g}")
    harness = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mesh", "conform", *words, "--json", "-"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(ALONE_S):
        output, errors = await harness.communicate()
    if not output:
        return "none", errors.decode(errors="replace")[-SAID_LETTERS:]
    report: dict[str, Any] = json.loads(output)
    (result,) = report["results"]
    return str(result["verdict"]), str(result["actual"])
