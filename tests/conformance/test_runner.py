"""How a run goes: targets that die, first failures, strictness, flags, and the target's own key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from mesh.conformance.attempt import Attempt, Options
from mesh.conformance.case import Case
from mesh.conformance.catalogue import select
from mesh.conformance.runner import Plan, Report, Runner
from mesh.conformance.target import Target
from mesh.conformance.verdict import Deviation, Level, Verdict
from mesh.network.stream import Stream
from mesh.services.ping import Ping
from tests.conformance.runs import node_under_test, told

UNHURRIED_BYTES = 32 * 1024
UNHURRIED_BYTES_PER_S = 300_000
Run = Callable[[Attempt], Awaitable[str | None]]


async def passes(_attempt: Attempt) -> None:
    pass


async def deviates(_attempt: Attempt) -> None:
    raise Deviation("something else")


def made(number: int, run: Run, level: Level = Level.MUST, **flags: Any) -> Case:
    return Case(f"made/1.{number}", "Made up", "nothing", level, "this test", 1.0, run, **flags)


async def run(address: str, plan: Plan, options: Options | None = None) -> Report:
    options = options or Options(seed="test", scale=0.5)
    return await Runner(Target.parse(address), plan, options, lambda _result: None).run()


async def test_a_target_that_dies_fails_the_case_that_hurt_it() -> None:
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(node_under_test())

        async def kill(_attempt: Attempt) -> None:
            await stack.aclose()

        cases = [made(1, passes), made(2, kill, Level.MAY, hurts=True), made(3, passes)]
        report = await run(str(node.listen_addrs[0]), Plan(cases, jobs=1))
    assert [each.verdict for each in report.results] == [Verdict.PASS, Verdict.FAIL, Verdict.ERROR], told(
        report.results
    )
    assert "did not survive" in report.results[1].actual
    assert report.exit_status == 3


async def test_the_first_failure_may_end_the_run() -> None:
    cases = [made(1, deviates, Level.SHOULD), made(2, deviates), made(3, passes)]
    async with node_under_test() as node:
        address = str(node.listen_addrs[0])
        report = await run(address, Plan(cases, fail_fast=True, jobs=1))
        assert [each.verdict for each in report.results] == [Verdict.WARN, Verdict.FAIL, Verdict.SKIP]
        report = await run(address, Plan(cases, jobs=1))
        assert [each.verdict for each in report.results] == [Verdict.WARN, Verdict.FAIL, Verdict.PASS]


@pytest.mark.parametrize(("strict", "status"), [(False, 0), (True, 1)])
async def test_strict_runs_fail_for_a_should(strict: bool, status: int) -> None:
    async with node_under_test() as node:
        plan = Plan([made(1, deviates, Level.SHOULD)], strict=strict)
        assert (await run(str(node.listen_addrs[0]), plan)).exit_status == status


async def test_harmful_and_slow_cases_run_only_when_told() -> None:
    cases = [made(1, passes, harmful=True), made(2, passes, slow=True)]
    async with node_under_test() as node:
        address = str(node.listen_addrs[0])
        report = await run(address, Plan(cases))
        assert [each.verdict for each in report.results] == [Verdict.SKIP, Verdict.SKIP]
        report = await run(address, Plan(cases, harmful=True, slow=True))
        assert [each.verdict for each in report.results] == [Verdict.PASS, Verdict.PASS]


async def test_a_target_is_shown_its_own_identity_when_its_key_is_given() -> None:
    cases = select(["noise/2.11"])
    async with node_under_test() as node:
        address = str(node.listen_addrs[0])
        assert (await run(address, Plan(cases))).results[0].verdict is Verdict.SKIP
        options = Options(seed="test", target_key=node.key)
        (result,) = (await run(address, Plan(cases), options)).results
        assert result.verdict is Verdict.PASS, told([result])


async def test_a_target_may_be_known_by_its_quic_address_alone() -> None:
    async with node_under_test() as node:
        (address,) = [str(each) for each in node.listen_addrs if "quic" in str(each)]
        report = await run(address, Plan(select(["quic/1.1", "multistream/1.2"])), Options(seed="test"))
    assert [each.verdict for each in report.results] == [Verdict.PASS, Verdict.PASS], told(report.results)


async def unhurried(_ping: Ping, stream: Stream) -> None:
    """Serve ping at 300 kB a second."""
    while data := await stream.read(UNHURRIED_BYTES):
        await asyncio.sleep(len(data) / UNHURRIED_BYTES_PER_S)
        await stream.write(data)


async def test_a_slow_echo_is_in_time_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is on each step, not on the whole mebibyte, which takes longer."""
    monkeypatch.setattr(Ping, "serve", unhurried)
    (case,) = select(["yamux/3.10"])
    async with node_under_test() as node:
        plan = Plan([replace(case, limit_s=2.0)])
        report = await run(str(node.listen_addrs[0]), plan, Options(seed="test"))
    (result,) = report.results
    assert result.verdict is Verdict.PASS, told([result])
    assert result.milliseconds > 3000
