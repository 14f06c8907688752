"""A cell of the ground truth built: the laboratory with its nodes, and what is broken in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh.lab import Lab, SitePlan, kind_named
from mesh.lab.topology import PUBLIC, PUBLIC_IPS, RELAY, RELAY_IP, RELAY_IP6
from tests.lab.ground_truth import Cell
from tests.lab.scoring.daemons import LabDaemon, Settings

PUBLIC_IP6: Final = "3fff:0:2::2"
PORT: Final = 4001
NOBODYS_PORT: Final = 4009
NOBODYS: Final = {"4": "/ip4/11.99.1.2/tcp/4001", "6": "/ip6/3fff:0:99::2/tcp/4001"}
AHEAD_S: Final = 3 * 3600.0
NAME: Final = "relay.example"
SETTLE_S: Final = 30.0
_HOST_FIREWALL: Final = """
table inet host {
 chain in_ {
  type filter hook input priority 0; policy accept;
  ct state established,related accept
  iifname "lo" accept
  meta l4proto { icmp, ipv6-icmp } accept
  drop
 }
}
"""


def listening(port: int = PORT, version: str = "46", host: str = "") -> list[str]:
    """Addresses for TCP and QUIC, on all interfaces unless ``host`` says where."""
    found = []
    for family, every in (("4", "0.0.0.0"), ("6", "::")):
        if family in version:
            where = f"/ip{family}/{host or every}"
            found += [f"{where}/tcp/{port}", f"{where}/udp/{port}/quic-v1"]
    return found


@dataclass(slots=True)
class Scene:
    """The nodes of a cell. ``version`` is what A speaks to the relay over (`4` or `6`), ``via`` the transport by which A
    and B know others; ``target`` are the addresses or the id that A is asked about."""

    cell: Cell
    lab: Lab
    relay: LabDaemon
    public: LabDaemon
    a: LabDaemon
    b: LabDaemon
    via: str
    version: str
    b_version: str
    target: list[str]

    def at(self, node: LabDaemon, version: str, via: str = "", port: int = PORT) -> str:
        """Where a public node is dialled, with its id."""
        hosts = {RELAY: {"4": RELAY_IP, "6": RELAY_IP6}, PUBLIC: {"4": PUBLIC_IPS[0], "6": PUBLIC_IP6}}
        end = f"tcp/{port}" if (via or self.via) == "tcp" else f"udp/{port}/quic-v1"
        return f"/ip{version}/{hosts[node.place][version]}/{end}/p2p/{node.peer}"

    @property
    def home(self) -> str:
        """The place of A."""
        return "homeA"


@contextlib.asynccontextmanager
async def built(cell: Cell, folder: Path, name: str, via: str) -> AsyncIterator[Scene]:
    """The laboratory of a cell with everything running in it as the cell says."""
    hosts = 2 if "neighbours" in cell.faults else 1
    plans = [SitePlan(kind_named(cell.a), hosts=hosts, wan_accept="wan-accept" in cell.faults)]
    if cell.b:
        plans.append(SitePlan(kind_named(cell.b)))
    with Lab(*plans, name=name) as lab:
        scene = _scene(cell, lab, folder, via)
        try:
            await _start(scene)
            yield scene
        finally:
            await asyncio.gather(*(each.stop() for each in (scene.a, scene.b, scene.public, scene.relay)))


def _scene(cell: Cell, lab: Lab, folder: Path, via: str) -> Scene:
    serving: Settings = {
        "network.listen": listening(),
        "network.connect_timeout_s": 1,
        "network.address_timeout_s": 2,
        "autonat.serve": True,
        "relay.serve": True,
    }
    relay = dict(serving)
    if "relay-serves-none" in cell.faults:
        relay["relay.serve"] = False
    if "relay-full" in cell.faults:
        relay["relay.max_reservations"] = 1
    if "circuits-taken" in cell.faults:
        relay["relay.max_circuits_per_peer"] = 1
    neighbours = "neighbours" in cell.faults
    return Scene(
        cell,
        lab,
        LabDaemon(lab, RELAY, folder / "r", relay),
        LabDaemon(lab, PUBLIC, folder / "p", serving),
        LabDaemon(lab, "homeA", folder / "a", {}),
        LabDaemon(lab, "homeA2" if neighbours else "homeB", folder / "b", {}),
        via,
        "6" if cell.a == "v6only" or "ip6-only" in cell.faults else "4",
        "6" if cell.b == "v6only" else "4",
        [],
    )


async def _start(scene: Scene) -> None:
    faults = scene.cell.faults
    servers = [scene.public] if "relay-off" in faults else [scene.relay, scene.public]
    if "relay-full" in faults:
        scene.public.set({"relay.relays": [scene.at(scene.relay, "4")]})
    await _break(scene)
    await asyncio.gather(*(each.start() for each in servers))
    if "relay-full" in faults:
        assert await scene.public.reserved(SETTLE_S), (
            f"the public server has no reservation: {scene.public.log_end()}"
        )
    await asyncio.gather(_start_b(scene), _start_a(scene))
    scene.target = _target(scene)


async def _start_b(scene: Scene) -> None:
    cell, b = scene.cell, scene.b
    port = PORT + 1 if "neighbours" in cell.faults else PORT
    known = [scene.relay] if "circuits-taken" in cell.faults else [scene.relay, scene.public]
    settings: Settings = {
        "network.listen": listening(port),
        "network.bootstrap": [scene.at(each, scene.b_version) for each in known],
        "dcutr.enabled": "b-no-punching" not in cell.faults,
    }
    if cell.ask == "path" and cell.to == "circuit" and "b-no-relay" not in cell.faults:
        settings["relay.relays"] = [scene.at(scene.relay, scene.b_version)]
    b.set(settings)
    if "b-off" in cell.faults:
        return
    await b.start()
    if cell.ask == "path" and not cell.to.startswith("relay"):
        assert await b.connected(len(known), SETTLE_S), f"B is not connected: {b.log_end()}"
        if "relay.relays" in settings:
            assert await b.reserved(SETTLE_S), f"B has no reservation: {b.log_end()}"
    if "circuits-taken" in cell.faults:
        circuit = f"{scene.at(scene.relay, '4')}/p2p-circuit/p2p/{b.peer}"
        made = await scene.public.ask("POST", "/swarm/connect", {"addr": circuit})
        assert "p2p-circuit" in made["addr"], made


async def _break(scene: Scene) -> None:
    """What is broken in the network and in A's machine."""
    lab, faults = scene.lab, scene.cell.faults
    router = {"firewall": "fwA", "open": "inet", "v6only": "inet"}.get(scene.cell.a, "natA")
    if "udp-dropped" in faults:
        lab.run(router, "nft", "insert", "rule", "inet", "f", "fw_", "meta", "l4proto", "udp", "drop")
    if "large-dropped" in faults:
        rule = ("ip", "length", ">", "1150", "drop")
        lab.run(router, "nft", "insert", "rule", "inet", "f", "fw_", *rule)
    if "host-firewall" in faults:
        lab.run("homeA", "sh", "-c", f"nft -f - <<'END'\n{_HOST_FIREWALL}\nEND")
    if "no-route" in faults:
        version = ["-6"] if scene.version == "6" else []
        lab.run("homeA", "ip", *version, "route", "del", "default")
    if "link-down" in faults:
        lab.run("homeA", "ip", "link", "set", "eth0", "down")


