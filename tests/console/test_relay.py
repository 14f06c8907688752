"""`mesh relay` as a process, and a node that is reached through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.apps.agent.records import ServiceInfo
from tests.apps.agent.agents import Agents
from tests.console.conftest import Mesh
from tests.console.test_daemon import DEADLINE_S, FREE, Daemon, spawn
from tests.network.live import Nodes, eventually
from tests.services.relay.network import dial_through


@pytest.fixture
async def agents() -> AsyncIterator[Agents]:
    async with Agents() as started:
        yield started


async def test_a_relay_runs_until_it_is_told_to_end(nodes: Nodes, tmp_path: Path) -> None:
    process = await spawn(
        *("relay", "--path", str(tmp_path), "--listen", FREE, "--api", "off"),
        *("--reservations", "7", "--time", "5m", "--data", "64KiB"),
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            relay = Daemon(process)
            await relay.until_ready()
        assert "relay for 7 peers" in relay.lines
        target = await nodes.start("", relays=tuple(relay.addresses))
        await eventually(lambda: target.listen_addrs, "the reservation")
        source = await nodes.start("")
        connection = await dial_through(source, target)
        assert connection.limited is not None
        assert (connection.limited.limit.duration_s, connection.limited.limit.data_bytes) == (300, 65536)
        await source.stop()
        await target.stop()
        status, errors = await relay.end()
        assert (status, errors) == (0, "")
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_passes_on_what_agents_announce(agents: Agents, tmp_path: Path) -> None:
    process = await spawn(
        *("relay", "--path", str(tmp_path), "--listen", FREE, "--api", "off", "--topics", "agent"),
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            relay = Daemon(process)
            await relay.until_ready()
        assert "topics agent" in relay.lines
        alice, bob = [
            await agents.agent(
                "", gossip=True, relays=tuple(relay.addresses), settings={"announce_interval_s": 1.0}
            )
            for _ in range(2)
        ]
        await alice.register(ServiceInfo("poem", "Poems", 50, "bsv"))
        await eventually(lambda: alice.discover(peer=str(bob.node.peer_id)), "bob's announcement")
        await eventually(lambda: bob.discover(service="poem"), "alice's announcement")
        [found] = bob.discover(service="poem")
        assert any("/p2p-circuit/" in address for address in found.multiaddrs)
        assert not bob.node.swarm.is_connected(alice.node.peer_id)
        await agents.end(alice)
        await agents.end(bob)
        await relay.end()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_a_topic_that_is_none(mesh: Mesh, tmp_path: Path) -> None:
    outcome = mesh("relay", "--path", str(tmp_path), "--topics", "agents")
    assert outcome.status == 2
    assert "--topics" in outcome.err


def test_a_wrong_limit_names_its_flag(mesh: Mesh, tmp_path: Path) -> None:
    outcome = mesh("relay", "--path", str(tmp_path), "--time", "soon")
    assert outcome.status == 2
    assert "--time" in outcome.err
