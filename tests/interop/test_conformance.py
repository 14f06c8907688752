"""Go peers under the conformance harness: every verdict is the one kept in the baseline of their release."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from mesh.conformance import baseline
from mesh.conformance.catalogue import select
from mesh.conformance.mirror import mirrored_cases
from mesh.conformance.verdict import Verdict
from mesh.multiformats.multiaddr import Multiaddr
from tests.conformance.runs import conform, harmless, mirrored, told
from tools.conformance.ourselves import TOPIC
from tools.interop_peers.building import CURRENT, PEER, GoProgram, PeerMissing, ensure_built
from tools.interop_peers.process import CommandFailed, PeerProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

BASELINES = Path(__file__).parents[1] / "conformance" / "baselines"
KNOWN = {
    "go-0.51.0": (
        "tls/2.12",
        "tls/2.16",
        "yamux/3.6",
        "yamux/4.2",
        "gossipsub/2.9",
        "relay/1.10",
        "quic/1.2",
    ),
    "go-0.47.0": ("tls/2.12", "tls/2.16", "yamux/3.6", "yamux/4.2", "quic/1.2"),
}
"""Deviations that were found before there was a harness."""


def built(program: GoProgram) -> str:
    try:
        return str(ensure_built(program))
    except PeerMissing as reason:
        pytest.skip(f"NOTHING WAS TESTED AGAINST GO: {reason}")


@pytest.mark.parametrize(
    ("name", "program", "flags"),
    [
        ("go-0.51.0", CURRENT, ["--kad", "--relay", "--autonat", "--topic", TOPIC]),
        ("go-0.47.0", PEER, ["serve", "--security", "both", "--transport", "tcp,quic"]),
    ],
)
async def test_go_gets_the_verdicts_of_its_baseline(name: str, program: GoProgram, flags: list[str]) -> None:
    kept = baseline.read(BASELINES / f"{name}.json")
    assert {kept[each] for each in KNOWN[name]} <= {"fail", "warn"}
    async with PeerProcess(built(program), *flags) as peer:
        address = str(peer.events[0]["addrs"][0])
        report = await conform(address, [each for each in harmless() if each.id in kept])
    assert report.survived
    found = baseline.differences(report, kept)
    results = {each.id: each for each in report.results}
    assert not found, told([results[each.id] for each in found])


@pytest.mark.parametrize(
    ("listen", "deviations"),
    [
        ("/ip4/127.0.0.1/tcp/0", {"tls/2.12m": Verdict.FAIL, "tls/2.16m": Verdict.WARN}),
        ("/ip4/127.0.0.1/udp/0/quic-v1", {"quic/1.5m": Verdict.FAIL}),
    ],
)
async def test_go_dials_as_it_should_but_for_certificates(
    listen: str, deviations: dict[str, Verdict]
) -> None:
    cases = [each for each in mirrored_cases((), Multiaddr.parse(listen)) if not each.slow]
    async with PeerProcess(built(PEER), "serve", "--security", "both", "--transport", "tcp,quic") as peer:

        async def dial(address: Multiaddr) -> None:
            while True:
                with contextlib.suppress(CommandFailed):
                    await peer.call("connect", addr=str(address), timeout_ms=4000)
                await asyncio.sleep(0.1)

        report = await mirrored(cases, dial, listen=listen)
    found = {each.id: each.verdict for each in report.results if each.verdict is not Verdict.PASS}
    assert found == deviations, told(report.failures())
    bad = [each.actual for each in report.results if each.id == "quic/1.5m"]
    assert bad in ([], ["accepted: tls/2.12"])


def test_baselines_name_cases_that_exist() -> None:
    names = {each.id for each in select(())}
    for path in sorted(BASELINES.glob("*.json")):
        assert set(baseline.read(path)) <= names, path.name
