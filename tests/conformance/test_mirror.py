"""Mirror mode: a node of this project dials the harness and keeps every MUST of a dialer; a careless one does not."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import replace

import pytest

from mesh.config import Config
from mesh.conformance import mirror
from mesh.conformance.attempt import second_message
from mesh.conformance.catalogue import select
from mesh.conformance.noise_client import NoiseClient, framed
from mesh.conformance.reports.words import again
from mesh.conformance.verdict import Deviation, Unprepared, Verdict
from mesh.conformance.wire import connect
from mesh.conformance.wire_log import WireLog
from mesh.errors import MeshError
from mesh.identity.keys import PrivateKey
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import tcp_endpoint
from mesh.node import Node
from tests.conformance.runs import mirrored, told


async def dial_for_ever(node: Node, address: Multiaddr) -> None:
    """Connect, and again whenever the connection has ended or none came about."""
    while True:
        with contextlib.suppress(MeshError):
            connection = await node.connect(address)
            await connection.ended()
        await asyncio.sleep(0.05)


async def test_our_dialer_keeps_every_must() -> None:
    config = Config()
    quick = replace(config, network=replace(config.network, listen=(), address_timeout_s=3.0))
    cases = [each for each in select((), mirrored=True) if not each.slow]
    async with Node(quick) as node:
        report = await mirrored(cases, lambda address: dial_for_ever(node, address))
    bad = [each for each in report.results if each.verdict is not Verdict.PASS]
    assert len(report.results) > 30
    assert not bad, told(bad)


async def believe_everything(address: Multiaddr) -> None:
    """A dialer of Noise that finishes whatever message 2 says."""
    endpoint = tcp_endpoint(address.without_peer())
    assert endpoint is not None
    while True:
        with contextlib.suppress(Deviation, Unprepared):
            wire = await connect(endpoint, WireLog(), 2.0, 2.0)
            client = NoiseClient(random.Random(), PrivateKey.generate())
            try:
                await second_message(wire, client)
                wire.send(framed(client.third()))
                await wire.ended()
            finally:
                wire.close()
        await asyncio.sleep(0.01)


async def test_a_dialer_that_believes_everything_is_found_out() -> None:
    ids = ("noise/1.2m", "noise/2.1m", "noise/2.2m", "noise/2.3m", "noise/2.4m", "noise/2.5m", "noise/2.8m")
    report = await mirrored(select(ids, mirrored=True), believe_everything, scale=0.3)
    assert {each.id: each.verdict for each in report.results} == dict.fromkeys(ids, Verdict.FAIL)


async def test_a_failure_of_a_dialer_may_end_the_run_and_is_repeated_by_listening() -> None:
    cases = select(("noise/2.1m", "noise/2.2m"), mirrored=True)
    report = await mirrored(cases, believe_everything, scale=0.3, fail_fast=True)
    assert [each.verdict for each in report.results] == [Verdict.FAIL, Verdict.SKIP]
    assert report.exit_status == 1
    command = again(report.results[0], report)
    assert command.startswith("mesh conform --listen /ip4/127.0.0.1/tcp/")
    assert "/p2p/" not in command
    assert " noise/2.1m --seed test " in command


async def dial_nobody(_address: Multiaddr) -> None:
    """Not a dialer at all."""


async def test_a_dialer_that_dials_no_more_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "DIAL_WAIT_S", 0.1)
    report = await mirrored(select(("noise/2",), mirrored=True), dial_nobody)
    assert {each.verdict for each in report.results} == {Verdict.ERROR}
    assert report.exit_status == 3
    assert "nobody dials any more since noise/2.1m" in report.results[-1].actual
