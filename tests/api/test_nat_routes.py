"""What the control API tells of reachability, and the figures of it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from mesh.api.server import ControlApi
from mesh.console.application import run
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from mesh.services.dcutr import PunchReport
from tests.network.live import Nodes, identified


async def test_a_quiet_node(caller: httpx.AsyncClient, node: Node) -> None:
    found = (await caller.get("/v0/nat")).json()
    assert (found["reachability"], found["source"], found["confidence"]) == ("unknown", "", 0)
    assert found["nat_class"] == "unknown"
    assert [each["transport"] for each in found["transports"]] == ["tcp", "udp"]
    assert [each["addr"] for each in found["addresses"]] == [str(each) for each in node.listening]
    assert found["addresses"][0]["source"] == "listening"
    assert "network.listen" in found["advice"][0]
    assert (await caller.post("/v0/nat/test")).json() == found, "no server is configured"


async def test_hole_punches_that_are_off(caller: httpx.AsyncClient) -> None:
    assert (await caller.get("/v0/nat/punches")).json() == {"enabled": False, "punches": []}


async def test_hole_punches_have_their_causes(
    nodes: Nodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = await nodes.start(hole_punching=True)
    assert node.hole_punching is not None
    address = Multiaddr.parse("/ip4/11.3.1.2/tcp/4001")
    for report in (
        PunchReport(node.peer_id, True, 1, (address,), "", f"{address}: no answer", 5.0, 0.1),
        PunchReport(node.peer_id, True, 2, (address,), "tcp", "", 0.5, 0.1),
    ):
        node.hole_punching.reports.append(report)
    async with ControlApi(node, "127.0.0.1:0", tmp_path) as api:
        headers = {"authorization": f"Bearer {api.token}"}
        async with httpx.AsyncClient(
            base_url=api.url, headers=headers, trust_env=False, timeout=10
        ) as caller:
            found = (await caller.get("/v0/nat/punches")).json()
            with ThreadPoolExecutor(1) as aside:
                loop = asyncio.get_running_loop()
                told = await loop.run_in_executor(aside, run, ["diag", "punches", "--path", str(tmp_path)])
    assert found["enabled"]
    assert [(each["attempt"], each["transport"], each["cause"]) for each in found["punches"]] == [
        (1, None, f"{address}: no answer"),
        (2, "tcp", None),
    ]
    assert found["punches"][0]["addrs"] == [str(address)]
    assert told == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{node.peer_id}  began, attempt 1, 5.00 s: {address}: no answer"
    assert lines[1].endswith("attempt 2, 0.50 s: direct over tcp")


async def test_hole_punches_are_counted(caller: httpx.AsyncClient, node: Node) -> None:
    for name in (
        "dcutr.direct_dials:failed",
        "dcutr.starter:quic",
        "dcutr.answerer:failed",
        "dcutr.relayed:closed",
    ):
        node.counters.count(name)
    text = (await caller.get("/v0/metrics")).text
    assert 'libp2p_holepunch_direct_dials_total{outcome="failed"} 1.0' in text
    assert 'mesh_holepunch_attempts_total{outcome="quic",side="initiator"} 1.0' in text
    assert 'mesh_holepunch_attempts_total{outcome="failed",side="receiver"} 1.0' in text
    assert "mesh_holepunch_relayed_closed_total 1.0" in text


async def test_figures_have_the_names_of_go(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    await identified(await peer.connect(node.listen_addrs[0]))
    text = (await caller.get("/v0/metrics")).text
    assert "\nlibp2p_autonat_reachability_status 0.0\n" in text
    assert "\nlibp2p_autonat_reachability_status_confidence 0.0\n" in text
    assert 'libp2p_host_addrs_reachable{reachability="public"} 0.0' in text
    assert 'mesh_observed_addresses_total{response_status="ignored"} 1.0' in text
