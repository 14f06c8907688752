"""Every MUST case of the catalogue passes against a node of this project; a skipped one counts as not passed."""

from __future__ import annotations

import pytest

from mesh.conformance.catalogue import select
from mesh.conformance.runner import Report
from mesh.conformance.verdict import Verdict
from tests.conformance.runs import conform, musts, node_under_test, told
from tools.conformance.ourselves import serving_node

NOT_SERVED = ("multistream/4.7", "kad/3.8")
"""About protocols that a node does not serve."""

ON_PUBLIC_ADDRESSES = ("dcutr/1.3", "dcutr/1.4", "autonat/2.1", "autonat/2.2", "autonat/2.3", "autonat/2.7")
"""Tried in a laboratory: `tests/lab/test_conformance.py`."""


def all_pass(report: Report) -> None:
    """Nothing else than passes, and a living node."""
    assert report.survived
    bad = [each for each in report.results if each.verdict is not Verdict.PASS]
    assert not bad, told(bad)


async def test_we_keep_every_must() -> None:
    cases = [each for each in musts() if each.id not in (*NOT_SERVED, *ON_PUBLIC_ADDRESSES)]
    async with serving_node() as node:
        all_pass(await conform(str(node.listen_addrs[0]), cases))


@pytest.mark.parametrize(("security", "chunk_bytes"), [("tls", 0), ("noise", 7), ("tls", 61)])
async def test_we_keep_every_must_of_streams_however_they_are_carried(
    security: str, chunk_bytes: int
) -> None:
    async with serving_node() as node:
        cases = musts("multistream", "noise", "tls", "yamux", "identify", "ping", "perf")
        cases = [each for each in cases if each.id not in NOT_SERVED]
        address = str(node.listen_addrs[0])
        all_pass(await conform(address, cases, security=security, chunk_bytes=chunk_bytes))


async def test_we_keep_every_must_about_what_is_not_served() -> None:
    async with node_under_test() as node:
        all_pass(await conform(str(node.listen_addrs[0]), select(NOT_SERVED)))
