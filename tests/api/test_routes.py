"""Every route against two live nodes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mesh.codecs.keys import KeyType
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from tests.api.test_guard import check_problem
from tests.network.live import Nodes, connected, eventually, identified

OPERATIONS = (
    "accept_name add_bootstrap add_pin allow allow_lethean_key allow_provider"
    " ask_lethean_stats check_bootstrap claim_name clear_cache close_tunnel collect_blocks"
    " connect connect_lethean delete_entry deny deploy_lethean_bundle diagnose_bootstrap"
    " diagnose_mdns diagnose_nat diagnose_path disconnect discover_at_point drop_allowed"
    " drop_denied examine find_closest find_peer find_providers get_block get_entry get_file"
    " get_value identify list_addresses list_alerts list_allowed list_beam_peers"
    " list_bootstrap list_denied list_directory list_entries list_lethean_peers list_names"
    " list_outbox list_peers list_pins list_pubsub_peers list_routes list_services list_topics"
    " list_tunnels measure_perf open_tunnel ping ping_lethean provide publish publish_many"
    " put_block put_entry put_value read_lethean_logs refresh_table register_at_point"
    " register_service remove_block remove_bootstrap remove_pin resolve_name resolve_service"
    " revoke_name show_block show_conditions show_dht_status show_health show_history show_id"
    " show_kept show_lethean show_limits show_mapping show_mesh show_metrics show_name"
    " show_nat show_network show_pubsub_stats show_punches show_repo show_scores show_stats"
    " show_system show_table show_tunnel show_wellbeing start_lethean_miner stop_lethean_miner"
    " stream_events stream_rates subscribe test_nat trace_query transfer_name trust_owner"
    " unregister_at_point update_name watch_entries withdraw withdraw_service"
)


def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_operations_have_stable_names(caller: httpx.AsyncClient) -> None:
    document = (await caller.get("/openapi.json")).json()
    found = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert sorted(found) == OPERATIONS.split()
    assert document["paths"]["/v0/id"]["get"]["security"] == [{"HTTPBearer": []}]


async def test_id(caller: httpx.AsyncClient, node: Node) -> None:
    told = (await caller.get("/v0/id")).json()
    assert told["peer_id"] == str(node.peer_id)
    assert told["addrs"] == [str(address) for address in node.listen_addrs]
    assert "/ipfs/ping/1.0.0" in told["protocols"]
    assert told["agent_version"].startswith("mesh/")


async def test_kept_is_empty_while_the_rules_are_off(caller: httpx.AsyncClient, peer: Node) -> None:
    await caller.post("/v0/swarm/connect", json={"addr": str(peer.listen_addrs[0])})
    told = (await caller.get("/v0/swarm/kept")).json()
    assert told == {"enabled": False, "low": 25, "high": 50, "connected": 1, "peers": []}


async def test_connect_list_disconnect(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    assert (await caller.get("/v0/swarm/peers")).json() == {"peers": []}
    made = await caller.post("/v0/swarm/connect", json={"addr": str(peer.listen_addrs[0])})
    assert (made.status_code, made.json()["peer"], made.json()["dir"]) == (200, str(peer.peer_id), "outbound")
    await identified(node.connections[0])
    again = await caller.post("/v0/swarm/connect", json={"addr": str(peer.peer_id)})
    assert again.json() == made.json()
    (listed,) = (await caller.get("/v0/swarm/peers")).json()["peers"]
    assert (listed["peer"], listed["transport"]) == (str(peer.peer_id), "tcp")
    assert (listed["security"], listed["muxer"]) == ("noise", "yamux")
    assert listed["agent_version"].startswith("mesh/")
    addresses = (await caller.get("/v0/swarm/addrs")).json()
    assert addresses["own"] == [str(address) for address in node.listen_addrs]
    assert [each["peer"] for each in addresses["known"]] == [str(peer.peer_id)]
    done = await caller.post("/v0/swarm/disconnect", json={"peer": str(peer.peer_id)})
    assert done.json() == {"peer": str(peer.peer_id), "connections": 1}
    assert node.connections == []
    await eventually(lambda: not peer.connections)
    check_problem(
        await caller.post("/v0/swarm/disconnect", json={"peer": str(peer.peer_id)}), 404, "unknown-peer"
    )


async def test_a_peer_nobody_knows(caller: httpx.AsyncClient) -> None:
    stranger = str(PeerId.from_public_key(PrivateKey.generate(KeyType.ED25519).public))
    for path, field in (
        ("swarm/connect", "addr"),
        ("ping", "target"),
        ("identify", "target"),
        ("perf", "target"),
    ):
        check_problem(await caller.post(f"/v0/{path}", json={field: stranger}), 502, "dial")


async def test_a_port_nobody_listens_on(caller: httpx.AsyncClient) -> None:
    answer = await caller.post("/v0/swarm/connect", json={"addr": "/ip4/127.0.0.1/tcp/1"})
    check_problem(answer, 502, "dial")
    (failure,) = answer.json()["failures"]
    assert failure["stage"] == "connect"
    assert failure["address"].startswith("/ip4/127.0.0.1/tcp/1")


async def test_dialling_itself(caller: httpx.AsyncClient, node: Node) -> None:
    check_problem(await caller.post("/v0/ping", json={"target": str(node.peer_id)}), 400, "usage")


async def test_limits(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    await node.connect(peer.listen_addrs[0])
    shown = (await caller.get("/v0/swarm/limits")).json()
    scopes = {each["scope"]: each for each in shown["scopes"]}
    assert scopes["system"]["used"]["conns_outbound"] == 1
    assert scopes["system"]["limit"]["conns"] > 0
    assert not [scope for scope in scopes if scope.startswith("peer:")]
    with_peers = (await caller.get("/v0/swarm/limits", params={"peers": "true"})).json()
    assert f"peer:{peer.peer_id}" in [each["scope"] for each in with_peers["scopes"]]
    check_problem(await caller.get("/v0/swarm/limits?peers=perhaps"), 422, "invalid-request")


async def test_rules(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    await node.connect(peer.listen_addrs[0])
    rule = {"rule": str(peer.peer_id)}
    assert (await caller.post("/v0/swarm/deny", json=rule)).json() == {**rule, "closed_connections": 1}
    assert node.connections == []
    check_problem(
        await caller.post("/v0/swarm/connect", json={"addr": str(peer.listen_addrs[0])}), 403, "denied"
    )
    assert (await caller.get("/v0/swarm/deny")).json() == {
        "rules": [{**rule, "allowed": False, "reason": ""}]
    }
    assert (await caller.get("/v0/swarm/allow")).json() == {"rules": []}
    assert (await caller.request("DELETE", "/v0/swarm/deny", params=rule)).status_code == 200
    check_problem(await caller.delete("/v0/swarm/deny", params=rule), 404, "unknown-rule")
    check_problem(await caller.delete("/v0/swarm/deny"), 422, "invalid-request")
    assert (await caller.post("/v0/swarm/allow", json={"rule": "10.0.0.0/8"})).status_code == 200
    assert (await caller.get("/v0/swarm/allow")).json()["rules"] == [
        {"rule": "10.0.0.0/8", "allowed": True, "reason": ""}
    ]
    assert (await caller.delete("/v0/swarm/allow", params={"rule": "10.0.0.0/8"})).status_code == 200
    await node.connect(peer.listen_addrs[0])


async def test_ping(caller: httpx.AsyncClient, peer: Node) -> None:
    asked = {"target": str(peer.listen_addrs[0]), "count": 3, "interval_ms": 0}
    first, *pings = lines_of(await caller.post("/v0/ping", json=asked))
    assert first == {"type": "peer", "peer": str(peer.peer_id)}
    assert [(each["type"], each["seq"]) for each in pings] == [("ping", 0), ("ping", 1), ("ping", 2)]
    assert all(each["rtt_us"] > 0 for each in pings)


async def test_a_caller_that_leaves_ends_its_ping(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    asked = {"target": str(peer.listen_addrs[0]), "count": 0, "interval_ms": 1}
    async with caller.stream("POST", "/v0/ping", json=asked) as answer:
        lines = answer.aiter_lines()
        for _ in range(4):
            await anext(lines)
        assert node.connections[0].stream_count == 1
    await eventually(lambda: node.connections[0].stream_count == 0, "the end of the ping stream")


async def test_a_peer_that_goes_ends_the_ping(caller: httpx.AsyncClient, peer: Node) -> None:
    asked = {"target": str(peer.listen_addrs[0]), "count": 0, "interval_ms": 1}
    async with asyncio.timeout(10), caller.stream("POST", "/v0/ping", json=asked) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        await anext(lines)
        await peer.stop()
        *_, last = [json.loads(line) async for line in lines]
    assert last["type"] == "error"
    assert last["problem"]["code"]


async def test_identify(caller: httpx.AsyncClient, peer: Node) -> None:
    told = (await caller.post("/v0/identify", json={"target": str(peer.listen_addrs[0])})).json()
    assert told["peer_id"] == str(peer.peer_id)
    assert "/perf/1.0.0" in told["protocols"]
    assert told["signed_record"] is True


async def test_perf(caller: httpx.AsyncClient, peer: Node) -> None:
    asked = {"target": str(peer.listen_addrs[0]), "upload_bytes": 300_001, "download_bytes": 200_002}
    *_, transfer, final = lines_of(await caller.post("/v0/perf", json=asked))
    assert (transfer["type"], final["type"]) == ("transfer", "final")
    assert (final["uploadBytes"], final["downloadBytes"]) == (300_001, 200_002)
    assert final["timeSeconds"] >= transfer["uploadSeconds"] + transfer["downloadSeconds"] > 0


async def test_perf_that_is_not_served(caller: httpx.AsyncClient, peer: Node) -> None:
    peer.unhandle("/perf/1.0.0")
    (line,) = lines_of(await caller.post("/v0/perf", json={"target": str(peer.listen_addrs[0])}))
    assert (line["type"], line["problem"]["code"]) == ("error", "protocol-not-supported")


async def test_stats(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    await node.connect(peer.listen_addrs[0])
    shown = (await caller.get("/v0/stats")).json()
    assert (shown["peers"], shown["connections"], shown["inbound"], shown["outbound"]) == (1, 1, 0, 1)
    assert shown["counters"]["connection.opened:outbound"] == 1
    assert shown["held_limit_bytes"] == node.config.network.max_held_bytes
    assert set(shown["loop_lag"]) == {"p99_ms", "max_ms"}


async def test_metrics(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    await identified(await node.connect(peer.listen_addrs[0]))
    await caller.post("/v0/swarm/disconnect", json={"peer": str(peer.peer_id)})
    await eventually(lambda: not peer.connections, "the end at the other side")
    await peer.connect(node.listen_addrs[0])
    await connected(node, peer)
    answer = await caller.get("/v0/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "12D3Koo" not in answer.text
    assert "127.0.0.1" not in answer.text
    families = text_string_to_metric_families(answer.text)
    samples = {
        (each.name, *sorted(each.labels.items())): each.value
        for family in families
        for each in family.samples
    }
    kind = (("muxer", "yamux"), ("security", "noise"), ("transport", "tcp"))
    assert samples["libp2p_swarm_connections_opened_total", ("dir", "outbound"), *kind] == 1
    assert samples["libp2p_swarm_connections_opened_total", ("dir", "inbound"), *kind] == 1
    assert samples["libp2p_swarm_connections_closed_total", ("dir", "outbound"), *kind] == 1
    assert samples["libp2p_rcmgr_connections", ("dir", "inbound"), ("scope", "system")] == 1
    assert samples[("mesh_connections",)] == 1
    assert ("mesh_loop_lag_seconds", ("quantile", "0.99")) in samples


async def test_tls_has_its_label(caller: httpx.AsyncClient, nodes: Nodes, node: Node) -> None:
    dialer = await nodes.start("", security=("tls",))
    await dialer.connect(node.listen_addrs[0])
    await connected(node, dialer)
    (listed,) = (await caller.get("/v0/swarm/peers")).json()["peers"]
    assert listed["security"] == "tls"
    opened = 'opened_total{dir="inbound",muxer="yamux",security="tls",transport="tcp"} 1.0'
    assert opened in (await caller.get("/v0/metrics")).text


@pytest.mark.parametrize("times", [2])
async def test_each_node_has_its_own_figures(
    caller: httpx.AsyncClient, node: Node, peer: Node, times: int
) -> None:
    for _ in range(times):
        assert (await caller.get("/v0/metrics")).text.count("\nmesh_connections 0.0\n") == 1
    await node.connect(peer.listen_addrs[0])
    assert "\nmesh_connections 1.0\n" in (await caller.get("/v0/metrics")).text
