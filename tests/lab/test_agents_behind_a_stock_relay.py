"""Two agent daemons behind two NATs and a relay in Go that has no pubsub: they find each other by rendezvous or in the
DHT, reach each other through the relay, punch a direct connection, and only there hear announcements."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.lab import Lab, SitePlan, kind_named
from mesh.lab.topology import PUBLIC, PUBLIC_IPS, RELAY, RELAY_IP
from tests.lab.agents import DaemonProcess, LabAgent, Settings
from tests.lab.punching import LabPeer, listening
from tools.interop_peers.building import PEER, PeerMissing, ensure_built

pytestmark = [pytest.mark.usefixtures("laboratory"), pytest.mark.timeout(300)]

DELAY_MS = 10.0
WAYS = ("rendezvous", "dht")
PLACE = """
[rendezvous]
serve = true
[kademlia]
mode = "server"
"""


@pytest.fixture(scope="module", autouse=True)
def _go_program() -> None:
    try:
        ensure_built(PEER)
    except PeerMissing as reason:
        pytest.skip(f"NOTHING WAS TESTED AGAINST GO PEERS: {reason}")


@contextlib.asynccontextmanager
async def two_agents(lab: Lab, folder: Path, way: str) -> AsyncIterator[tuple[LabAgent, LabAgent]]:
    """Alice at home A and Bob at home B; a relay of Go, and a place of ours where agents are looked for."""
    (folder / "place").mkdir()
    (folder / "place" / "config.toml").write_text(PLACE)
    on = [flag for each in listening("tcp,quic") for flag in ("--listen", each)]
    serving = ("--transport", "tcp,quic", "--relay", "serve", "--security", "both")
    async with (
        LabPeer(lab, RELAY, "go", *on, *serving) as relay,
        DaemonProcess(lab, PUBLIC, folder / "place", "daemon", *on) as place,
    ):
        public = f"/ip4/{PUBLIC_IPS[0]}/tcp/4001/p2p/{place.peer}"
        settings: Settings = {
            "relay": {"relays": [f"/ip4/{RELAY_IP}/tcp/4001/p2p/{relay.peer}"]},
            "dcutr": {"enabled": True},
        }
        if way == "rendezvous":
            settings["agent"] = {"rendezvous": [public]}
        else:
            settings["network"] = {"bootstrap": [public]}
            settings["kademlia"] = {"mode": "client"}
            settings["gossip"] = {"discover": True}
        alice = LabAgent(lab, "homeA", folder / "alice", settings, "Alice")
        bob = LabAgent(lab, "homeB", folder / "bob", settings, "Bob")
        async with alice.running(), bob.running():
            yield alice, bob


@pytest.mark.parametrize("way", WAYS)
async def test_they_find_each_other_punch_and_talk(way: str, tmp_path: Path) -> None:
    with Lab(*(SitePlan(kind_named("port-restricted"), DELAY_MS) for _ in range(2))) as lab:
        async with two_agents(lab, tmp_path, way) as (alice, bob):
            for one, other in ((alice, bob), (bob, alice)):
                await one.hears_of(other)
                assert "direct" in await one.connections_to(other)
                assert (await one.tells("pubsub", "peers"))["peers"] == [other.peer]
            for one, other in ((alice, bob), (bob, alice)):
                sent = await one.send(other, "over what was punched")
                way_ = await one.why(sent["messageId"], "resumed")
                assert way_["peerId"] == other.peer
                assert await other.received(one) == ["over what was punched"]
