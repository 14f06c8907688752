"""Runs cases against a target: several at a time, harmful ones alone, with a health check behind those that may hurt."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mesh.conformance.attempt import Attempt, Options
from mesh.conformance.case import Case
from mesh.conformance.survey import survey, survives
from mesh.conformance.target import Target
from mesh.conformance.verdict import Deviation, Level, Result, Skipped, Unprepared, Verdict, broken
from mesh.errors import MeshError

LOOPBACK_JOBS = 8
REMOTE_PACE_S = 5.0
"""Peers limit new connections by address: three cases in fifteen seconds are within everybody's limits."""
RETRY_PAUSE_S = 1.0
UNEXPECTED = (
    MeshError,
    OSError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
)
"""What an answer nobody thought of may raise inside a case: trouble of the harness, not a verdict."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which cases run, and how. ``jobs`` and ``pace_s`` None: what suits the target's distance."""

    cases: Sequence[Case]
    harmful: bool = False
    slow: bool = False
    fail_fast: bool = False
    strict: bool = False
    keep_going: bool = False
    jobs: int | None = None
    pace_s: float | None = None
    security: str = ""


@dataclass(slots=True)
class Report:
    """All results in the catalogue's order. ``survived`` is False when the target stopped answering; ``mirrored``: it
    was the target that dialed."""

    target: Target
    options: Options
    strict: bool
    started: datetime
    results: list[Result] = field(default_factory=list)
    survived: bool = True
    seconds: float = 0.0
    mirrored: bool = False

    def count(self, verdict: Verdict) -> int:
        return sum(each.verdict is verdict for each in self.results)

    def failures(self) -> list[Result]:
        """Those that count as failures: under ``strict`` broken SHOULDs too."""
        bad = (Verdict.FAIL, Verdict.WARN) if self.strict else (Verdict.FAIL,)
        return [each for each in self.results if each.verdict in bad]

    @property
    def exit_status(self) -> int:
        if not self.survived:
            return 3
        return 1 if self.failures() else 0


