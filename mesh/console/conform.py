"""`mesh conform`: whether a peer conforms to libp2p's specifications, case by case."""

from __future__ import annotations

import json as json_text
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.console.output import say
from mesh.errors import UsageError

if TYPE_CHECKING:
    from mesh.conformance.attempt import Options
    from mesh.conformance.case import Case
    from mesh.conformance.runner import Plan, Report
    from mesh.conformance.target import Target
    from mesh.conformance.verdict import Result
    from mesh.identity.keys import PrivateKey

STANDARD_OUTPUT = "-"

AddressArgument = Annotated[
    str, typer.Argument(metavar="[ADDR]", help="Such as /ip4/192.0.2.1/tcp/4001/p2p/12D3...")
]
IdsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID...]", help="Suites, sections or cases: yamux, yamux/3, yamux/3.2."),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="A broken SHOULD is a failure too.")]
ListOption = Annotated[bool, typer.Option("--list", help="List the cases and run none; needs no ADDR.")]
MustOption = Annotated[bool, typer.Option("--must", help="MUST cases alone.")]
HarmfulOption = Annotated[
    bool, typer.Option("--harmful", help="Floods too: only against a machine that you run.")
]
SlowOption = Annotated[bool, typer.Option("--slow", help="Cases of over ten seconds too.")]
ScaleOption = Annotated[float, typer.Option(metavar="X", min=0.1, help="Multiplies every limit.")]
SeedOption = Annotated[str, typer.Option(metavar="TEXT", help="Repeats a run's identities and payloads.")]
SecurityOption = Annotated[str, typer.Option(metavar="noise|tls", help="What sessions are secured with.")]
KeyOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The target's own private key, for cases that show it its own id."),
]
ListenOption = Annotated[
    str,
    typer.Option(
        metavar="ADDR", help="Mirror mode: listen here, on TCP or QUIC, and test who dials again and again."
    ),
]
TopicOption = Annotated[str, typer.Option(metavar="NAME", help="A topic that the target is subscribed to.")]
WitnessOption = Annotated[str, typer.Option(metavar="ADDR", help="Another peer, which cases may name.")]
RelayOption = Annotated[str, typer.Option(metavar="ADDR", help="A relay between here and the target.")]
PublicOption = Annotated[bool, typer.Option("--public", help="The target can dial this machine.")]
ChunkOption = Annotated[
    int, typer.Option(metavar="N", min=0, help="Each connection's first 4 KiB leave in chunks of N bytes.")
]
JobsOption = Annotated[int | None, typer.Option(metavar="N", min=1, max=64, help="Cases at a time.")]
PaceOption = Annotated[float | None, typer.Option(metavar="S", min=0, help="Pause behind each case.")]
JunitOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit's XML.")]
JsonFileOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write JSON; - is standard output.")
]
HtmlOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with every wire log.")]
WireOption = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write each case's wire log.")]
BaselineOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Fail for differences from these verdicts alone.")
]
KeepOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the verdicts as a baseline.")]
FailFastOption = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")]
KeepGoingOption = Annotated[
    bool, typer.Option("--keep-going", help="Go on when the target no longer answers.")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="What was seen, and the wire logs of failures.")
]


