"""What the control API tells of reachability, and the figures of it."""

from __future__ import annotations

import httpx

from mesh.node import Node
from tests.network.live import identified


async def test_a_quiet_node(caller: httpx.AsyncClient, node: Node) -> None:
    found = (await caller.get("/v0/nat")).json()
    assert (found["reachability"], found["source"], found["confidence"]) == ("unknown", "", 0)
    assert found["nat_class"] == "unknown"
    assert [each["transport"] for each in found["transports"]] == ["tcp", "udp"]
    assert [each["addr"] for each in found["addresses"]] == [str(each) for each in node.listening]
    assert found["addresses"][0]["source"] == "listening"
    assert "network.listen" in found["advice"][0]
    assert (await caller.post("/v0/nat/test")).json() == found, "no server is configured"


async def test_figures_have_the_names_of_go(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    await identified(await peer.connect(node.listen_addrs[0]))
    text = (await caller.get("/v0/metrics")).text
    assert "\nlibp2p_autonat_reachability_status 0.0\n" in text
    assert "\nlibp2p_autonat_reachability_status_confidence 0.0\n" in text
    assert 'libp2p_host_addrs_reachable{reachability="public"} 0.0' in text
    assert 'mesh_observed_addresses_total{response_status="ignored"} 1.0' in text
