"""The routes about replicated mappings, with two live nodes."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from mesh.node import Node
from tests.api.test_guard import check_problem
from tests.api.test_routes import lines_of
from tests.network.live import Nodes, eventually
from tests.services.gossip.network import gossip_node

TOPIC = "prices"


async def replicating(nodes: Nodes) -> Node:
    return await gossip_node(nodes, others={"blocks": True, "exchange": True})


@pytest.fixture
async def node(nodes: Nodes) -> Node:
    return await replicating(nodes)


@pytest.fixture
async def other(nodes: Nodes, node: Node) -> Node:
    peer = await replicating(nodes)
    await peer.connect(node.listen_addrs[0])
    return peer


async def ask(caller: httpx.AsyncClient, verb: str, **body: object) -> dict[str, Any]:
    answer = await caller.post(f"/v0/crdt/{verb}", json={"topic": TOPIC, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_entries_come_and_go(caller: httpx.AsyncClient, node: Node, other: Node) -> None:
    copy = await other.crdt(TOPIC)
    done = await ask(caller, "put", key="tea/green", value=base64.b64encode(b"3").decode())
    assert done == {"topic": TOPIC, "key": "/tea/green", "changed": True}
    assert not (await ask(caller, "put", key="/tea/green", value="Mw=="))["changed"]
    await ask(caller, "put", key="/tea/black", value="Mg==")
    assert (await ask(caller, "get", key="/tea/green"))["value"] == "Mw=="
    await eventually(lambda: copy.get("/tea/black") == b"2", "the other has it")
    await copy.put("/coffee", b"1")
    await eventually(lambda: len(node.services._replicas[TOPIC].below()) == 3, "and we have its own")
    asked = {"topic": TOPIC, "prefix": "/tea"}
    assert lines_of(await caller.post("/v0/crdt/entries", json=asked)) == [
        {"type": "entry", "key": "/tea/black", "value": "Mg=="},
        {"type": "entry", "key": "/tea/green", "value": "Mw=="},
    ]
    shown = await ask(caller, "heads")
    assert (shown["behind"], shown["peers"], shown["counts"]["made"]) == (0, 1, 2)
    assert shown["heads"] == [{"cid": str(cid), "height": 3} for cid in copy.status().heads]
    assert (await ask(caller, "delete", key="/coffee"))["deleted"]
    assert not (await ask(caller, "delete", key="/coffee"))["deleted"]
    await eventually(lambda: copy.get("/coffee") is None, "the other lost it too")
    check_problem(
        await caller.post("/v0/crdt/get", json={"topic": TOPIC, "key": "/coffee"}), 404, "not-found"
    )


async def test_changes_are_watched(caller: httpx.AsyncClient, node: Node, other: Node) -> None:
    copy = await other.crdt(TOPIC)
    async with asyncio.timeout(20):
        async with caller.stream(
            "POST", "/v0/crdt/watch", json={"topic": TOPIC, "prefix": "/tea", "count": 2}
        ) as answer:
            lines = answer.aiter_lines()
            assert json.loads(await anext(lines)) == {"type": "watching", "topic": TOPIC, "prefix": "/tea"}
            await copy.put("/coffee", b"1")
            await copy.put("/tea", b"3")
            assert json.loads(await anext(lines)) == {"type": "changed", "key": "/tea", "value": "Mw=="}
            await copy.delete("/tea")
            assert json.loads(await anext(lines)) == {"type": "changed", "key": "/tea", "value": None}
            with pytest.raises(StopAsyncIteration):
                await anext(lines)


async def test_a_watch_ends_with_the_replica(caller: httpx.AsyncClient, node: Node) -> None:
    async with asyncio.timeout(20), caller.stream("POST", "/v0/crdt/watch", json={"topic": TOPIC}) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        await (await node.crdt(TOPIC)).stop()
        with pytest.raises(StopAsyncIteration):
            await anext(lines)


@pytest.mark.parametrize(
    ("verb", "body", "status", "code"),
    [
        ("put", {"topic": TOPIC, "key": "/a", "value": "?"}, 400, "usage"),
        ("put", {"topic": TOPIC, "key": "", "value": ""}, 422, "invalid-request"),
        ("put", {"topic": TOPIC, "key": "é" * 4096, "value": ""}, 400, "usage"),
        ("get", {"topic": "", "key": "/a"}, 422, "invalid-request"),
        ("entries", {"topic": TOPIC, "prefix": "/", "limit": 3}, 422, "invalid-request"),
    ],
)
async def test_what_cannot_be_asked(
    caller: httpx.AsyncClient, node: Node, verb: str, body: dict[str, object], status: int, code: str
) -> None:
    check_problem(await caller.post(f"/v0/crdt/{verb}", json=body), status, code)


async def test_mappings_need_blocks_and_pubsub(nodes: Nodes, caller: httpx.AsyncClient, node: Node) -> None:
    node.services.bitswap = None
    check_problem(await caller.post("/v0/crdt/heads", json={"topic": TOPIC}), 400, "usage")
