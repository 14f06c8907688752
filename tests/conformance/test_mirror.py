"""Mirror mode: a node of this project dials the harness, and keeps every MUST of a dialer."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from mesh.config import Config
from mesh.conformance.attempt import Options
from mesh.conformance.catalogue import select
from mesh.conformance.mirror import Door, run_mirror
from mesh.conformance.verdict import Verdict
from mesh.errors import MeshError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from tests.conformance.runs import SCALE, told


async def dial_for_ever(node: Node, address: Multiaddr, peer: PeerId) -> None:
    """Connect, and again whenever the connection has ended or none came about."""
    while True:
        with contextlib.suppress(MeshError):
            connection = await node.connect(address)
            await connection.ended()
        await asyncio.sleep(0.05)


async def test_our_dialer_keeps_every_must() -> None:
    identity = PrivateKey.generate()
    door = await Door.open(Multiaddr.parse("/ip4/127.0.0.1/tcp/0"), identity)
    config = Config()
    quick = replace(config, network=replace(config.network, listen=(), address_timeout_s=3.0))
    cases = [each for each in select((), mirrored=True) if not each.slow]
    async with Node(quick) as node:
        dialing = asyncio.create_task(
            dial_for_ever(node, door.address, PeerId.from_public_key(identity.public))
        )
        try:
            report = await run_mirror(door, cases, Options(seed="test", scale=SCALE), lambda _result: None)
        finally:
            dialing.cancel()
            await asyncio.gather(dialing, return_exceptions=True)
            door.close()
    bad = [each for each in report.results if each.verdict is not Verdict.PASS]
    assert len(report.results) > 15
    assert not bad, told(bad)