def conform(
    address: AddressArgument = "",
    ids: IdsArgument = None,
    strict: StrictOption = False,
    listed: ListOption = False,
    must: MustOption = False,
    harmful: HarmfulOption = False,
    slow: SlowOption = False,
    timeout_scale: ScaleOption = 1.0,
    seed: SeedOption = "",
    security: SecurityOption = "",
    target_key: KeyOption = None,
    listen: ListenOption = "",
    topic: TopicOption = "",
    witness: WitnessOption = "",
    relay_through: RelayOption = "",
    public: PublicOption = False,
    chunk: ChunkOption = 0,
    jobs: JobsOption = None,
    pace: PaceOption = None,
    junit: JunitOption = None,
    json: JsonFileOption = None,
    html: HtmlOption = None,
    wire: WireOption = None,
    baseline: BaselineOption = None,
    write_baseline: KeepOption = None,
    fail_fast: FailFastOption = False,
    keep_going: KeepGoingOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Test case by case whether a peer conforms to libp2p's specifications.

    Exit status: 0 no failure; 1 failures, or differences from the baseline; 2 wrong usage; 3 the target cannot be
    reached, or no longer answers.
    """
    from mesh.conformance.attempt import Options
    from mesh.conformance.runner import Plan

    mirror = bool(listen)
    if listed or mirror:
        ids = [each for each in (address, *(ids or ())) if each and each[0] != "/"]
    cases = _chosen(ids or (), must, listen)
    if listed:
        _say_cases(cases)
        return 0
    if security not in ("", "noise", "tls"):
        raise UsageError(f"--security {security}: noise or tls")
    options = Options(seed or os.urandom(4).hex(), timeout_scale, topic, chunk_bytes=chunk)
    options = replace(options, public=public, witness=witness, relay_through=relay_through)
    options = replace(options, target_key=_key(target_key))
    plan = Plan(cases, harmful, slow, fail_fast, strict, keep_going, jobs, pace, security)
    silent = str(json) == STANDARD_OUTPUT
    report = (
        _run_mirror(listen, plan, options, silent=silent) if mirror else _run(_target(address), plan, options)
    )
    Files(junit, json, html, wire, write_baseline).write(report)
    return _tell(report, baseline, verbose=verbose, silent=silent)


def _target(address: str) -> Target:
    from mesh.conformance.target import Target

    if not address:
        raise UsageError("whom to test is missing: an address that ends in /p2p/<peer id>")
    return Target.parse(address)


def _key(path: Path | None) -> PrivateKey | None:
    from mesh.storage import keystore

    return None if path is None else keystore.load(path)


def _chosen(ids: Sequence[str], must: bool, listen: str) -> list[Case]:
    from mesh.conformance.catalogue import select
    from mesh.conformance.mirror import mirrored_cases
    from mesh.conformance.verdict import Level
    from mesh.console.addresses import parse_address

    found = mirrored_cases(ids, parse_address(listen, "--listen")) if listen else select(ids)
    return [each for each in found if not must or each.level is Level.MUST]


def _say_cases(cases: Sequence[Case]) -> None:
    for each in cases:
        flags = [name for name in ("harmful", "slow") if getattr(each, name)]
        marks = f" [{', '.join(flags)}]" if flags else ""
        say(f"{each.id:<18} {each.level:<6} {each.title}{marks}: {each.requirement}")


def _run(target: Target, plan: Plan, options: Options) -> Report:
    from mesh.conformance.runner import Runner
    from mesh.console.running import run_async

    with _progress(len(plan.cases)) as advance:
        return run_async(Runner(target, plan, options, advance).run())


def _run_mirror(listen: str, plan: Plan, options: Options, *, silent: bool) -> Report:
    from random import Random

    from mesh.conformance.mirror import open_door, run_mirror
    from mesh.console.addresses import parse_address
    from mesh.console.running import run_async
    from mesh.identity.keys import PrivateKey

    plan = replace(plan, cases=[each for each in plan.cases if plan.slow or not each.slow])

    async def run(advance: Callable[[Result], None]) -> Report:
        identity = PrivateKey.from_seed(Random(f"{options.seed}/door").randbytes(32))
        door = await open_door(parse_address(listen, "--listen"), identity)
        print(f"dial {door.address}", file=sys.stderr if silent else sys.stdout, flush=True)
        try:
            return await run_mirror(door, plan, options, advance)
        finally:
            door.close()

    with _progress(len(plan.cases)) as advance:
        return run_async(run(advance))


def _progress(total: int) -> AbstractContextManager[Callable[[Result], None]]:
    if sys.stderr is None or not sys.stderr.isatty():
        return nullcontext(lambda _result: None)
    return Bar(total)


class Bar:
    """Cases done of all, and the last of them, on a terminal's stderr."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Callable[[Result], None]:
        self._progress.start()
        return self._advance

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _advance(self, result: Result) -> None:
        self._progress.update(self._task, advance=1, description=f"{result.id} {result.verdict}")


@dataclass(frozen=True, slots=True)
class Files:
    """Where a report is written besides the screen."""

    junit: Path | None
    json: Path | None
    html: Path | None
    wire: Path | None
    baseline: Path | None

    def write(self, report: Report) -> None:
        from mesh.conformance import baseline
        from mesh.conformance.reports import document, junit, page

        if self.junit is not None:
            self.junit.write_bytes(junit.junit(report, self._wire_names(report)))
        if self.html is not None:
            self.html.write_text(page.page(report), encoding="utf-8")
        if self.json is not None:
            text = json_text.dumps(document.document(report), ensure_ascii=False, indent=1)
            if str(self.json) == STANDARD_OUTPUT:
                say(text)
            else:
                self.json.write_text(text + "\n", encoding="utf-8")
        if self.wire is not None:
            self.wire.mkdir(parents=True, exist_ok=True)
            for each in report.results:
                lines = "".join(f"{line}\n" for line in each.wire.lines())
                (self.wire / _wire_name(each)).write_text(lines, encoding="utf-8")
        if self.baseline is not None:
            baseline.write(self.baseline, report)

    def _wire_names(self, report: Report) -> dict[str, str]:
        if self.wire is None:
            return {}
        return {each.id: str(self.wire / _wire_name(each)) for each in report.results}


def _wire_name(result: Result) -> str:
    return result.id.replace("/", "-") + ".log"


def _tell(report: Report, baseline: Path | None, *, verbose: bool, silent: bool) -> int:
    """Say the report, or the differences from a baseline; returns the exit status."""
    from mesh.conformance import baseline as verdicts
    from mesh.conformance.reports.words import lines, summary
    from mesh.telemetry.log import printable

    if baseline is None:
        for line in () if silent else lines(report, verbose=verbose):
            say(line)
        return report.exit_status
    found = verdicts.differences(report, verdicts.read(baseline))
    if not silent:
        for each in found:
            say(printable(str(each)))
        say(f"{len(found)} differences from {baseline}; {summary(report)}")
    if not report.survived:
        return report.exit_status
    return 1 if found else 0
