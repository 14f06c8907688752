"""Broken nodes are caught and odd ones are not failed: a sample here, all of them among the long tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from mesh.conformance.catalogue import select
from mesh.conformance.runner import Report
from mesh.conformance.verdict import Level, Verdict
from tests.conformance.runs import conform, told
from tools.conformance.changes import Change
from tools.conformance.mutants import MUTANTS, PUBLIC_MUTANTS
from tools.conformance.variants import VARIANTS
from tools.interop_peers.process import PeerProcess

pytestmark = pytest.mark.timeout(240)

SAMPLE_MUTANTS = ("noise-signature-unchecked", "yamux-overrun-accepted", "gossip-unsigned")
SAMPLE_VARIANTS = ("yamux-small-frames", "identify-unknown-field", "gossip-duplicated-subscriptions")
BROKEN = (Verdict.FAIL, Verdict.WARN)


def named(changes: tuple[Change, ...], names: tuple[str, ...]) -> list[Change]:
    found = [each for each in changes if each.name in names]
    assert len(found) == len(names)
    return found


async def report_on(change: Change) -> Report:
    cases = [each for each in select(change.cases) if not each.harmful and not each.slow]
    program = (sys.executable, "-m", "tools.conformance.changed", change.name)
    async with PeerProcess(*program) as peer:
        return await conform(peer.address, cases)


async def caught(change: Change) -> None:
    report = await report_on(change)
    assert [each.id for each in report.results if each.verdict in BROKEN], told(report.results)


async def not_failed(change: Change) -> None:
    report = await report_on(change)
    bad = [
        each
        for each in report.results
        if each.verdict is Verdict.FAIL or (each.level is Level.MUST and each.verdict is Verdict.ERROR)
    ]
    assert not bad, told(bad)
    assert report.survived


def test_there_are_enough_of_both_and_their_sources_stand() -> None:
    assert len(MUTANTS) >= 25
    assert len(VARIANTS) >= 25
    changes = (*MUTANTS, *PUBLIC_MUTANTS, *VARIANTS)
    names = [each.name for each in changes]
    assert len(set(names)) == len(names)
    for each in changes:
        spec = importlib.util.find_spec(each.module)
        assert spec is not None
        assert spec.origin is not None
        compile(each.applied(Path(spec.origin).read_text()), each.name, "exec")
        select(each.cases)


def test_every_suite_has_a_mutant() -> None:
    suites = {name.partition("/")[0] for each in MUTANTS for name in each.cases}
    assert suites == {each.suite for each in select(())} - {"any"}


@pytest.mark.parametrize("change", named(MUTANTS, SAMPLE_MUTANTS), ids=lambda each: each.name)
async def test_a_broken_node_is_caught(change: Change) -> None:
    await caught(change)


@pytest.mark.parametrize("change", named(VARIANTS, SAMPLE_VARIANTS), ids=lambda each: each.name)
async def test_an_odd_node_is_not_failed(change: Change) -> None:
    await not_failed(change)


@pytest.mark.long
@pytest.mark.parametrize("change", MUTANTS, ids=lambda each: each.name)
async def test_every_broken_node_is_caught(change: Change) -> None:
    await caught(change)


@pytest.mark.long
@pytest.mark.parametrize("change", VARIANTS, ids=lambda each: each.name)
async def test_every_odd_node_is_not_failed(change: Change) -> None:
    await not_failed(change)
