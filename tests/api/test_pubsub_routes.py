"""Pubsub's routes against live nodes."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.api import pubsub_exchange
from mesh.api.pubsub_exchange import BUFFER_MESSAGES, MAX_READERS, Exchange
from mesh.api.server import ControlApi
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.services.gossip import ScoreSettings, Thresholds, TopicScoreSettings
from tests.api.test_guard import check_problem
from tests.api.test_routes import lines_of
from tests.network.live import PATIENCE_S, Nodes, eventually
from tests.services.gossip.network import gossip_node, make_node, meshed, take

STRANGER = str(PeerId.from_public_key(PrivateKey.from_seed(bytes(32)).public))
ROUTES = [
    ("GET", "topics", None),
    ("GET", "peers", None),
    ("GET", "mesh", None),
    ("GET", "scores", None),
    ("GET", "stats", None),
    ("POST", "rates", {}),
    ("POST", "publish", {"topic": "x", "data": ""}),
    ("POST", "publish-many", {"topic": "x", "messages": [""]}),
    ("POST", "subscribe", {"topic": "x"}),
]

Line = dict[str, Any]


@pytest.fixture
async def node(nodes: Nodes) -> Node:
    return await gossip_node(nodes)


@pytest.fixture
async def peer(nodes: Nodes, node: Node) -> Node:
    """Connected, with pubsub on both sides."""
    other = await gossip_node(nodes)
    await other.connect(node.listen_addrs[0])
    await eventually(lambda: node.pubsub.peers() and other.pubsub.peers(), "pubsub on both sides")
    return other


@asynccontextmanager
async def controlled(node: Node, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A caller of another node's API."""
    async with (
        ControlApi(node, "127.0.0.1:0", folder) as api,
        httpx.AsyncClient(
            base_url=api.url,
            headers={"authorization": f"Bearer {api.token}"},
            trust_env=False,
            timeout=PATIENCE_S,
        ) as caller,
    ):
        yield caller


@asynccontextmanager
async def reading(caller: httpx.AsyncClient, **asked: object) -> AsyncIterator[AsyncIterator[Line]]:
    """The objects of a subscription that stands."""
    async with caller.stream("POST", "/v0/pubsub/subscribe", json=asked) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "application/x-ndjson"
        lines = objects(answer)
        assert await anext(lines) == {"type": "subscribed", "topic": asked["topic"]}
        yield lines


