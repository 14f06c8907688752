"""What the control API and the command line say of causes, paths and health."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.api.server import ControlApi
from mesh.console.application import run
from mesh.errors import MeshError
from mesh.node import Node
from tests.network.live import Nodes, eventually, identified
from tests.services.relay.network import circuit_to, client_of, dial_through, reached_through, relay_node

Command = Callable[..., Any]


@pytest.fixture
def command(api: ControlApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command about the daemon in another thread: its exit status and what it wrote."""

    async def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as aside:
            status = await loop.run_in_executor(aside, run, [*arguments, "--path", str(tmp_path)])
        return status, capsys.readouterr().out

    return call


async def test_a_quiet_node_hears_why_nobody_reaches_it(caller: httpx.AsyncClient, node: Node) -> None:
    found = (await caller.post("/v0/diag/nat", json={"wait_s": 0})).json()
    assert found["diagnosis"]["cause"] == "listens-on-loopback"
    assert found["diagnosis"]["confidence"] == 3
    (step,) = found["diagnosis"]["remedy"]
    assert (step["where"], step["act"]) == ("here", "set")
    assert step["command"].startswith("mesh config set network.listen ")
    assert [each["addr"] for each in found["addresses"]] == [str(each) for each in node.listening]


async def test_the_remedy_is_a_command_that_works(command: Command, tmp_path: Path) -> None:
    """Its value is one that the settings take."""
    import shlex

    status, out = await command("diag", "nat", "--wait", "0", "--json")
    (step,) = json.loads(out)["diagnosis"]["remedy"]
    words = shlex.split(step["command"])
    assert (status, words[:2]) == (0, ["mesh", "config"])
    assert (await command(*words[1:]))[0] == 0
    assert '"/ip4/0.0.0.0/tcp/4001"' in (tmp_path / "config.toml").read_text()


async def test_a_direct_path(caller: httpx.AsyncClient, peer: Node) -> None:
    found = (await caller.post("/v0/diag/path", json={"target": str(peer.listen_addrs[0])})).json()
    assert (found["path"], found["peer"], found["limited"]) == ("direct", str(peer.peer_id), False)
    assert (found["diagnosis"]["cause"], found["diagnosis"]["remedy"]) == ("healthy", [])


async def test_no_path(caller: httpx.AsyncClient, command: Command, peer: Node) -> None:
    address = peer.listen_addrs[0]
    await peer.stop()
    found = (await caller.post("/v0/diag/path", json={"target": str(address)})).json()
    assert (found["path"], found["addr"], found["remaining_s"]) == ("none", None, None)
    assert found["diagnosis"]["cause"] == "peer-offline"
    (attempt,) = found["attempts"]
    assert (attempt["addr"], attempt["outcome"]) == (str(address.without_peer()), "nobody listens there")
    status, out = await command("diag", "path", str(address))
    assert status == 0
    assert out.splitlines()[0] == "path: none"
    assert "cause: peer-offline" in out


async def test_what_a_relay_leaves(
    nodes: Nodes, node: Node, caller: httpx.AsyncClient, command: Command
) -> None:
    relay = await relay_node(nodes, circuit_s=120.0, circuit_bytes=100_000)
    target = await reached_through(nodes, relay)
    await dial_through(node, target)
    found = (await caller.post("/v0/diag/path", json={"target": str(target.peer_id)})).json()
    assert (found["path"], found["relay"], found["limited"]) == ("relayed", str(relay.peer_id), True)
    assert 0 < found["remaining_s"] <= 120
    assert 0 < found["remaining_send_bytes"] < 100_000
    assert 0 < found["remaining_receive_bytes"] < 100_000
    assert found["diagnosis"]["cause"] == "own-punching-off"
    status, out = await command("diag", "path", str(target.peer_id))
    assert status == 0
    assert out.startswith("path: relayed at ")
    assert "bytes to the peer" in out


async def test_a_relay_that_limits_nothing_says_so(nodes: Nodes, node: Node, command: Command) -> None:
    target = await reached_through(nodes, await relay_node(nodes, circuit_s=0.0, circuit_bytes=0))
    await dial_through(node, target)
    _, out = await command("diag", "path", str(target.peer_id))
    assert "the relay leaves: everything, it sets no limit" in out


