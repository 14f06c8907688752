"""Reports on all peers, and the table of the README (`-m tools.conformance [PEER...]`).

Each peer is started here, tried with every case that neither floods nor waits (with ``--all`` those too), and gets
`NAME.html` and `NAME.json` in the folder of ``--to``. ``--table FILE`` renews their rows in a document, ``--keep`` writes
their baselines anew. What cannot be had is said.
``--runs N`` makes no reports, but says which cases get several verdicts in so many runs; ``--alone`` runs each failure of
the baselines by its id. Both end with status 1 when there is something to say.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from mesh.conformance import baseline
from mesh.conformance.attempt import Options
from mesh.conformance.case import Case
from mesh.conformance.catalogue import select
from mesh.conformance.reports import document, page
from mesh.conformance.runner import Plan, Report, Runner
from mesh.conformance.target import Target
from mesh.conformance.verdict import Verdict
from tools.conformance.peers import PEERS, ConformancePeer, running
from tools.conformance.repeating import not_repeated, varied
from tools.conformance.summary import Row, renewed, row, table
from tools.interop_peers.building import PeerMissing

SCALE = 2.0
PROCESSES = 3
SEED = "report"


async def report_on(peer: ConformancePeer, *, everything: bool = False) -> Report:
    """One run. Raises `PeerMissing`."""
    cases = [
        each for each in select(peer.suites) if everything or peer.suites or not (each.harmful or each.slow)
    ]
    if not (peer.fresh or peer.mortal):
        return await _run(peer, cases)
    groups: dict[str, list[Case]] = {}
    for each in cases:
        groups.setdefault(each.id if peer.fresh else each.section, []).append(each)
    return await _apart(peer, list(groups.values()))


async def _apart(peer: ConformancePeer, groups: Sequence[list[Case]]) -> Report:
    """A process for each group, a few of them beside each other: most of their time is waiting."""
    turn = asyncio.Semaphore(PROCESSES)
    began = time.monotonic()

    async def run(cases: list[Case]) -> Report:
        async with turn:
            return await _revived(peer, cases)

    report, *others = await asyncio.gather(*map(run, groups))
    for each in others:
        report.results += each.results
        report.survived &= each.survived
    report.seconds = time.monotonic() - began
    return report


async def _revived(peer: ConformancePeer, cases: list[Case]) -> Report:
    """A run whose lost cases, those behind the one that ended the process, are tried again in a process each."""
    report = await _run(peer, cases)
    lost = [each.id for each in report.results if each.verdict is Verdict.ERROR]
    kept = [each for each in report.results if each.id not in lost]
    again = [await _run(peer, [each]) for each in cases if each.id in lost]
    report.results = sorted(
        [*kept, *(each.results[0] for each in again)],
        key=lambda each: [case.id for case in cases].index(each.id),
    )
    return report


async def _run(peer: ConformancePeer, cases: Sequence[Case]) -> Report:
    plan = Plan(cases, harmful=True, slow=True, jobs=peer.jobs)
    async with running(peer) as address:
        options = Options(seed=SEED, scale=SCALE)
        return await Runner(Target.parse(address), plan, options, lambda _result: None).run()


def write(folder: Path, peer: ConformancePeer, report: Report) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{peer.name}.html").write_text(page.page(report), encoding="utf-8")
    text = json.dumps(document.document(report), ensure_ascii=False, indent=1)
    (folder / f"{peer.name}.json").write_text(text + "\n", encoding="utf-8")


async def each_peer(names: Sequence[str], work: Callable[[ConformancePeer], Awaitable[None]]) -> None:
    """Work on the peers of these names, or on all; says which cannot be had."""
    for peer in PEERS:
        if names and peer.name not in names:
            continue
        try:
            await work(peer)
        except PeerMissing as reason:
            print(f"NOTHING IS REPORTED ON {peer.name.upper()}: {reason}", file=sys.stderr)


async def reports(options: argparse.Namespace) -> int:
    rows: list[Row] = []

    async def work(peer: ConformancePeer) -> None:
        report = await report_on(peer, everything=options.all)
        write(options.to, peer, report)
        if options.keep:
            baseline.write(peer.baseline, report)
        rows.append(row(peer, report))
        print(f"{peer.name}: {' | '.join(rows[-1][1:])}", file=sys.stderr)

    await each_peer(options.names, work)
    print(table(rows))
    if options.table is not None:
        options.table.write_text(renewed(options.table.read_text(encoding="utf-8"), rows), encoding="utf-8")
    return 0


async def compared(options: argparse.Namespace) -> int:
    """Many runs of each peer."""
    unsteady = 0

    async def work(peer: ConformancePeer) -> None:
        nonlocal unsteady
        found = await varied(options.runs, lambda: report_on(peer, everything=options.all))
        unsteady += len(found.several)
        print(f"{peer.name}: {found}")

    await each_peer(options.names, work)
    return 1 if unsteady else 0


async def failures_alone(options: argparse.Namespace) -> int:
    """Each failure of each baseline by its id."""
    others: list[str] = []

    async def work(peer: ConformancePeer) -> None:
        if not peer.baseline.exists():
            return
        count, found = await not_repeated(peer, SEED, SCALE)
        others.extend(found)
        print(f"{peer.name}: {count - len(found)} of {count} failures repeated alone")
        for each in found:
            print(f"  {each}")

    await each_peer(options.names, work)
    return 1 if others else 0


def run(arguments: Sequence[str]) -> int:
    """Do as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="PEER")
    parser.add_argument("--to", type=Path, default=Path("build/conformance"), metavar="FOLDER")
    parser.add_argument("--all", action="store_true", help="floods and long waits too")
    parser.add_argument("--table", type=Path, metavar="FILE", help="renew the rows of its table")
    parser.add_argument("--keep", action="store_true", help="write baselines")
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="compare so many runs")
    parser.add_argument("--alone", action="store_true", help="run each kept failure by its id")
    options = parser.parse_args(arguments)
    work = failures_alone if options.alone else compared if options.runs else reports
    return asyncio.run(work(options))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