async def objects(answer: httpx.Response) -> AsyncIterator[Line]:
    async for line in answer.aiter_lines():
        yield json.loads(line)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_messages_of_any_bytes(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    data = bytes(range(256))
    async with reading(caller, topic="x/é", own=True) as lines, peer.pubsub.join("x/é") as topic:
        reader = topic.subscribe()
        await eventually(lambda: topic.mesh() and node.pubsub.mesh("x/é"), "a mesh")
        sent = (await caller.post("/v0/pubsub/publish", json={"topic": "x/é", "data": encoded(data)})).json()
        assert sent == {"topic": "x/é", "peers": 1, "size": 256}
        (heard,) = await take(reader, 1)
        assert heard.data == data
        line = await anext(lines)
        assert heard.seqno is not None
        assert line == {
            "type": "message",
            "topic": "x/é",
            "from": str(node.peer_id),
            "received_from": str(node.peer_id),
            "seqno": heard.seqno.hex(),
            "id": heard.id.hex(),
            "size": 256,
            "data": encoded(data),
        }
        await topic.publish(b"")
        line = await anext(lines)
        assert (line["from"], line["received_from"]) == (str(peer.peer_id), str(peer.peer_id))
        assert (line["size"], line["data"]) == (0, "")


async def test_own_messages_only_if_wanted(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    async with reading(caller, topic="x", own=False) as lines, peer.pubsub.join("x") as topic:
        await eventually(lambda: topic.mesh(), "a mesh")
        await caller.post("/v0/pubsub/publish", json={"topic": "x", "data": encoded(b"own")})
        await topic.publish(b"other")
        assert base64.b64decode((await anext(lines))["data"]) == b"other"


async def test_many_in_order(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    async with peer.pubsub.join("x") as topic:
        reader = topic.subscribe()
        await eventually(lambda: node.pubsub.peers("x"), "the peer in the topic")
        messages = [b"one", b"", b"three"]
        body = {"topic": "x", "messages": [encoded(each) for each in messages]}
        lines = lines_of(await caller.post("/v0/pubsub/publish-many", json=body))
        assert lines == [{"type": "published", "peers": 1, "size": len(each)} for each in messages]
        assert [each.data for each in await take(reader, 3)] == messages


async def test_readers_share_a_topic(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    assert (await caller.get("/v0/pubsub/topics")).json() == {"topics": []}
    async with peer.pubsub.join("x") as topic:
        async with reading(caller, topic="x") as first, reading(caller, topic="x") as second:
            await eventually(lambda: topic.mesh(), "a mesh")
            shown = (await caller.get("/v0/pubsub/topics")).json()
            assert shown == {"topics": [{"topic": "x", "peers": 1, "mesh": 1, "readers": 2}]}
            await topic.publish(b"both")
            assert (await anext(first))["data"] == (await anext(second))["data"] == encoded(b"both")
        await eventually(lambda: not node.pubsub.topics(), "the end of the last reader")
        async with reading(caller, topic="x") as lines:
            assert node.pubsub.topics() == ["x"]
            await node.pubsub.publish("x", b"again")
            assert (await anext(lines))["data"] == encoded(b"again")


async def test_a_reader_that_comes_while_the_last_one_goes(node: Node) -> None:
    exchange = Exchange(node)
    for _ in range(3):
        lines = exchange.subscribe("x")
        assert (await anext(lines))["type"] == "subscribed"
        await lines.aclose()
        assert node.pubsub.topics() == ["x"]
    await eventually(lambda: not node.pubsub.topics(), "the topic left")
    assert exchange.readers("x") == 0


async def test_a_request_that_nobody_reads_joins_nothing(node: Node) -> None:
    exchange = Exchange(node)
    await exchange.subscribe("x").aclose()
    assert node.pubsub.topics() == []


async def test_a_slow_reader_is_told_what_it_missed(node: Node, peer: Node) -> None:
    """A reader that does not come back for more than its buffer holds gets the latest, and the number of the others."""
    lines = Exchange(node).subscribe("x")
    assert (await anext(lines))["type"] == "subscribed"
    missed = 7
    for number in range(BUFFER_MESSAGES + missed):
        await node.pubsub.publish("x", str(number).encode())
    assert await anext(lines) == {"type": "lost", "messages": missed}
    held = [await anext(lines) for _ in range(BUFFER_MESSAGES)]
    assert [base64.b64decode(each["data"]) for each in held] == [
        str(number).encode() for number in range(missed, BUFFER_MESSAGES + missed)
    ]
    await node.pubsub.publish("x", b"next")
    assert (await anext(lines))["data"] == encoded(b"next")
    await lines.aclose()


async def test_a_caller_that_does_not_read_holds_up_nobody(
    caller: httpx.AsyncClient, node: Node, peer: Node
) -> None:
    size, count = 64 * 1024, 256
    async with reading(caller, topic="x") as slow, reading(caller, topic="x") as quick:
        for number in range(count):
            await node.pubsub.publish("x", number.to_bytes(2, "big") * (size // 2))
            line = await anext(quick)
            assert base64.b64decode(line["data"])[:2] == number.to_bytes(2, "big")
        seen = lost = 0
        while seen + lost < count:
            line = await anext(slow)
            if line["type"] == "lost":
                lost += line["messages"]
            else:
                number = int.from_bytes(base64.b64decode(line["data"])[:2], "big")
                assert number == seen + lost
                seen += 1
        assert seen
        assert lost


async def test_a_quiet_topic(caller: httpx.AsyncClient, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pubsub_exchange, "HEARTBEAT_S", 0.01)
    async with reading(caller, topic="x") as lines:
        assert [await anext(lines) for _ in range(2)] == [{"type": "idle"}] * 2
        await node.pubsub.publish("x", b"at last")
        while (line := await anext(lines))["type"] == "idle":
            pass
        assert line["data"] == encoded(b"at last")


async def test_a_subscription_ends_with_pubsub(caller: httpx.AsyncClient, node: Node) -> None:
    async with reading(caller, topic="x") as lines:
        await node.pubsub.stop()
        assert [line async for line in lines] == []
    check_problem(await caller.post("/v0/pubsub/subscribe", json={"topic": "x"}), 400, "usage")


async def test_so_many_readers(caller: httpx.AsyncClient, node: Node) -> None:
    exchange = Exchange(node)
    readers = [exchange.subscribe("x") for _ in range(MAX_READERS + 1)]
    for each in readers[:-1]:
        await anext(each)
    with pytest.raises(Exception, match="readers of topics is limited to 32"):
        exchange.subscribe("x")
    with pytest.raises(Exception, match="readers of topics is limited to 32"):
        await anext(readers[-1])
    await readers[0].aclose()
    last = exchange.subscribe("x")
    assert (await anext(last))["type"] == "subscribed"
    for each in (*readers[1:-1], last):
        await each.aclose()


async def test_a_topic_of_the_program(caller: httpx.AsyncClient, node: Node) -> None:
    async with node.pubsub.join("x"):
        answer = await caller.post("/v0/pubsub/subscribe", json={"topic": "x"})
        check_problem(answer, 400, "usage")
        assert "the program that runs this node has joined 'x'" in answer.json()["detail"]
        sent = await caller.post("/v0/pubsub/publish", json={"topic": "x", "data": ""})
        assert sent.json() == {"topic": "x", "peers": 0, "size": 0}
        (shown,) = (await caller.get("/v0/pubsub/topics")).json()["topics"]
        assert shown == {"topic": "x", "peers": 0, "mesh": 0, "readers": 0}


async def test_peers_and_meshes(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    name = str(peer.peer_id)
    assert (await caller.get("/v0/pubsub/peers")).json() == {"topic": None, "peers": [name]}
    assert (await caller.get("/v0/pubsub/mesh")).json() == {"meshes": []}
    for path in ("peers", "mesh"):
        answer = await caller.get(f"/v0/pubsub/{path}", params={"topic": "x"})
        check_problem(answer, 404, "unknown-topic")
    async with peer.pubsub.join("x"):
        await eventually(lambda: node.pubsub.peers("x"), "the peer in the topic")
        found = (await caller.get("/v0/pubsub/peers", params={"topic": "x"})).json()
        assert found == {"topic": "x", "peers": [name]}
        check_problem(await caller.get("/v0/pubsub/mesh", params={"topic": "x"}), 404, "unknown-topic")
    async with node.pubsub.join("y"), node.pubsub.join("z"), peer.pubsub.join("y") as topic:
        await meshed(topic)
        await eventually(lambda: node.pubsub.mesh("y"), "a mesh")
        shown = (await caller.get("/v0/pubsub/mesh")).json()
        assert shown == {"meshes": [{"topic": "y", "peers": [name]}, {"topic": "z", "peers": []}]}
        one = (await caller.get("/v0/pubsub/mesh", params={"topic": "y"})).json()
        assert one == {"meshes": [{"topic": "y", "peers": [name]}]}
        assert (await caller.get("/v0/pubsub/peers", params={"topic": "z"})).json()["peers"] == []


async def test_scores(nodes: Nodes, tmp_path: Path) -> None:
    scored, peer = make_node(nodes), await gossip_node(nodes)
    topics = {"x": TopicScoreSettings(first_deliveries_weight=1.0, first_deliveries_decay=0.9)}
    scored.pubsub.set_scores(ScoreSettings(topics=topics), Thresholds())
    await scored.start()
    async with controlled(scored, tmp_path) as caller, scored.pubsub.join("x") as topic:
        assert (await caller.get("/v0/pubsub/scores")).json() == {"peers": []}
        await peer.connect(scored.listen_addrs[0])
        await eventually(lambda: scored.pubsub.peers(), "the peer")
        reader = topic.subscribe()
        async with peer.pubsub.join("x") as other:
            await meshed(topic, other)
            await other.publish(b"new")
            await take(reader, 1)
            (shown,) = (await caller.get("/v0/pubsub/scores")).json()["peers"]
            assert (shown["peer"], shown["score"]) == (str(peer.peer_id), shown["topics_score"])
            assert shown["score"] > 0
            assert [shown[f"{name}_score"] for name in ("application", "ip_colocation", "behaviour")] == [
                0
            ] * 3
            (part,) = shown["topics"]
            assert (part["topic"], part["in_mesh"], part["invalid"]) == ("x", True, 0)
            assert part["first_deliveries"] > 0
            one = await caller.get("/v0/pubsub/scores", params={"peer": str(peer.peer_id)})
            assert one.json()["peers"][0]["peer"] == str(peer.peer_id)


async def test_scores_that_nobody_keeps(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    for query in ({}, {"peer": str(peer.peer_id)}):
        answer = await caller.get("/v0/pubsub/scores", params=query)
        check_problem(answer, 501, "not-available")
        assert "scores are off" in answer.json()["detail"]
        assert "set_scores" in answer.json()["detail"]
    check_problem(await caller.get("/v0/pubsub/scores", params={"peer": STRANGER}), 404, "unknown-peer")
    check_problem(await caller.get("/v0/pubsub/scores", params={"peer": "nobody"}), 400, "usage")


async def test_scores_that_nobody_keeps_of_nobody(caller: httpx.AsyncClient) -> None:
    check_problem(await caller.get("/v0/pubsub/scores"), 501, "not-available")


async def test_stats_and_rates(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    async with (
        reading(caller, topic="x"),
        caller.stream("POST", "/v0/pubsub/rates", json={"interval_ms": 10}) as answer,
    ):
        rates = objects(answer)
        line = await anext(rates)
        assert (line["type"], line["topics"], line["peers"]) == ("rates", 1, 1)
        assert line["interval_s"] >= 0.01
        await node.pubsub.publish("x", b"counted")
        async with asyncio.timeout(PATIENCE_S):
            while not (line := await anext(rates))["per_s"]["published"]:
                pass
        assert line["per_s"]["published"] == pytest.approx(1 / line["interval_s"], rel=0.01)
        stats = (await caller.get("/v0/pubsub/stats")).json()
        assert (stats["topics"], stats["peers"], stats["mesh_peers"]) == (1, 1, 0)
        assert stats["counts"]["published"] == 1
        assert set(stats["counts"]) == set(line["per_s"])
    body = {"interval_ms": 10, "count": 2}
    assert len(lines_of(await caller.post("/v0/pubsub/rates", json=body))) == 2


async def test_metrics(caller: httpx.AsyncClient, node: Node, peer: Node) -> None:
    async with reading(caller, topic="x"):
        await node.pubsub.publish("x", b"counted")
        text = (await caller.get("/v0/metrics")).text
    assert "\nlibp2p_pubsub_messages_published_total 1.0\n" in text
    assert "\nlibp2p_pubsub_topics 1.0\n" in text
    assert "\nlibp2p_pubsub_peers 1.0\n" in text


async def test_messages_that_are_too_long(nodes: Nodes, tmp_path: Path) -> None:
    tight = await gossip_node(nodes, max_rpc_bytes=1024)
    async with controlled(tight, tmp_path) as caller:
        body = {"topic": "x", "data": encoded(bytes(1000))}
        answer = await caller.post("/v0/pubsub/publish", json=body)
        check_problem(answer, 503, "limit")
        assert answer.json()["limit"]["key"] == "gossip.max_rpc_bytes"
        assert "(here 1000 bytes without it)" in answer.json()["detail"]
        many = {"topic": "x", "messages": [encoded(bytes(10)), encoded(bytes(1000)), encoded(bytes(10))]}
        sent, error = lines_of(await caller.post("/v0/pubsub/publish-many", json=many))
        assert sent == {"type": "published", "peers": 0, "size": 10}
        assert (error["type"], error["problem"]["code"]) == ("error", "limit")
        huge = {"topic": "x", "data": encoded(bytes(400_000))}
        check_problem(await caller.post("/v0/pubsub/publish", json=huge), 413, "too-large")


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_no_token(caller: httpx.AsyncClient, method: str, path: str, body: object) -> None:
    del caller.headers["authorization"]
    for shown in ({}, {"authorization": "Bearer wrong"}):
        answer = await caller.request(method, f"/v0/pubsub/{path}", json=body, headers=shown)
        check_problem(answer, 401, "token")


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_pubsub_is_off(nodes: Nodes, tmp_path: Path, method: str, path: str, body: object) -> None:
    quiet = await nodes.start("")
    async with controlled(quiet, tmp_path) as caller:
        answer = await caller.request(method, f"/v0/pubsub/{path}", json=body)
        check_problem(answer, 400, "usage")
        assert answer.json()["detail"] == "pubsub is off: set gossip.enabled to true"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("publish", {"topic": "x", "data": "="}, "not base64"),
        ("publish", {"topic": "x", "data": "é"}, "not base64"),
        ("publish-many", {"topic": "x", "messages": ["", "aGk"]}, "not base64"),
        ("publish", {"topic": "é" * 4000, "data": ""}, "a topic has 1 to 4096 bytes, not 8000"),
        ("publish-many", {"topic": "é" * 4000, "messages": [""]}, "a topic has 1 to 4096 bytes, not 8000"),
        ("subscribe", {"topic": "é" * 4000}, "a topic has 1 to 4096 bytes, not 8000"),
    ],
)
async def test_requests_that_mean_nothing(
    caller: httpx.AsyncClient, node: Node, path: str, body: dict[str, object], message: str
) -> None:
    answer = await caller.post(f"/v0/pubsub/{path}", json=body)
    check_problem(answer, 400, "usage")
    assert message in answer.json()["detail"]
    assert node.pubsub.counts()["published"] == 0
    assert node.pubsub.topics() == []


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("publish", {"topic": "x"}, "data"),
        ("publish", {"topic": "", "data": ""}, "topic"),
        ("publish", {"topic": "x" * 4097, "data": ""}, "topic"),
        ("publish", {"topic": 1, "data": ""}, "topic"),
        ("publish-many", {"topic": "x", "messages": []}, "messages"),
        ("publish-many", {"topic": "x", "messages": [""] * 1025}, "messages"),
        ("subscribe", {}, "topic"),
        ("subscribe", {"topic": "x", "own": "perhaps"}, "own"),
        ("subscribe", {"topic": "x", "more": 1}, "more"),
        ("rates", {"interval_ms": 0}, "interval_ms"),
        ("rates", {"count": -1}, "count"),
    ],
)
async def test_fields_that_do_not_fit(
    caller: httpx.AsyncClient, path: str, body: dict[str, object], field: str
) -> None:
    answer = await caller.post(f"/v0/pubsub/{path}", json=body)
    check_problem(answer, 422, "invalid-request")
    assert field in [each["field"] for each in answer.json()["fields"]]


async def test_a_topic_that_is_no_text(caller: httpx.AsyncClient) -> None:
    for path in ("publish", "subscribe"):
        content = b'{"topic":"\\ud800","data":""}' if path == "publish" else b'{"topic":"\\ud800"}'
        headers = {"content-type": "application/json"}
        answer = await caller.post(f"/v0/pubsub/{path}", content=content, headers=headers)
        check_problem(answer, 422, "invalid-request")


async def test_a_query_that_does_not_fit(caller: httpx.AsyncClient) -> None:
    for path, query in (("peers", "topic="), ("mesh", f"topic={'x' * 4097}"), ("scores", "peer=")):
        check_problem(await caller.get(f"/v0/pubsub/{path}?{query}"), 422, "invalid-request")
