"""Peers in Rust, JavaScript and Python under the conformance harness: the verdicts are those of their baselines, and each
release of rust's gossipsub has its own on what was an advisory. None is made for this: what is missing is skipped."""

from __future__ import annotations

import pytest

from mesh.conformance import baseline
from tests.conformance.runs import told
from tools.conformance.__main__ import report_on
from tools.conformance.peers import ConformancePeer, peer_named
from tools.interop_peers.building import PeerMissing

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

ADVISORIES = {
    "rust-gossipsub-0.49.2": {"gossipsub/9.1": "fail", "gossipsub/9.2": "fail"},
    "rust-gossipsub-0.49.3": {"gossipsub/9.1": "pass", "gossipsub/9.2": "fail"},
    "rust-gossipsub-0.49.4": {"gossipsub/9.1": "pass", "gossipsub/9.2": "pass"},
}


async def as_kept(peer: ConformancePeer) -> None:
    kept = baseline.read(peer.baseline)
    try:
        report = await report_on(peer)
    except PeerMissing as reason:
        pytest.skip(f"NOTHING WAS TESTED AGAINST {peer.name.upper()}: {reason}")
    found = {each.id for each in baseline.differences(report, kept)}
    assert not found, told([each for each in report.results if each.id in found])


@pytest.mark.parametrize("release", ADVISORIES)
def test_baselines_tell_the_advisories_apart(release: str) -> None:
    kept = baseline.read(peer_named(release).baseline)
    assert {each: kept[each] for each in ADVISORIES[release]} == ADVISORIES[release]


@pytest.mark.long
@pytest.mark.parametrize("name", ["rust-0.57.1", "js-3", "py-0.8.1", *ADVISORIES])
async def test_a_peer_gets_the_verdicts_of_its_baseline(name: str) -> None:
    await as_kept(peer_named(name))