async def _start_a(scene: Scene) -> None:
    cell, faults = scene.cell, scene.cell.faults
    relay, public = scene.at(scene.relay, scene.version), scene.at(scene.public, scene.version)
    settings: Settings = {
        "network.listen": listening(version="6" if "ip6-only" in faults else "46"),
        "network.bootstrap": [relay, public],
        "relay.relays": [relay],
        "dcutr.enabled": "a-no-punching" not in faults,
    }
    if "no-bootstrap" in faults or cell.to.startswith("relay"):
        settings |= {"network.bootstrap": [], "relay.relays": []}
    if "relay-off" in faults:
        settings["network.bootstrap"] = [public]
    if "bootstrap-off" in faults:
        nobody = scene.at(scene.public, scene.version, port=NOBODYS_PORT)
        settings |= {"network.bootstrap": [nobody], "relay.relays": []}
    if "dns" in faults:
        named = relay.replace(f"/ip4/{RELAY_IP}", f"/dns4/{NAME}")
        settings |= {"network.bootstrap": [named], "relay.relays": []}
        scene.a.hosts = scene.a.folder / "hosts"
        scene.a.hosts.write_text("127.0.0.1 localhost\n")
    if "loopback" in faults:
        settings["network.listen"] = listening(version="4", host="127.0.0.1")
    if "announce" in faults:
        settings["network.announce"] = [NOBODYS[scene.version]]
    if "full-node" in faults:
        settings |= {
            "network.bootstrap": [relay],
            "relay.relays": [],
            "network.max_connections": 1,
        }
    if "clock-ahead" in faults:
        scene.a.ahead_s = AHEAD_S
    scene.a.set(settings)
    await scene.a.start()
    if cell.ask == "path" and settings["network.bootstrap"]:
        count = len(settings["network.bootstrap"])
        assert await scene.a.connected(count, SETTLE_S), f"A is not connected: {scene.a.log_end()}"


def _target(scene: Scene) -> list[str]:
    """What A is asked about."""
    to, relay, b = scene.cell.to, scene.relay, scene.b
    if to == "circuit":
        return [f"{scene.at(relay, scene.version)}/p2p-circuit/p2p/{b.peer}"]
    if to == "direct":
        host = scene.lab.outer_ip("B")
        family = "6" if ":" in host else "4"
        return [f"{each}/p2p/{b.peer}" for each in listening(version=family, host=host)]
    if to:
        address = scene.at(relay, "4", "quic" if to == "relay-quic" else "tcp")
        wrong = "wrong-id" in scene.cell.faults
        return [address.replace(relay.peer, scene.public.peer) if wrong else address]
    return []
