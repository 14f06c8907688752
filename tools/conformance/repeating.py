"""Whether verdicts hold: a peer tried many times over, and each of its failures alone, by the command a report gives."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from mesh.conformance import baseline
from mesh.conformance.runner import Report
from mesh.conformance.verdict import Verdict
from tools.conformance.peers import ConformancePeer, running

ALONE_S = 900.0
SAID_LETTERS = 400


async def varied(runs: int, run: Callable[[], Awaitable[Report]]) -> dict[str, Counter[str]]:
    """The cases that get several verdicts in so many runs, with how often each, and what was seen then."""
    found: dict[str, Counter[str]] = {}
    said: dict[str, dict[str, str]] = {}
    for number in range(1, runs + 1):
        report = await run()
        for each in report.results:
            found.setdefault(each.id, Counter())[each.verdict.value] += 1
            said.setdefault(each.id, {})[each.verdict.value] = each.actual
        several = {name: counted for name, counted in found.items() if len(counted) > 1}
        print(f"run {number} of {runs}: {report.seconds:.0f} s, {len(several)} vary", file=sys.stderr)
    for name in several:
        print(f"{name}: {dict(several[name])} {said[name]}", file=sys.stderr)
    return several


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
