"""A printed remedy carried out as its reader would, and what became of it.

Nothing here knows the true cause: what is done is what the steps say. Placeholders are filled in with what a person would
name, a relay or a peer that runs.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Sequence
from typing import Any, Final

from mesh.errors import MeshError
from mesh.lab.namespaces import LabError
from tests.lab.scoring.daemons import LabDaemon
from tests.lab.scoring.scene import NAME, Scene

CURED_S: Final = 45.0
SETTLE_S: Final = 15.0
WAIT_S: Final = 18.0
_FORWARDED: Final = re.compile(r"port (\d+) to ([0-9a-f.:]+) port (\d+)")

Step = dict[str, Any]


async def treat(scene: Scene, cause: str, steps: Sequence[Step]) -> None:
    """Carry out the steps; settings take a restart of their node before the next command."""
    changed: list[LabDaemon] = []
    for step in steps:
        if step["act"] == "set":
            node = {"here": scene.a, "peer": scene.b, "relay": scene.relay}[step["where"]]
            await node.command(*_words(scene, step)[1:])
            if node not in changed:
                changed.append(node)
            continue
        await _restart(scene, changed)
        await _do(scene, cause, step)
    await _restart(scene, changed)


async def _restart(scene: Scene, changed: list[LabDaemon]) -> None:
    for node in changed:
        await node.restart()
    if scene.relay in changed and scene.b.runs:
        await scene.b.reserved(SETTLE_S)
    for node in changed:
        if node is not scene.relay:
            await node.connected(1, SETTLE_S)
    if scene.b in changed:
        await scene.b.reserved(SETTLE_S)
    changed.clear()


async def _do(scene: Scene, cause: str, step: Step) -> None:
    where, act = step["where"], step["act"]
    if where == "router" and act == "forward":
        _forward(scene, step["text"])
    elif act == "allow":
        _allow(scene)
    elif where == "machine" and act == "run":
        words = [each.replace("<interface>", "eth0") for each in shlex.split(step["command"])]
        scene.lab.run(scene.home, *words)
    elif where == "here" and act == "run":
        await scene.a.command(*_words(scene, step)[1:])
    elif where == "machine" and act == "mend":
        await _mend(scene, cause)


def _words(scene: Scene, step: Step) -> list[str]:
    """The command of a step with its placeholders filled in."""
    node = scene.relay if scene.relay.runs and step["act"] == "run" else scene.public
    text = re.sub(r"<address of a [^>]*>", scene.at(node, scene.version), step["command"])
    words = shlex.split(text)
    assert words[0] == "mesh", text
    return words


def _forward(scene: Scene, text: str) -> None:
    """The user's own router forwards, if it is theirs."""
    found = _FORWARDED.search(text)
    if "not-mine" in scene.cell.faults or "natA" not in scene.lab.places or found is None:
        return
    outside, host, inside = found.groups()
    rule = ["iifname", "wan", "meta", "l4proto", "{", "tcp,", "udp", "}", "th", "dport", outside]
    scene.lab.run("natA", "nft", "add", "rule", "ip", "n", "pre", *rule, "dnat", "to", f"{host}:{inside}")


def _allow(scene: Scene) -> None:
    """Every firewall of the user lets the port in."""
    rule = ["meta", "l4proto", "{", "tcp,", "udp", "}", "th", "dport", "4001", "accept"]
    if "fwA" in scene.lab.places:
        scene.lab.run("fwA", "nft", "insert", "rule", "inet", "f", "fw_", *rule)
    if "host-firewall" in scene.cell.faults:
        scene.lab.run(scene.home, "nft", "insert", "rule", "inet", "host", "in_", *rule)


async def _mend(scene: Scene, cause: str) -> None:
    """The machine of A, as the diagnosis says that it is out of order."""
    if cause == "no-route":
        gateways = {"port-restricted": "192.168.1.1", "open": "11.3.1.1", "v6only": "3fff:0:3::1"}
        gateway = gateways[scene.cell.a]
        with contextlib.suppress(LabError):
            scene.lab.run(scene.home, "ip", "link", "set", "eth0", "up")
            scene.lab.run(scene.home, "ip", "route", "add", "default", "via", gateway)
    elif cause == "clock":
        scene.a.ahead_s = 0.0
        await scene.a.restart()
        await scene.a.reserved(SETTLE_S)
    elif cause == "dns-failure" and scene.a.hosts is not None:
        with scene.a.hosts.open("a") as file:
            file.write(f"{scene.at(scene.relay, '4').split('/')[2]} {NAME}\n")


# --- what became of it ------------------------------------------------------------------------------------------------


async def is_direct(scene: Scene, within_s: float = CURED_S) -> bool:
    """Whether what the cell wants to be direct becomes so in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(MeshError):
            if await _direct_now(scene, min(WAIT_S, max(1.0, deadline - time.monotonic()))):
                return True
    return False


async def _direct_now(scene: Scene, wait_s: float) -> bool:
    goal = scene.cell.goal
    if goal == "relay":
        return await _path(scene.a, [scene.relay.peer], wait_s)
    if goal == "path":
        return await _path(scene.a, [scene.b.peer, *scene.target], wait_s)
    told = await _circuits(scene) if goal == "circuit" else await _told_of_a(scene)
    return bool(told) and await _path(scene.b, [f"{each}/p2p/{scene.a.peer}" for each in told], wait_s)


async def _path(node: LabDaemon, target: list[str], wait_s: float) -> bool:
    asked = {"target": target[0], "addrs": target[1:], "wait_s": wait_s}
    found = await node.ask("POST", "/diag/path", asked)
    return bool(found["path"] == "direct")


async def _circuits(scene: Scene) -> list[str]:
    """Where A is reached through relays."""
    own = (await scene.a.ask("GET", "/swarm/addrs"))["own"]
    return [each.rpartition("/p2p/")[0] for each in own if "p2p-circuit" in each]


async def _told_of_a(scene: Scene) -> list[str]:
    """The addresses without a relay that A tells others, as one of them knows them."""
    for node in (scene.relay, scene.public):
        if node.runs:
            known = (await node.ask("GET", "/swarm/addrs"))["known"]
            for each in known:
                if each["peer"] == scene.a.peer and each["addrs"]:
                    return [address for address in each["addrs"] if _is_outer(address)][:16]
    return []


def _is_outer(address: str) -> bool:
    return "p2p-circuit" not in address and not address.startswith(
        ("/ip4/192.168.", "/ip4/100.64.", "/ip4/127.", "/ip6/::1", "/ip6/fe80")
    )
