"""The routes of the Lethean mesh: a controller's daemon, and a worker beside it."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from mesh.api.server import ControlApi
from mesh.apps.lethean.service import LetheanService
from mesh.config import LetheanSection
from mesh.node import Node

LISTENING = LetheanSection(listen="127.0.0.1:0", mode="open", grants=("*=all",))


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[LetheanService]:
    async with LetheanService(LISTENING, tmp_path / "worker") as service:
        yield service


@pytest.fixture
async def caller(node: Node, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    boss = LetheanService(LetheanSection(), tmp_path / "boss", node.counters)
    async with boss, ControlApi(node, "127.0.0.1:0", tmp_path, boss) as api:
        headers = {"authorization": f"Bearer {api.token}"}
        async with httpx.AsyncClient(
            base_url=f"{api.url}/v0", headers=headers, trust_env=False, timeout=10
        ) as client:
            yield client


async def test_calls_and_peers(caller: httpx.AsyncClient, worker: LetheanService) -> None:
    target = {"target": worker.node.listen_address}
    own = (await caller.get("/lethean")).raise_for_status().json()
    assert own["role"] == "dual"
    known = (await caller.post("/lethean/connect", json=target)).raise_for_status().json()
    assert known["peer"] == worker.own.identity.id
    assert (await caller.post("/lethean/ping", json={})).raise_for_status().json()["rtt_ms"] > 0
    stats = (await caller.post("/lethean/stats", json={"target": known["peer"]})).raise_for_status().json()
    assert stats["nodeId"] == known["peer"]
    (peer,) = (await caller.get("/lethean/peers")).json()["peers"]
    assert (peer["id"], peer["connected"], peer["direction"]) == (known["peer"], True, "outbound")
    deployed = await caller.post(
        "/lethean/deploy", json={**target, "name": "rig", "files": {"digger": "f0VMRg=="}}
    )
    assert deployed.raise_for_status().json()["name"] == "rig"


async def test_failures_are_problems(caller: httpx.AsyncClient, worker: LetheanService) -> None:
    target = {"target": worker.node.listen_address}
    refused = await caller.post("/lethean/start", json={**target, "type": "nope", "config": {}})
    assert refused.status_code == 502
    assert "no miner type nope" in refused.json()["detail"]
    assert (await caller.post("/lethean/logs", json={**target, "miner": "x", "lines": 0})).status_code == 422
    assert (await caller.post("/lethean/ping", json={"target": "nonsense"})).status_code == 400
    unreachable = await caller.post("/lethean/ping", json={"target": "127.0.0.1:1"})
    assert unreachable.json()["failures"][0]["stage"] == "connect"
    assert (await caller.post("/lethean/allow", json={"public_key": "x"})).status_code == 400
    key = worker.own.identity.public_key
    assert (await caller.post("/lethean/allow", json={"public_key": key})).json() == {"allowed": [key]}
    assert (await caller.post("/lethean/allow", json={"public_key": key, "revoke": True})).json() == {
        "allowed": []
    }


async def test_metrics_and_a_node_that_is_not_on_the_mesh(
    caller: httpx.AsyncClient, worker: LetheanService, node: Node, tmp_path: Path
) -> None:
    await caller.post("/lethean/connect", json={"target": worker.node.listen_address})
    page = (await caller.get("/metrics")).text
    assert 'mesh_lethean_connections{dir="outbound"} 1.0' in page
    assert 'mesh_lethean_dials_total{result="done"} 1.0' in page
    async with ControlApi(node, "127.0.0.1:0", tmp_path / "worker") as api:
        headers = {"authorization": f"Bearer {api.token}"}
        async with httpx.AsyncClient(base_url=api.url, headers=headers, trust_env=False) as other:
            assert (await other.get("/v0/lethean")).status_code == 501


async def test_the_largest_bundle_goes_through_the_api(
    caller: httpx.AsyncClient, worker: LetheanService
) -> None:
    content = base64.b64encode(os.urandom(780_000)).decode()
    body = {"target": worker.node.listen_address, "name": "rigxx", "files": {"digger": content}}
    assert (await caller.post("/lethean/deploy", json=body)).raise_for_status().json()["bytes"] > 780_000
    body["files"] = {"digger": base64.b64encode(bytes(790_000)).decode()}
    too_long = await caller.post("/lethean/deploy", json=body)
    assert (too_long.status_code, too_long.json()["code"]) == (503, "limit")
    assert (await caller.post("/lethean/ping", content=b"x" * 600_000)).status_code == 413
