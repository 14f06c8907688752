"""What of the catalogue needs public addresses: relay, DCUtR and AutoNAT, against ourselves and against Go."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from mesh.lab import Lab
from mesh.lab.topology import PUBLIC, RELAY, RELAY_IP
from tools.conformance.changes import Change
from tools.conformance.mutants import PUBLIC_MUTANTS
from tools.interop_peers.building import PEER, PeerMissing, ensure_built
from tools.interop_peers.process import PeerProcess

pytestmark = [pytest.mark.usefixtures("laboratory"), pytest.mark.timeout(300)]

LISTEN = ("--listen", "/ip4/0.0.0.0/tcp/4001", "--listen", "/ip4/0.0.0.0/udp/4001/quic-v1")
SUITES = ("relay", "dcutr", "autonat")
CASES_S = 240.0
SAMPLE = "autonat-unpaid"
KNOWN_OF_GO = {"relay/2.5"}
"""go-libp2p takes whoever it is that comes through a relay."""


async def verdicts(lab: Lab, *command: str, cases: Sequence[str] = SUITES) -> dict[str, str]:
    """The verdicts on a peer in the relay's place, by the harness in the public one's."""
    async with PeerProcess(*lab.command(RELAY, *command, *LISTEN)) as peer:
        address = f"/ip4/{RELAY_IP}/tcp/4001/p2p/{peer.peer}"
        words = ("--pace", "0", "--jobs", "4", "--timeout-scale", "2", "--must", "--json", "-")
        harness = await asyncio.create_subprocess_exec(
            *lab.command(PUBLIC, sys.executable, "-m", "mesh", "conform", address, *cases, *words),
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(CASES_S):
            output, _ = await harness.communicate()
    report: dict[str, Any] = json.loads(output)
    return {each["id"]: f"{each['verdict']} {each['actual']}" for each in report["results"]}


def others(found: dict[str, str], verdict: str) -> dict[str, str]:
    """Those of the cases that did not end so; slow ones were not tried."""
    return {
        name: said
        for name, said in found.items()
        if not said.startswith(verdict) and not said.endswith("needs --slow")
    }


async def test_we_keep_every_must_on_public_addresses() -> None:
    with Lab("port-restricted") as lab:
        found = await verdicts(lab, sys.executable, "-m", "tools.conformance.ourselves")
    assert not others(found, "pass")


async def caught(change: Change) -> None:
    """Each case that is about the change fails on a node that has it."""
    with Lab("port-restricted") as lab:
        found = await verdicts(
            lab, sys.executable, "-m", "tools.conformance.changed", change.name, cases=change.cases
        )
    assert found.keys() == set(change.cases)
    assert not others(found, "fail")


async def test_a_node_that_is_broken_on_public_addresses_is_caught() -> None:
    await caught(next(each for each in PUBLIC_MUTANTS if each.name == SAMPLE))


@pytest.mark.long
@pytest.mark.parametrize("change", PUBLIC_MUTANTS, ids=lambda each: each.name)
async def test_every_node_that_is_broken_on_public_addresses_is_caught(change: Change) -> None:
    await caught(change)


@pytest.mark.parametrize("role", ["serve", "use"])
async def test_go_breaks_what_it_is_known_to_break(role: str) -> None:
    try:
        program = str(ensure_built(PEER))
    except PeerMissing as reason:
        pytest.skip(f"NOTHING WAS TESTED AGAINST GO PEERS: {reason}")
    flags = ("--transport", "tcp,quic", "--security", "both", "--autonat", "--unlimited", "--relay", role)
    punching = ("--hole-punching",) if role == "use" else ()
    with Lab("port-restricted") as lab:
        found = await verdicts(lab, program, "serve", *flags, *punching)
    failed = {name for name, said in found.items() if said.startswith("fail")}
    assert failed == KNOWN_OF_GO, others(found, "pass")
    skipped = {name for name, said in others(found, "pass").items() if said.startswith("skip")}
    not_offered = {"serve": {"dcutr"}, "use": {"relay"}}[role]
    assert {each.partition("/")[0] for each in skipped} <= not_offered