class Runner:
    """One run. ``on_result`` is called as each case ends."""

    def __init__(
        self, target: Target, plan: Plan, options: Options, on_result: Callable[[Result], None]
    ) -> None:
        self._target = target
        self._plan = plan
        self._options = options
        self._on_result = on_result
        self._stopped = ""
        remote = not target.is_loopback
        self._jobs = plan.jobs or (1 if remote else LOOPBACK_JOBS)
        self._pace_s = plan.pace_s if plan.pace_s is not None else (REMOTE_PACE_S if remote else 0.0)
        self._results: dict[str, Result] = {}
        self._survived = True

    async def run(self) -> Report:
        """Survey the target, then run the plan. Raises `TargetLost` when the target cannot be reached at all."""
        report = Report(self._target, self._options, self._plan.strict, datetime.now(UTC))
        began = time.monotonic()
        await survey(self._target, self._options, self._plan.security)
        alone = [each for each in self._plan.cases if each.harmful]
        together = [each for each in self._plan.cases if not each.harmful]
        together.sort(key=lambda each: not each.slow)
        async with asyncio.TaskGroup() as group:
            for queue in self._queues(together):
                group.create_task(self._work(queue))
        for case in alone:
            await self._take(case)
        report.results = [self._results[each.id] for each in self._plan.cases]
        if self._survived and not await survives(self._target, self._options):
            self._survived = False
        report.survived = self._survived
        report.seconds = time.monotonic() - began
        return report

    def _queues(self, together: Sequence[Case]) -> list[Iterator[Case]]:
        """What each worker takes from: a queue a lane, and one for all other cases; a single one for a single job."""
        if self._jobs == 1:
            return [iter(together)]
        lanes = dict.fromkeys(each.lane for each in together if each.lane)
        shared = iter([each for each in together if not each.lane])
        own = [iter([each for each in together if each.lane == lane]) for lane in lanes]
        return [*own, *[shared] * self._jobs]

    async def _work(self, queue: Iterator[Case]) -> None:
        for case in queue:
            await self._take(case)

    async def _take(self, case: Case) -> None:
        result = self._not_tried(case)
        if result is None:
            result = await run_case(case, self._target, self._options)
            if result.verdict is Verdict.ERROR and not self._stopped:
                await asyncio.sleep(RETRY_PAUSE_S)
                result = await run_case(case, self._target, self._options)
            await self._check_health(case, result)
            if self._plan.fail_fast and result.verdict is Verdict.FAIL:
                self._stopped = f"stopped at the first failure, {case.id}"
            await asyncio.sleep(self._pace_s)
        self._results[case.id] = result
        self._on_result(result)

    def _not_tried(self, case: Case) -> Result | None:
        if self._stopped and not self._survived:
            return outcome(case, Verdict.ERROR, self._stopped)
        if self._stopped:
            return unasked(case, self._stopped)
        if case.harmful and not self._plan.harmful:
            return unasked(case, "needs --harmful")
        if case.slow and not self._plan.slow:
            return unasked(case, "needs --slow")
        missing = [each for each in case.needs if not self._target.serves(each)]
        if missing:
            return outcome(case, Verdict.SKIP, f"the target does not offer {', '.join(missing)}")
        if case.security and case.security not in self._target.securities:
            return outcome(case, Verdict.SKIP, f"the target does not speak {case.security}")
        if (self._target.tcp if case.transport == "tcp" else self._target.quic) is None:
            return outcome(case, Verdict.SKIP, f"no {case.transport} address of the target is known")
        return None

    async def _check_health(self, case: Case, result: Result) -> None:
        hurt = case.hurts or case.harmful or result.verdict in (Verdict.FAIL, Verdict.ERROR)
        if not hurt or self._stopped or await survives(self._target, self._options):
            return
        if result.verdict is not Verdict.ERROR:
            result.verdict = Verdict.FAIL
        result.actual = f"the target did not survive; {result.actual}".rstrip("; ")
        self._survived = False
        if not self._plan.keep_going:
            self._stopped = f"the target no longer answers since {case.id}"


def outcome(case: Case, verdict: Verdict, actual: str) -> Result:
    """The result of a case that was not tried."""
    return Result(case.id, case.level, case.title, case.requirement, case.source, verdict, actual)


def unasked(case: Case, why: str) -> Result:
    """The result of a case that the run was not meant to try."""
    result = outcome(case, Verdict.SKIP, why)
    result.asked = False
    return result


async def run_case(case: Case, target: Target, options: Options) -> Result:
    """One case, once."""
    return await run_attempt(Attempt(case, target, options))


async def run_attempt(attempt: Attempt) -> Result:
    """The case of an attempt."""
    case = attempt.case
    result = outcome(case, Verdict.PASS, "")
    began = time.monotonic()
    result.wire = attempt.log
    longest_s = (30 + 6 * case.limit_s) * attempt.options.scale
    try:
        async with asyncio.timeout(longest_s), attempt:
            try:
                result.actual = await case.run(attempt) or ""
            finally:
                result.ending = attempt.ending
        if case.level is Level.MAY:
            result.verdict = Verdict.INFO
    except Deviation as deviation:
        result.verdict, result.actual = broken(deviation.level or case.level), deviation.actual
    except Skipped as reason:
        result.verdict, result.actual = Verdict.SKIP, str(reason)
    except Unprepared as reason:
        result.verdict, result.actual = Verdict.ERROR, str(reason)
    except TimeoutError:
        result.verdict, result.actual = Verdict.ERROR, f"the case took over {longest_s:g} s"
    except UNEXPECTED as error:
        result.verdict, result.actual = Verdict.ERROR, f"harness: {type(error).__name__}: {error}"
    result.milliseconds = round((time.monotonic() - began) * 1000)
    return result
