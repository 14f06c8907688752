"""A run of the harness inside a test, and a node of this project as its target."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from mesh.config import Config
from mesh.conformance.attempt import Options
from mesh.conformance.case import Case
from mesh.conformance.catalogue import select
from mesh.conformance.mirror import open_door, run_mirror
from mesh.conformance.runner import Plan, Report, Runner
from mesh.conformance.target import Target
from mesh.conformance.verdict import Level, Result
from mesh.errors import MeshError
from mesh.identity.keys import PrivateKey
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from tools.conformance.ourselves import LISTEN

SCALE = 3.0
"""Limits are for a machine that does nothing else."""


@asynccontextmanager
async def node_under_test(*serve: str) -> AsyncIterator[Node]:
    """A node on TCP and QUIC of loopback with its default settings, and what ``serve`` names."""
    config = _on_loopback(Config())
    async with Node(replace(config, services=replace(config.services, serve=serve))) as node:
        yield node


def _on_loopback(config: Config) -> Config:
    return replace(config, network=replace(config.network, listen=LISTEN))


def musts(*prefixes: str) -> list[Case]:
    """The MUST cases that neither flood nor wait."""
    return [
        each for each in select(prefixes) if each.level is Level.MUST and not each.harmful and not each.slow
    ]


def harmless() -> list[Case]:
    """All cases that neither flood nor wait."""
    return [each for each in select(()) if not each.harmful and not each.slow]


async def conform(address: str, cases: Sequence[Case], security: str = "", chunk_bytes: int = 0) -> Report:
    """Run cases against a target, sessions secured by Noise unless ``security`` names the other."""
    options = Options(seed="test", scale=SCALE, chunk_bytes=chunk_bytes)
    return await Runner(
        Target.parse(address), Plan(cases, security=security), options, lambda _result: None
    ).run()


async def mirrored(
    cases: Sequence[Case],
    dials: Callable[[Multiaddr], Coroutine[Any, Any, None]],
    scale: float = SCALE,
    *,
    listen: str = "/ip4/127.0.0.1/tcp/0",
    fail_fast: bool = False,
) -> Report:
    """Run mirrored cases while ``dials`` dials the harness again and again."""
    door = await open_door(Multiaddr.parse(listen), PrivateKey.generate())
    dialing = asyncio.create_task(dials(door.address))
    try:
        return await run_mirror(
            door, Plan(cases, fail_fast=fail_fast), Options(seed="test", scale=scale), lambda _result: None
        )
    finally:
        dialing.cancel()
        await asyncio.gather(dialing, return_exceptions=True)
        door.close()


async def dial_for_ever(node: Node, address: Multiaddr) -> None:
    """Connect, and again whenever the connection has ended or none came about."""
    while True:
        with contextlib.suppress(MeshError):
            connection = await node.connect(address)
            await connection.ended()
        await asyncio.sleep(0.05)


def told(results: Sequence[Result]) -> str:
    """Results with their wire logs, for a failing test's message."""
    return "\n".join(
        line
        for each in results
        for line in (f"{each.id} {each.verdict}: {each.actual}; {each.ending}", *each.wire.lines())
    )
