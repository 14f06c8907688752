"""The bootstrap list of a live node over the API."""

from __future__ import annotations

import httpx
import pytest

from mesh.api import bootstrap_routes
from mesh.node import Node
from tests.api.test_guard import check_problem
from tests.api.test_routes import lines_of
from tests.network.live import eventually

NOBODY = "/ip4/127.0.0.1/tcp/1"


async def test_add_list_remove(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    assert (await caller.get("/v0/bootstrap")).json() == {"peers": []}
    address = str(peer.listen_addrs[0])
    added = (await caller.post("/v0/bootstrap", json={"addr": address})).json()
    assert (added["addr"], added["peer"], added["reached"]) == (address, str(peer.peer_id), False)
    await eventually(lambda: node.connections, "the connection")
    await eventually(lambda: all(each.reached for each in node.bootstrap.peers.values()))
    (listed,) = (await caller.get("/v0/bootstrap")).json()["peers"]
    assert listed == {**added, "reached": True, "connected": True}
    assert (await caller.delete("/v0/bootstrap", params={"addr": address})).json() == {"addr": address}
    assert (await caller.get("/v0/bootstrap")).json() == {"peers": []}
    assert node.connections
    check_problem(await caller.delete("/v0/bootstrap", params={"addr": address}), 404, "unknown-peer")


async def test_one_that_cannot_be_reached(caller: httpx.AsyncClient, node: Node) -> None:
    await caller.post("/v0/bootstrap", json={"addr": NOBODY})
    await eventually(lambda: any(each.failures for each in node.bootstrap.peers.values()))
    (listed,) = (await caller.get("/v0/bootstrap")).json()["peers"]
    assert (listed["peer"], listed["connected"], listed["reached"]) == (None, False, False)
    assert listed["failures"] >= 1
    assert "connect" in listed["failure"]
    assert listed["next_try_s"] >= 0


async def test_check_changes_nothing(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    good = str(peer.listen_addrs[0])
    await caller.post("/v0/bootstrap", json={"addr": good})
    await caller.post("/v0/bootstrap", json={"addr": NOBODY})
    await eventually(lambda: all(each.reached or each.failures for each in node.bootstrap.peers.values()))
    listed = list(node.bootstrap.peers)
    found = {each["addr"]: each for each in lines_of(await caller.post("/v0/bootstrap/check"))}
    assert list(node.bootstrap.peers) == listed
    assert set(found) == {good, NOBODY}
    assert found[good]["answered"]
    assert found[good]["time_ms"] > 0
    assert found[good]["agent_version"].startswith("mesh/")
    assert found[good]["failures"] == []
    assert not found[NOBODY]["answered"]
    (failure,) = found[NOBODY]["failures"]
    assert (failure["address"], failure["stage"]) == (NOBODY, "connect")
    assert failure["cause"]


async def test_check_of_an_empty_list(caller: httpx.AsyncClient) -> None:
    assert lines_of(await caller.post("/v0/bootstrap/check")) == []


@pytest.mark.parametrize("addr", ["nonsense", "/ip4/127.0.0.1/tpc/1"])
async def test_text_that_is_no_address(caller: httpx.AsyncClient, addr: str) -> None:
    check_problem(await caller.post("/v0/bootstrap", json={"addr": addr}), 400, "usage")
    check_problem(await caller.delete("/v0/bootstrap", params={"addr": addr}), 400, "usage")


async def test_itself(caller: httpx.AsyncClient, node: Node) -> None:
    answer = await caller.post("/v0/bootstrap", json={"addr": str(node.listen_addrs[0])})
    check_problem(answer, 400, "usage")
    assert "itself" in answer.json()["detail"]


async def test_too_many(caller: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap_routes, "MAX_PEERS", 1)
    assert (await caller.post("/v0/bootstrap", json={"addr": NOBODY})).status_code == 200
    assert (await caller.post("/v0/bootstrap", json={"addr": NOBODY})).status_code == 200
    answer = await caller.post("/v0/bootstrap", json={"addr": "/ip4/127.0.0.1/tcp/2"})
    check_problem(answer, 503, "limit")