async def test_a_peer_that_left_its_relay(nodes: Nodes, caller: httpx.AsyncClient) -> None:
    relay = await relay_node(nodes)
    target = await reached_through(nodes, relay)
    circuit = circuit_to(target)
    await target.stop()
    await eventually(lambda: not relay.connections)
    found = (await caller.post("/v0/diag/path", json={"target": str(circuit)})).json()
    assert found["diagnosis"]["cause"] == "no-reservation"
    assert str(relay.listen_addrs[0]) in found["diagnosis"]["remedy"][0]["command"]


@pytest.mark.parametrize("target", ["own", "/ip4/127.0.0.1/tcp/1", "two"])
async def test_what_names_no_peer_or_two(
    caller: httpx.AsyncClient, node: Node, peer: Node, target: str
) -> None:
    asked: dict[str, Any] = {"target": str(node.peer_id) if target == "own" else target}
    if target == "two":
        asked = {"target": str(peer.peer_id), "addrs": [str(node.listen_addrs[0])]}
    answer = await caller.post("/v0/diag/path", json=asked)
    assert (answer.status_code, answer.json()["code"]) == (400, "usage")


async def test_health_is_a_line_for_each_condition_and_a_status(
    command: Command, node: Node, peer: Node
) -> None:
    status, out = await command("diag", "healthy")
    assert status == 1
    assert [line.partition(":")[0].split() for line in out.splitlines()] == [
        ["NO", "listening"],
        ["NO", "peers"],
        ["NO", "reachable"],
        ["yes", "clock"],
        ["yes", "loop"],
    ]
    await identified(await node.connect(peer.listen_addrs[0]))
    assert "yes peers: 1 connected" in (await command("diag", "healthy"))[1]


async def test_a_healthy_node_has_status_0(nodes: Nodes, tmp_path: Path) -> None:
    relay = await relay_node(nodes)
    node = await nodes.start("/ip4/0.0.0.0/tcp/0", relays=(str(relay.listen_addrs[0]),))
    await eventually(lambda: client_of(node).held, "the reservation")
    async with ControlApi(node, "127.0.0.1:0", tmp_path):
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as aside:
            asked = ["diag", "healthy", "--json", "--path", str(tmp_path)]
            assert await loop.run_in_executor(aside, run, asked) == 0


async def test_the_doctor_tells_all_of_it(
    caller: httpx.AsyncClient, command: Command, node: Node, peer: Node
) -> None:
    await identified(await node.connect(peer.listen_addrs[0]))
    found = (await caller.post("/v0/diag/examination", json={"wait_s": 0})).json()
    assert found["diagnosis"]["cause"] == "listens-on-loopback"
    assert [each["name"] for each in found["conditions"]][:2] == ["listening", "peers"]
    assert (found["relays"], found["punches"], found["punching"]) == ([], [], False)
    status, out = await command("doctor", "--wait", "0")
    assert status == 0
    assert out.startswith("cause: listens-on-loopback")
    for line in (
        "port mapping: off",
        "hole punches: none, they are off",
        "NO  listening: on loopback alone",
    ):
        assert line in out


async def test_the_doctor_tells_of_relays_and_whom_it_begins_with(nodes: Nodes, tmp_path: Path) -> None:
    relay, gone = await relay_node(nodes), await nodes.start()
    address = str(gone.listen_addrs[0])
    await gone.stop()
    named = str(relay.listen_addrs[0])
    node = await nodes.start("/ip4/0.0.0.0/tcp/0", relays=(named,), bootstrap=(address,), hole_punching=True)
    async with ControlApi(node, "127.0.0.1:0", tmp_path) as api:
        headers = {"authorization": f"Bearer {api.token}"}
        async with httpx.AsyncClient(
            base_url=api.url, headers=headers, trust_env=False, timeout=20
        ) as caller:
            found = (await caller.post("/v0/diag/examination", json={"wait_s": 3})).json()
    assert [(each["relay"], each["held"]) for each in found["relays"]] == [(str(relay.peer_id), True)]
    assert {each["addr"]: each["outcome"] for each in found["begins_with"]} == {
        named: "reached",
        address: "nobody listens there",
    }
    assert found["punching"]


def test_errors_are_of_the_tree() -> None:
    from mesh.errors import WrongPeer

    error = WrongPeer("dialled one but another answered", found="another")
    assert isinstance(error, MeshError)
    assert (error.code, error.found) == ("wrong-peer", "another")
