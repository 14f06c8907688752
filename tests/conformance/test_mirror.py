"""Mirror mode: a node of this project dials the harness and keeps every MUST of a dialer; a careless one does not."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import replace

import pytest

from mesh.config import Config
from mesh.conformance import quic_mirror, tcp_mirror
from mesh.conformance.attempt import second_message
from mesh.conformance.catalogue import select
from mesh.conformance.mirror import mirrored_cases, open_door
from mesh.conformance.noise_client import NoiseClient, framed
from mesh.conformance.quic_client import ALPN, QuicSession, dialer
from mesh.conformance.reports.words import again
from mesh.conformance.tls_client import TlsOptions
from mesh.conformance.udp import open_socket
from mesh.conformance.verdict import Deviation, Unprepared, Verdict
from mesh.conformance.wire import connect
from mesh.conformance.wire_log import WireLog
from mesh.errors import NetworkError
from mesh.identity.keys import PrivateKey
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import quic_endpoint, tcp_endpoint
from mesh.node import Node
from tests.conformance.runs import dial_for_ever, mirrored, told

TCP = "/ip4/127.0.0.1/tcp/0"
QUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
HELD_S = 30.0


@pytest.mark.parametrize(
    ("listen", "engine", "least"), [(TCP, "aioquic", 31), (QUIC, "aioquic", 19), (QUIC, "qh3", 19)]
)
async def test_our_dialer_keeps_every_must(listen: str, engine: str, least: int) -> None:
    if engine == "qh3":
        pytest.importorskip("qh3")
    config = Config()
    quick = replace(
        config,
        network=replace(config.network, listen=(), address_timeout_s=3.0),
        quic=replace(config.quic, engine=engine),
    )
    cases = [each for each in mirrored_cases((), Multiaddr.parse(listen)) if not each.slow]
    async with Node(quick) as node:
        report = await mirrored(cases, lambda address: dial_for_ever(node, address), listen=listen)
    bad = [each for each in report.results if each.verdict is not Verdict.PASS]
    assert len(report.results) >= least
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


async def believe_every_listener(address: Multiaddr) -> None:
    """A dialer of QUIC that takes any certificate, serves nothing and knows no reset."""
    endpoint = quic_endpoint(address.without_peer())
    assert endpoint is not None
    options = TlsOptions.of(PrivateKey.generate())
    while True:
        with contextlib.suppress(Deviation):
            datagrams = await open_socket(endpoint, WireLog(), HELD_S)
            session = QuicSession(datagrams, dialer(options, (ALPN,)), lambda _stream: None)
            try:
                await session.handshake()
                await session.ended()
            finally:
                session.close()
        await asyncio.sleep(0.01)


async def test_a_dialer_that_believes_every_listener_is_found_out() -> None:
    ids = ("quic/1.5m", "quic/1.13m", "quic/2.1m", "quic/2.3m", "quic/2.11m")
    cases = mirrored_cases(ids, Multiaddr.parse(QUIC))
    report = await mirrored(cases, believe_every_listener, scale=0.2, listen=QUIC)
    assert {each.id: each.verdict for each in report.results} == dict.fromkeys(ids, Verdict.FAIL)
    named = next(each.actual for each in report.results if each.id == "quic/1.5m")
    assert all(f"tls/2.{number}" in named for number in (4, 5, 6, 7, 8, 9, 10, 12))


async def test_a_failure_of_a_dialer_may_end_the_run_and_is_repeated_by_listening() -> None:
    cases = select(("noise/2.1m", "noise/2.2m"), mirrored=True)
    report = await mirrored(cases, believe_everything, scale=0.3, fail_fast=True)
    assert [each.verdict for each in report.results] == [Verdict.FAIL, Verdict.SKIP]
    assert report.exit_status == 1
    command = again(report.results[0], report)
    assert command.startswith("mesh conform --listen /ip4/127.0.0.1/tcp/")
    assert "/p2p/" not in command
    assert " noise/2.1m --seed test " in command


@pytest.mark.parametrize("listen", [TCP, QUIC])
async def test_an_address_that_is_taken_is_told(listen: str) -> None:
    door = await open_door(Multiaddr.parse(listen), PrivateKey.generate())
    try:
        with pytest.raises(NetworkError, match="cannot listen on"):
            await open_door(door.address, PrivateKey.generate())
    finally:
        door.close()


async def dial_nobody(_address: Multiaddr) -> None:
    """Not a dialer at all."""


@pytest.mark.parametrize(("listen", "section"), [(TCP, "noise/2"), (QUIC, "quic/2")])
async def test_a_dialer_that_dials_no_more_ends_the_run(
    listen: str, section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (tcp_mirror, quic_mirror):
        monkeypatch.setattr(module, "DIAL_WAIT_S", 0.1)
    report = await mirrored(select((section,), mirrored=True), dial_nobody, listen=listen)
    assert {each.verdict for each in report.results} == {Verdict.ERROR}
    assert report.exit_status == 3
    assert f"nobody dials any more since {section}.1m" in report.results[-1].actual
