"""Rendezvous and the diagnoses of finding peers, over the API of a live node."""

from __future__ import annotations

import httpx
import pytest

from mesh.node import Node
from tests.api.test_guard import check_problem
from tests.network.live import TCP, Nodes, eventually
from tests.network.name_server import name_server

NOBODY = "/ip4/127.0.0.1/tcp/1"


@pytest.fixture
async def point(nodes: Nodes) -> Node:
    return await nodes.start(TCP, serve_rendezvous=True)


async def test_register_discover_unregister(
    caller: httpx.AsyncClient, node: Node, peer: Node, point: Node
) -> None:
    here = str(point.listen_addrs[0])
    asked = {"point": here, "namespace": "chess"}
    done = await caller.post("/v0/rendezvous/register", json={**asked, "ttl_s": 9000})
    assert done.json() == {"namespace": "chess", "ttl_s": 9000}
    found = (await caller.post("/v0/rendezvous/discover", json=asked)).json()
    (shown,) = found["peers"]
    assert (shown["peer"], shown["namespace"]) == (str(node.peer_id), "chess")
    assert shown["addrs"] == list(map(str, node.own_addresses))
    assert 8990 <= shown["ttl_s"] <= 9000
    await peer.rendezvous.register(here, "chess")
    body = {**asked, "cookie": found["cookie"], "limit": 5}
    news = (await caller.post("/v0/rendezvous/discover", json=body)).json()
    assert [each["peer"] for each in news["peers"]] == [str(peer.peer_id)]
    assert (await caller.post("/v0/rendezvous/unregister", json=asked)).json() == {"namespace": "chess"}
    assert point.discovery.point is not None
    store = point.discovery.point.store
    await eventually(lambda: len(store) == 1, "the end of the registration")


async def test_what_a_point_refuses(caller: httpx.AsyncClient, point: Node, peer: Node) -> None:
    here = str(point.listen_addrs[0])
    for body in ({"namespace": "x", "ttl_s": 60}, {"namespace": "ü" * 200}):
        answer = await caller.post("/v0/rendezvous/register", json={"point": here, **body})
        check_problem(answer, 400, "usage")
    answer = await caller.post(
        "/v0/rendezvous/discover", json={"point": here, "namespace": "x", "cookie": "00"}
    )
    check_problem(answer, 502, "rendezvous-refused")
    assert "INVALID_COOKIE" in answer.json()["detail"]
    answer = await caller.post("/v0/rendezvous/discover", json={"point": here, "cookie": "what"})
    check_problem(answer, 400, "usage")
    answer = await caller.post("/v0/rendezvous/register", json={"point": here, "namespace": ""})
    check_problem(answer, 422, "invalid-request")
    body = {"point": str(peer.listen_addrs[0]), "namespace": "x"}
    check_problem(await caller.post("/v0/rendezvous/register", json=body), 502, "protocol-not-supported")


async def test_mdns_that_is_off(caller: httpx.AsyncClient) -> None:
    told = (await caller.get("/v0/diag/mdns")).json()
    assert told == {
        "enabled": False,
        "service": "_p2p._udp.local",
        "instance": "",
        "links": [],
        "skipped": {},
        "peers": [],
    }


async def test_what_bootstrap_and_peering_resolve_to(
    caller: httpx.AsyncClient, node: Node, peer: Node
) -> None:
    assert (await caller.get("/v0/diag/bootstrap")).json() == {"entries": []}
    async with name_server() as server:
        server.serve(node)
        server.texts["_dnsaddr.nodes.test"] = [f"dnsaddr={peer.listen_addrs[0]}", "dnsaddr=nonsense"]
        names = ["/dnsaddr/nodes.test", f"/dnsaddr/none.test/p2p/{peer.peer_id}"]
        for each in names:
            await caller.post("/v0/bootstrap", json={"addr": each})
        node.discovery.peering.add(peer.listen_addrs[0])
        await eventually(lambda: node.swarm.is_connected(peer.peer_id), "the connection")
        await eventually(lambda: all(each.reached or each.failures for each in node.bootstrap.peers.values()))
        entries = (await caller.get("/v0/diag/bootstrap")).json()["entries"]
    assert [(each["kind"], each["addr"]) for each in entries] == [
        ("bootstrap", names[0]),
        ("bootstrap", names[1]),
        ("peering", str(peer.listen_addrs[0])),
    ]
    direct = str(peer.own_addresses[0])
    assert [each["resolved"] for each in entries] == [[direct], [], [direct]]
    assert [bool(each["resolve_failure"]) for each in entries] == [False, True, False]
    assert [each["connected"] for each in entries][2]
    assert entries[0]["reached"]
    assert NOBODY not in str(entries)
