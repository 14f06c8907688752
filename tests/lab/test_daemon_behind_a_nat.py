"""A daemon behind a NAT, with one bootstrap address and a relay: a stock Go peer behind another NAT reaches it under its
circuit address, the connection becomes a direct one, and `mesh diag` tells what happened."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh.lab import Lab, SitePlan, kind_named
from mesh.lab.topology import PUBLIC, PUBLIC_IPS, RELAY, RELAY_IP
from tests.lab.punching import LabPeer, echoes, flags, listening
from tools.interop_peers.building import PEER, PeerMissing, ensure_built

pytestmark = pytest.mark.usefixtures("laboratory")

DIRECT_S = 20.0
SETTLED_S = 60.0
CONFIG = """
[network]
listen = ["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"]
bootstrap = ["{bootstrap}"]
[relay]
relays = ["{relay}"]
[dcutr]
enabled = true
[services]
serve = ["echo"]
[api]
listen = "127.0.0.1:4003"
"""


class Daemon:
    """`mesh daemon` in a place of the laboratory, asked by the command line in the same place."""

    def __init__(self, lab: Lab, place: str, folder: Path) -> None:
        self._lab = lab
        self._place = place
        self._folder = folder

    def _command(self, *words: str) -> list[str]:
        return self._lab.command(
            self._place, sys.executable, "-m", "mesh", *words, "--path", str(self._folder)
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        process = await asyncio.create_subprocess_exec(
            *self._command("daemon"), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(SETTLED_S):
                while await process.stdout.readline() not in (b"ready\n", b""):
                    continue
            yield
        finally:
            process.terminate()
            await process.communicate()

    async def says(self, *words: str) -> str:
        asked = await asyncio.create_subprocess_exec(*self._command(*words), stdout=asyncio.subprocess.PIPE)
        told, _ = await asked.communicate()
        return told.decode()

    async def tells(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.says(*words, "--json"))
        return found


@contextlib.asynccontextmanager
async def public_peers(lab: Lab) -> AsyncIterator[tuple[str, str]]:
    """Addresses of a relay and of a bootstrap peer; both dial back for others."""
    on = [flag for each in listening("tcp,quic") for flag in ("--listen", each)]
    async with (
        LabPeer(lab, RELAY, "ours", *on, "--relay-serve", "--autonat-serve") as relay,
        LabPeer(lab, PUBLIC, "ours", *on, "--autonat-serve") as other,
    ):
        yield (
            f"/ip4/{RELAY_IP}/tcp/4001/p2p/{relay.peer}",
            f"/ip4/{PUBLIC_IPS[0]}/tcp/4001/p2p/{other.peer}",
        )


async def test_a_go_peer_reaches_it_through_the_relay_and_then_directly(tmp_path: Path) -> None:
    try:
        ensure_built(PEER)
    except PeerMissing as reason:
        pytest.skip(f"NOTHING WAS TESTED AGAINST GO PEERS: {reason}")
    homes = [SitePlan(kind_named("b"), 20.0), SitePlan(kind_named("b"), 20.0)]
    with Lab(*homes) as lab:
        async with public_peers(lab) as (relay, bootstrap):
            folder = tmp_path / "node"
            folder.mkdir()
            (folder / "config.toml").write_text(CONFIG.format(relay=relay, bootstrap=bootstrap))
            daemon = Daemon(lab, "homeB", folder)
            async with (
                daemon.running(),
                LabPeer(lab, "homeA", "go", *flags("go", "tcp,quic", "4", 4001)) as go,
            ):
                nat = await settled(daemon)
                peer = (await daemon.tells("id"))["peer_id"]
                own = (await daemon.tells("swarm", "addrs"))["own"]
                circuit = f"{relay}/p2p-circuit/p2p/{peer}"
                assert circuit in own
                await go.call("connect", addr=relay)
                await go.call("connect", addr=circuit)
                assert await go.direct(peer, DIRECT_S) is not None, await daemon.says("diag", "punches")
                there = LabPeer(lab, "homeB", "ours")
                there.events.append({"event": "ready", "peer": peer})
                assert await echoes(go, there)
                await explained(daemon, nat, go.peer)


async def settled(daemon: Daemon) -> dict[str, Any]:
    """What `mesh diag nat` says once two servers found that nobody gets in, and the relay holds a reservation."""
    found: dict[str, Any] = {}
    async with asyncio.timeout(SETTLED_S):
        while found.get("reachability") != "private" or not any(
            "p2p-circuit" in each["addr"] for each in found["addresses"]
        ):
            found = await daemon.tells("diag", "nat")
            await asyncio.sleep(0.2)
    return found


async def explained(daemon: Daemon, nat: dict[str, Any], go: str) -> None:
    """The verdict with its source, the outside addresses with theirs, what to do, and how the punch went."""
    assert nat["source"].startswith("autonat-v")
    outside = [each for each in nat["addresses"] if each["addr"].startswith("/ip4/11.4.1.2/")]
    assert outside
    assert {each["state"] for each in outside} <= {"private", "unknown"}
    assert all(each["observers"] for each in outside)
    assert nat["advice"]
    said = await daemon.says("diag", "nat")
    assert "reachability: private, autonat-v" in said
    assert "/p2p-circuit" in said
    punches = await daemon.says("diag", "punches")
    assert f"{go}  began, attempt 1" in punches
    assert "direct over" in punches
