"""A daemon at its limit of connections, held by Go's nodes and by ours: all are served, and the next one is refused.

And the other way round: what our dialer says of a Go node that refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.errors import DialError
from mesh.network.machine_size import raise_descriptor_limit
from mesh.node import Node
from tests.interop.peers import DAEMON_S, Daemon, GoPeer, daemon
from tests.network.live import Nodes, identified

pytestmark = pytest.mark.interop

CONNECTIONS = 1000
AT_ONCE = 8
PINGS_AT_ONCE = 16
GO_TRANSIENT = 2000
"""More connections in their handshake than go-libp2p's limits allow on any machine a test runs on."""
DESCRIPTORS = 2 * GO_TRANSIENT
TURNED_AWAY = ("connect", "security negotiation")
"""How far a dialer gets at a full node: the reset may come before the system has reported the connection."""


@pytest.fixture(autouse=True)
def _descriptors() -> None:
    allowed = raise_descriptor_limit()
    if allowed < DESCRIPTORS:
        pytest.skip(f"NO CONNECTION LIMIT WAS REACHED: only {allowed} descriptors may be open")


def configured(folder: Path, count: int) -> Path:
    """A data folder whose daemon takes so many connections and trims none."""
    folder.mkdir(0o700)
    (folder / "config.toml").write_text(
        f"[network]\nmax_connections = {count}\n\n[connections]\nlow = {count}\nhigh = {count}\n"
    )
    return folder


async def hold_ours(nodes: Nodes, address: str, count: int) -> list[Node]:
    """So many nodes of ours with a connection each."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> Node:
        async with room:
            node = await nodes.start("")
            await identified(await node.connect(address))
            return node

    return await asyncio.gather(*(one() for _ in range(count)))


async def ping_all(control: httpx.AsyncClient, peers: list[str]) -> None:
    """Every peer answers the daemon's ping over the connection that is there."""
    room = asyncio.Semaphore(PINGS_AT_ONCE)

    async def one(peer: str) -> bool:
        async with room:
            answer = await control.post("/ping", json={"target": peer, "count": 1, "interval_ms": 0})
        told = [json.loads(line) for line in answer.raise_for_status().text.splitlines()]
        return [each["type"] for each in told] == ["peer", "ping"] and told[1]["rtt_us"] is not None

    answered = await asyncio.gather(*map(one, peers))
    silent = [peer for peer, each in zip(peers, answered, strict=True) if not each]
    assert not silent, f"{len(silent)} of {len(peers)} did not answer, such as {silent[0]}"


async def shown_by(full: Daemon, *words: str) -> str:
    """What a verb prints about the daemon."""
    arguments = ["-m", "mesh", *words, "--path", str(full.folder)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(DAEMON_S):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def check_connected(control: httpx.AsyncClient, count: int) -> list[str]:
    """All are identified, half of them Go's; returns their ids."""
    found: list[dict[str, Any]] = (await control.get("/swarm/peers")).raise_for_status().json()["peers"]
    agents = [each["agent_version"].partition("/")[0] for each in found]
    assert (agents.count("go-libp2p"), agents.count("mesh")) == (count // 2, count - count // 2)
    peers = [str(each["peer"]) for each in found]
    assert len(set(peers)) == count
    return peers


async def check_refused(nodes: Nodes, full: Daemon, go: GoPeer) -> None:
    """One more, of either kind."""
    late = await nodes.start("")
    with pytest.raises(DialError) as caught:
        await late.connect(full.addresses[0])
    [failure] = caught.value.failures
    assert failure.address == full.addresses[0].partition("/p2p/")[0]
    assert failure.stage in TURNED_AWAY
    assert "possibly its connection limit" in failure.cause
    one_more = await go.call("hold", addr=full.addresses[0], count=1)
    assert one_more["failed"] == 1, one_more


async def check_told(full: Daemon, control: httpx.AsyncClient, count: int) -> None:
    """Counters, metrics and `mesh swarm limits` name scope, limit and value of at least two refusals."""
    shown = await full.until_stats(
        lambda stats: stats["counters"].get("connection.refused:connections", 0) >= 2
    )
    times = shown["counters"]["connection.refused:connections"]
    assert (shown["connections"], shown["inbound"]) == (count, count)
    rows = [line.split() for line in (await shown_by(full, "swarm", "limits")).splitlines()]
    assert ["system", "conns_inbound", str(count), "of", str(count)] in rows
    assert ["node", "connections", str(times), "refused,", "limit", str(count)] in rows
    metrics = (await control.get("/metrics")).raise_for_status().text
    for line in (
        f'libp2p_rcmgr_blocked_resources_total{{resource="connections",scope="node"}} {times}.0',
        f'mesh_events_total{{event="connection.refused",reason="connections"}} {times}.0',
        f'libp2p_rcmgr_connections{{dir="inbound",scope="system"}} {count}.0',
    ):
        assert line in metrics.splitlines()


async def test_a_daemon_full_of_go_and_our_connections(nodes: Nodes, tmp_path: Path) -> None:
    count = CONNECTIONS
    folder = configured(tmp_path / "home", count)
    async with daemon(folder, "--log-level", "info", api="127.0.0.1:0") as full, GoPeer("--unlimited") as go:
        held, ours = await asyncio.gather(
            go.call("hold", addr=full.addresses[0], count=count // 2, concurrency=AT_ONCE),
            hold_ours(nodes, full.addresses[0], count - count // 2),
        )
        assert (held["failed"], held["held"]) == (0, count // 2), held
        await full.until_stats(lambda stats: stats["connections"] == count)
        async with full.control() as control:
            peers = await check_connected(control, count)
            await check_refused(nodes, full, go)
            await ping_all(control, peers)
            await check_told(full, control, count)
            await ours[0].stop()
            await full.until_stats(lambda stats: stats["connections"] == count - 1)
            await identified(await (await nodes.start("")).connect(full.addresses[0]))
        await go.call("release")
        await nodes.aclose()
        status, said = await full.end(signal.SIGTERM)
    assert status == 0
    assert all(" INFO " in line for line in said.splitlines()), said
    assert f"was refused: node: connections is limited to {count} (raise network.max_connections)" in said


async def test_a_go_node_that_refuses_is_called_possibly_full(nodes: Nodes) -> None:
    node = await nodes.start("")
    async with GoPeer() as go:
        port = int(go.address.split("/")[4])
        with contextlib.ExitStack() as stack:
            for _ in range(GO_TRANSIENT):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            with pytest.raises(DialError) as caught:
                await node.connect(go.address)
        [failure] = caught.value.failures
        assert failure.stage in TURNED_AWAY
        assert "possibly its connection limit" in failure.cause
