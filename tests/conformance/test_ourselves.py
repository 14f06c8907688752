"""Every MUST case of the catalogue passes against a node of this project; a skipped one counts as not passed."""

from __future__ import annotations

from mesh.conformance.verdict import Verdict
from tests.conformance.runs import conform, musts, node_under_test, told


async def test_we_keep_every_must() -> None:
    async with node_under_test("perf") as node:
        report = await conform(str(node.listen_addrs[0]), musts())
    assert report.survived
    bad = [each for each in report.results if each.verdict is not Verdict.PASS]
    assert not bad, told(bad)
