"""The DHT's routes against a network of live nodes."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path

import httpx
import pytest

from mesh.api.server import ControlApi
from mesh.codecs.kademlia import Message, MessageType
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import RAW, Cid
from mesh.multiformats.multihash import Multihash
from mesh.node import Node
from mesh.protocols.kademlia import ipns
from tests.api.test_guard import check_problem
from tests.api.test_routes import lines_of
from tests.network.live import MEMORY, Nodes, eventually
from tests.services.kademlia.network import PREFIX, dht_node, multihash, network

COUNT = 6
STRANGER = str(PeerId.from_public_key(PrivateKey.from_seed(bytes(32)).public))


@pytest.fixture
async def members(nodes: Nodes) -> list[Node]:
    return await network(nodes, COUNT)


@pytest.fixture
async def node(members: list[Node]) -> Node:
    return members[1]


def cid(key: bytes) -> str:
    return str(Cid(1, RAW, Multihash.from_bytes(key)))


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


async def test_find_peer(caller: httpx.AsyncClient, members: list[Node]) -> None:
    wanted = members[4]
    for name in (str(wanted.peer_id), wanted.peer_id.to_cid(), f"/p2p/{wanted.peer_id}"):
        found = (await caller.post("/v0/dht/find-peer", json={"peer": name})).json()
        assert found == {
            "peer": str(wanted.peer_id),
            "addrs": [str(wanted.own_addresses[0])],
            "connected": True,
        }


async def test_what_nobody_has(caller: httpx.AsyncClient) -> None:
    check_problem(await caller.post("/v0/dht/find-peer", json={"peer": STRANGER}), 404, "not-found")
    answer = await caller.post("/v0/dht/get", json={"key": f"/ipns/{STRANGER}"})
    check_problem(answer, 404, "not-found")
    assert answer.json()["detail"] == f"nobody who was asked holds a value of /ipns/{STRANGER}"
    assert lines_of(await caller.post("/v0/dht/find-providers", json={"key": cid(multihash())})) == []


async def test_provide_find_withdraw(caller: httpx.AsyncClient, members: list[Node], node: Node) -> None:
    key = multihash()
    done = (await caller.post("/v0/dht/provide", json={"key": cid(key)})).json()
    assert (done["key"], done["asked"], done["reached"]) == (cid(key), COUNT - 1, True)
    assert done["refused"] == []
    assert set(done["accepted"]) <= {str(each.peer_id) for each in members}
    await members[2].dht.provide(key)
    await eventually(lambda: all(len(each.dht.providers) == 2 for each in members), "both announcements")
    found = lines_of(await caller.post("/v0/dht/find-providers", json={"key": key.hex()}))
    assert {each["type"] for each in found} == {"provider"}
    assert {each["peer"] for each in found} == {str(node.peer_id), str(members[2].peer_id)}
    assert all(each["addrs"] for each in found)
    (first,) = lines_of(await caller.post("/v0/dht/find-providers", json={"key": cid(key), "count": 1}))
    assert first in found
    assert (await caller.post("/v0/dht/withdraw", json={"key": cid(key)})).json() == {"key": cid(key)}
    assert [each.peer for each in await node.dht.providers.get(key)] == [members[2].peer_id]


async def test_values_of_any_bytes(caller: httpx.AsyncClient, members: list[Node]) -> None:
    value = bytes(range(256))
    put = {"key": "/v/one", "value": encoded(value)}
    done = (await caller.post("/v0/dht/put", json=put)).json()
    assert (done["asked"], done["reached"]) == (COUNT - 1, True)
    got = (await caller.post("/v0/dht/get", json={"key": "/v/one"})).json()
    assert got == {"key": "/v/one", "value": encoded(value), "encoding": "base64", "size": 256}
    assert await members[4].dht.get_value(b"/v/one", quorum=1) == value
    raw = {"key": b"/v/\0".hex(), "hex": True}
    assert (await caller.post("/v0/dht/put", json={**raw, "value": ""})).json()["reached"]
    assert (await caller.post("/v0/dht/get", json={**raw, "quorum": 1})).json()["size"] == 0


async def test_values_of_peers(caller: httpx.AsyncClient, members: list[Node]) -> None:
    key = PrivateKey.generate()
    name = PeerId.from_public_key(key.public)
    record = ipns.create(key, b"/ipfs/somewhere", 1, time.time() + 3600)
    stored = {"key": f"/ipns/{name.to_cid('base36')}", "value": encoded(record)}
    assert (await caller.post("/v0/dht/put", json=stored)).json()["reached"]
    assert await members[3].dht.get_value(ipns.key_of(name)) == record
    public = encoded(key.public.to_protobuf())
    assert (await caller.post("/v0/dht/put", json={"key": f"/pk/{name}", "value": public})).json()["reached"]
    wrong = {"key": f"/pk/{STRANGER}", "value": public}
    check_problem(await caller.post("/v0/dht/put", json=wrong), 400, "usage")


async def test_a_long_value(caller: httpx.AsyncClient) -> None:
    value = bytes(200_000)
    put = {"key": "/v/long", "value": encoded(value)}
    assert (await caller.post("/v0/dht/put", json=put)).json()["reached"]
    assert (await caller.post("/v0/dht/get", json={"key": "/v/long"})).json()["value"] == encoded(value)
    too_long = {"key": "/v/long", "value": encoded(bytes(300_000))}
    check_problem(await caller.post("/v0/dht/put", json=too_long), 503, "limit")


async def test_closest(caller: httpx.AsyncClient, members: list[Node], node: Node) -> None:
    target = members[3].peer_id
    found = (await caller.post("/v0/dht/closest", json={"key": str(target)})).json()["peers"]
    assert [each["peer"] for each in found] == [
        str(each) for each in await node.dht.closest_peers(target.to_bytes())
    ]
    assert (found[0]["peer"], found[0]["prefix_length"]) == (str(target), 256)
    assert all(0 <= each["prefix_length"] < 256 for each in found[1:])
    assert found[0]["addrs"] == [str(members[3].own_addresses[0])]


async def test_query(caller: httpx.AsyncClient, members: list[Node]) -> None:
    lines = lines_of(await caller.post("/v0/dht/query", json={"key": "/v/anything"}))
    *steps, ended, result = lines
    kinds = [each["type"] for each in steps]
    assert kinds[0] == "asked"
    assert kinds.count("asked") == kinds.count("answered") == COUNT - 1
    asked = steps[0]
    assert set(asked) == {
        *("type", "at_ms", "hop", "peer", "prefix_length"),
        *("path", "named_by", "timeout_ms"),
    }
    assert (asked["hop"], asked["named_by"]) == (1, None)
    answered = next(each for each in steps if each["type"] == "answered")
    assert answered["rtt_ms"] > 0
    assert answered["named"] > 0
    assert [each["at_ms"] for each in steps] == sorted(each["at_ms"] for each in steps)
    assert (ended["type"], ended["ending"]) == ("ended", "converged")
    assert result["type"] == "result"
    assert len(result["peers"]) == COUNT - 1


async def test_a_step_that_failed(caller: httpx.AsyncClient, members: list[Node]) -> None:
    dead = members[5]
    await dead.stop()
    lines = lines_of(await caller.post("/v0/dht/query", json={"key": str(dead.peer_id)}))
    (failed,) = [each for each in lines if each["type"] == "failed"]
    assert failed["peer"] == str(dead.peer_id)
    assert failed["cause"]


async def test_a_caller_that_leaves_ends_the_lookup(caller: httpx.AsyncClient, members: list[Node]) -> None:
    released = asyncio.Event()

    async def silent(asker: PeerId, message: Message) -> bytes:
        await released.wait()
        return b""

    for each in members:
        each.dht._server._answers = dict.fromkeys(MessageType, silent)

    def lookups() -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "dht query"]

    async with caller.stream("POST", "/v0/dht/query", json={"key": "/v/anything"}) as answer:
        assert json.loads(await anext(answer.aiter_lines()))["type"] == "asked"
        assert lookups()
    await eventually(lambda: not lookups(), "the end of the lookup")
    released.set()


async def test_table_status_refresh(caller: httpx.AsyncClient, members: list[Node], node: Node) -> None:
    shown = (await caller.get("/v0/dht/table")).json()
    assert shown["size"] == COUNT - 1
    entries = [each for bucket in shown["buckets"] for each in bucket["entries"]]
    assert {each["peer"] for each in entries} == {str(each.peer_id) for each in members if each is not node}
    assert all(each["number"] == 255 - each["prefix_length"] for each in shown["buckets"])
    assert all(each["useful_age_s"] is not None and each["useful_age_s"] >= 0 for each in entries)
    assert all(each["addrs"] and each["failures"] == 0 for each in entries)
    await members[2].dht.put_value(b"/v/one", b"1")
    await node.dht.provide(multihash())
    await eventually(lambda: len(node.dht.records) == 1)
    status = (await caller.get("/v0/dht/status")).json()
    assert (status["mode"], status["setting"]) == ("server", "server")
    assert status["protocol"] == f"{PREFIX}/kad/1.0.0"
    assert (status["table_size"], status["buckets"]) == (COUNT - 1, len(shown["buckets"]))
    assert status["network_rtt_ms"] > 0
    assert status["values"]["held"] == status["values"]["of_others"] == 1
    assert (status["providers"]["held"], status["providers"]["of_others"]) == (1, 0)
    assert (await caller.post("/v0/dht/refresh")).json() == {"table_size": COUNT - 1}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("find-peer", {"peer": "nobody"}, "nobody"),
        ("find-providers", {"key": "nothing"}, "neither a CID nor a multihash"),
        ("provide", {"key": "12"}, "no multihash in hexadecimal"),
        ("withdraw", {"key": "/v/one"}, "neither a CID nor a multihash"),
        ("get", {"key": "one"}, "/namespace/rest"),
        ("get", {"key": "/unknown/one"}, "(known: pk, ipns, v)"),
        ("get", {"key": "xy", "hex": True}, "not hexadecimal"),
        ("put", {"key": "/ipns/nobody", "value": ""}, "no peer id"),
        ("put", {"key": "/v/one", "value": "="}, "not base64"),
        ("put", {"key": "/unknown/one", "value": ""}, "no validator"),
        ("closest", {"key": "nothing"}, "neither a CID"),
        ("query", {"key": "nothing"}, "neither a CID"),
    ],
)
async def test_requests_that_mean_nothing(
    caller: httpx.AsyncClient, path: str, body: dict[str, object], message: str
) -> None:
    answer = await caller.post(f"/v0/dht/{path}", json=body)
    check_problem(answer, 400, "usage")
    assert message in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("find-peer", {}, "peer"),
        ("find-providers", {"key": "x", "count": -1}, "count"),
        ("provide", {"key": ""}, "key"),
        ("get", {"key": "/v/x", "quorum": -1}, "quorum"),
        ("get", {"key": "/v/x", "more": 1}, "more"),
        ("put", {"key": "/v/x"}, "value"),
        ("closest", {"key": "x", "hex": "perhaps"}, "hex"),
    ],
)
async def test_fields_that_do_not_fit(
    caller: httpx.AsyncClient, path: str, body: dict[str, object], field: str
) -> None:
    answer = await caller.post(f"/v0/dht/{path}", json=body)
    check_problem(answer, 422, "invalid-request")
    assert field in [each["field"] for each in answer.json()["fields"]]


async def test_nobody_to_ask(nodes: Nodes, tmp_path: Path) -> None:
    lonely = await dht_node(nodes)
    async with (
        ControlApi(lonely, "127.0.0.1:0", tmp_path) as api,
        httpx.AsyncClient(
            base_url=api.url, headers={"authorization": f"Bearer {api.token}"}, trust_env=False
        ) as caller,
    ):
        for path, body in (
            ("find-peer", {"peer": STRANGER}),
            ("get", {"key": "/v/none"}),
            ("closest", {"key": "/v/none"}),
        ):
            check_problem(await caller.post(f"/v0/dht/{path}", json=body), 503, "nobody-to-ask")
        (line,) = lines_of(await caller.post("/v0/dht/find-providers", json={"key": cid(multihash())}))
        assert (line["type"], line["problem"]["code"]) == ("error", "nobody-to-ask")
        *_, line = lines_of(await caller.post("/v0/dht/query", json={"key": "/v/none"}))
        assert (line["type"], line["problem"]["code"]) == ("error", "nobody-to-ask")
        put = (await caller.post("/v0/dht/put", json={"key": "/v/one", "value": ""})).json()
        assert (put["asked"], put["reached"]) == (0, False)
        assert (await caller.get("/v0/dht/table")).json() == {"size": 0, "buckets": []}


async def test_the_dht_is_off(nodes: Nodes, tmp_path: Path) -> None:
    quiet = await nodes.start(MEMORY)
    async with (
        ControlApi(quiet, "127.0.0.1:0", tmp_path) as api,
        httpx.AsyncClient(
            base_url=api.url, headers={"authorization": f"Bearer {api.token}"}, trust_env=False
        ) as caller,
    ):
        for method, path, body in (
            ("GET", "status", None),
            ("GET", "table", None),
            ("POST", "refresh", None),
            ("POST", "query", {"key": "/v/one"}),
            ("POST", "find-providers", {"key": cid(multihash())}),
            ("POST", "put", {"key": "/v/one", "value": ""}),
        ):
            answer = await caller.request(method, f"/v0/dht/{path}", json=body)
            check_problem(answer, 400, "usage")
            assert "kademlia.mode" in answer.json()["detail"]


async def test_metrics(caller: httpx.AsyncClient, members: list[Node], node: Node) -> None:
    await node.dht.put_value(b"/v/one", b"1")
    await members[2].dht.closest_peers(b"anything")
    text = (await caller.get("/v0/metrics")).text
    assert f"\nmesh_kademlia_table_peers {COUNT - 1}.0\n" in text
    assert '\nmesh_kademlia_held{kind="values"} 1.0\n' in text
    assert '\nmesh_kademlia_lookups_total{ending="converged"} ' in text
    assert f'\nlibp2p_io_dht_kad_sent_requests_total{{message_type="PUT_VALUE"}} {COUNT - 1}.0\n' in text
    assert '\nlibp2p_io_dht_kad_received_messages_total{message_type="FIND_NODE"} ' in text
