"""The agent API's routes: shapes, refusals, and what is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh.apps.agent.records import FoundPeer, ServiceInfo
from mesh.node import Node
from tests.api.agent_double import TOKEN
from tests.api.agent_rig import ALICE, BOB, Rig, rigged

PAID = {"peerId": BOB, "txid": "ab", "amount": 1, "toAddress": "1Boat"}
POEM = {"id": "poem", "name": "Poem", "description": "Poems", "price": 50, "currency": "bsv"}


@pytest.fixture
async def rig(node: Node) -> AsyncIterator[Rig]:
    async with rigged(node) as made:
        yield made


async def test_status_has_the_stock_fields_first_and_those_promised_behind(rig: Rig, peer: Node) -> None:
    await rig.agent.node.connect(peer.listen_addrs[0])
    status = await rig.json("GET", "/status")
    assert list(status)[:4] == ["peerId", "relayAddress", "isHealthy", "connectedPeers"]
    assert status["peerId"] == str(rig.agent.node.peer_id)
    assert (status["relayAddress"], status["isHealthy"], status["connectedPeers"]) == (None, True, 1)
    assert (status["relayConnected"], status["relayReservation"], status["uptime"]) == (False, False, 0)
    assert await rig.json("GET", "/peers") == {"peers": [{"peerId": str(peer.peer_id)}]}


async def test_health_is_503_with_the_reasons(rig: Rig, peer: Node) -> None:
    sick = await rig.json("GET", "/health", status=503)
    assert (sick["isHealthy"], sick["errors"]) == (False, ["no connected peer"])
    await rig.agent.node.connect(peer.listen_addrs[0])
    well = await rig.json("GET", "/health")
    assert (well["isHealthy"], well["errors"], well["connectedPeers"]) == (True, [], 1)
    assert well["lastCheck"].endswith("Z")


async def test_a_message_to_a_reached_peer_has_left(rig: Rig) -> None:
    rig.agent.reached.add(BOB)
    sent = await rig.json("POST", "/send", {"peerId": BOB, "message": "hello"})
    own = str(rig.agent.node.peer_id)
    assert sent == {
        "success": True,
        "from": own,
        "peerId": BOB,
        "messageId": sent["messageId"],
        "state": "stored",
    }


async def test_a_message_to_a_peer_out_of_reach_is_queued(rig: Rig) -> None:
    body = {"peerId": BOB, "message": "hello", "waitMs": 20}
    queued = await rig.json("POST", "/send", body, status=202)
    assert (queued["success"], queued["state"]) == (True, "queued")
    way = await rig.json("GET", f"/messages/{queued['messageId']}/why")
    assert [each["state"] for each in way["ways"]] == ["queued"]
    logged = (await rig.json("GET", "/messages"))["messages"]
    assert [(each["messageId"], each["state"]) for each in logged] == [(queued["messageId"], "queued")]


async def test_a_request_that_is_not_answered_is_no_success(rig: Rig) -> None:
    asked = {"peerId": BOB, "service": "poem", "params": {"about": "rain"}, "timeoutMs": 5}
    answer = await rig.json("POST", "/request", asked)
    assert (answer["success"], answer["result"], "imeout" in answer["error"]) == (False, None, True)
    rig.agent.reached.add(BOB)
    answer = await rig.json("POST", "/request", asked)
    assert answer == {"success": True, "result": {"about": "rain"}, "error": None}


@pytest.mark.parametrize("wait_ms", [0, 10])
async def test_a_caller_may_say_how_long_it_waits(rig: Rig, wait_ms: int) -> None:
    body = {"peerId": BOB, "txid": "ab" * 32, "amount": 7, "toAddress": "1Boat", "waitMs": wait_ms}
    answer = await rig.json("POST", "/pay", body, status=202)
    assert (answer["txid"], answer["amount"], answer["beef"]) == ("ab" * 32, 7, False)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("POST", "/send", {"peerId": BOB}, 400, "Missing peerId or message"),
        ("POST", "/send", {"peerId": BOB, "message": 5}, 400, "Missing peerId or message"),
        ("POST", "/send", {"peerId": BOB, "message": ""}, 400, "Missing peerId or message"),
        ("POST", "/send", {"peerId": "notapeer", "message": "x"}, 400, "no peer id"),
        ("POST", "/send", {"peerId": BOB, "message": "x" * (1024 * 1024 + 1)}, 413, "bytes"),
        ("POST", "/pay", {**PAID, "beef": "ab" * 600_000}, 413, "bytes"),
        ("POST", "/send", {"peerId": BOB, "message": "x", "waitMs": -1}, 400, "waitMs"),
        ("POST", "/send", [], 400, "object"),
        ("POST", "/pay", {"peerId": BOB}, 400, "Missing required fields: peerId, txid, amount, toAddress"),
        ("POST", "/pay", {"peerId": BOB, "txid": "a", "amount": -1, "toAddress": "b"}, 400, "amount"),
        ("PUT", "/config/name", {}, 400, "Missing name field"),
        ("PUT", "/config/name", {"name": "x" * 257}, 400, "name"),
        ("PUT", f"/peers/tracked/{BOB}/name", {"name": 1}, 400, "Missing name field"),
        ("PUT", f"/peers/tracked/{BOB}/notes", {}, 400, "Missing notes field"),
        ("PUT", f"/peers/tracked/{BOB}/tags", {"tags": "a"}, 400, "Tags must be an array"),
        ("PUT", f"/peers/tracked/{BOB}/tags", {"tags": ["x" * 65]}, 400, "tags.0"),
        ("GET", f"/peers/tracked/{'x' * 129}", None, 400, "peer_id"),
        ("POST", "/services", {"id": "a", "name": "b", "currency": "c"}, 400, "Service must have"),
        ("POST", "/services", {**POEM, "price": "50"}, 400, "price"),
        ("GET", "/messages?search=%22", None, 400, "no search"),
        ("GET", "/messages?direction=sideways", None, 400, "direction"),
        ("GET", "/messages?since=yesterday", None, 400, "since"),
        ("GET", f"/messages?since={2**70}", None, 400, "since"),
        ("GET", "/messages/none/why", None, 404, "Message not found"),
        ("POST", "/messages/none/resumed", {"token": "x"}, 403, "token"),
        ("POST", "/messages/none/resumed", {}, 400, "Missing token"),
        ("POST", "/peers/connect", {"multiaddr": "nowhere"}, 400, ""),
        ("POST", "/peers/connect", {"multiaddr": f"/ip4/127.0.0.1/tcp/1/p2p/{BOB}"}, 424, ""),
        ("GET", "/nowhere", None, 404, "Not found"),
        ("GET", "/status/", None, 404, "Not found"),
        ("POST", "/status", {}, 404, "Not found"),
        ("GET", "/status?x=1", None, 404, "Not found"),
        ("GET", "/events?events=gossip", None, 400, "events"),
    ],
)
async def test_each_refusal_names_what_was_wrong(
    rig: Rig, method: str, path: str, body: Any, status: int, error: str
) -> None:
    answer = await rig.json(method, path, body, status)
    assert list(answer) == ["error"]
    assert error in answer["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"{bad json",
        b"",
        b"nope",
        b"\xff\xfe",
        b'{"peerId": NaN}',
        b"[" * 100_000,
        b'{"a":' * 1000,
        b'{"a": 1} {}',
    ],
)
async def test_what_is_no_json_is_400(rig: Rig, body: bytes) -> None:
    for method, path in (("POST", "/send"), ("PUT", "/config/name"), ("POST", "/services")):
        answer = await rig.caller.request(method, path, content=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]


async def test_a_body_may_be_called_anything(rig: Rig) -> None:
    answer = await rig.caller.put(
        "/config/name", content=b'{"name": "Alpha2"}', headers={"content-type": "text/plain"}
    )
    assert answer.json() == {"success": True, "name": "Alpha2"}
    assert await rig.json("GET", "/config/name") == {"name": "Alpha2"}


async def test_a_lone_surrogate_is_stored_as_what_can_be_written(rig: Rig) -> None:
    answer = await rig.caller.put(f"/peers/tracked/{BOB}/notes", content=b'{"notes": "half \\ud83d of one"}')
    assert answer.json()["notes"] == "half \ufffd of one"


async def test_the_address_book_keeps_what_it_is_told(rig: Rig) -> None:
    path = f"/peers/tracked/{BOB}"
    assert await rig.json("GET", path, status=404) == {"error": "Peer not found"}
    assert (await rig.json("PUT", f"{path}/name", {"name": "Bob"}))["name"] == "Bob"
    assert (await rig.json("PUT", f"{path}/notes", {"notes": ""}))["notes"] == ""
    assert (await rig.json("PUT", f"{path}/tags", {"tags": ["a", "b"]}))["tags"] == ["a", "b"]
    assert (await rig.json("GET", path))["tags"] == ["a", "b"]
    assert [each["name"] for each in (await rig.json("GET", "/peers/tracked?tag=b"))["peers"]] == ["Bob"]
    assert (await rig.json("GET", "/peers/tracked?online=true"))["peers"] == []
    for _ in range(2):
        gone = await rig.json("DELETE", path)
        assert gone == {"success": True, "peerId": BOB, "message": "Peer removed from registry"}
    assert (await rig.json("GET", "/peers/tracked"))["peers"] == []


async def test_services_are_taken_in_the_readmes_form_too(rig: Rig) -> None:
    readme = {"name": "poem-generation", "description": "x", "pricing": {"baseSatoshis": 50}}
    answer = await rig.json("POST", "/services", readme)
    assert answer["service"] == readme
    extra = {"id": "free", "name": "Free", "price": 0, "currency": "zzz", "extra": {"k": 1}}
    await rig.json("POST", "/services", extra)
    listed = await rig.json("GET", "/services")
    assert listed["count"] == 2
    assert listed["services"][0]["id"] == "poem-generation"
    assert listed["services"][0]["price"] == 50
    assert listed["services"][1] == extra
    await rig.json("POST", "/services", {**POEM, "id": "a/b"})
    await rig.json("DELETE", "/services/a%2Fb")
    assert (await rig.json("DELETE", "/services/doesnotexist"))["message"] == "Service unregistered"
    assert (await rig.json("GET", "/discovery/stats"))["registeredServices"] == 2


async def test_discover_finds_by_id_peer_and_text_and_counts(rig: Rig) -> None:
    poem = ServiceInfo("poem", "Poems to order", 5, "bsv")
    rig.agent.found = [
        FoundPeer(BOB, ("/ip4/127.0.0.1/tcp/1",), (poem,), "", 1),
        FoundPeer(ALICE, (), (), "", 2),
    ]
    everybody = await rig.json("GET", "/discover")
    assert (everybody["total"], everybody["query"]) == (2, {})
    one = await rig.json("GET", "/discover?service=poem")
    assert (one["total"], one["query"], one["peers"][0]["peerId"]) == (1, {"service": "poem"}, BOB)
    assert (await rig.json("GET", "/discover?service=Poems%20to%20order"))["total"] == 0
    assert (await rig.json("GET", "/discover?text=ORDER"))["total"] == 1
    assert (await rig.json("GET", f"/discover?peerId={ALICE}"))["peers"][0]["lastSeen"] == 2


async def test_unread_messages_are_counted_until_marked(rig: Rig) -> None:
    rows = [(await rig.agent.receive(BOB, text)).id for text in ("one", "two", "three")]
    (talk,) = (await rig.json("GET", "/messages/conversations"))["conversations"]
    assert (talk["lastMessage"], talk["messageCount"], talk["unreadCount"]) == ("three", 3, 3)
    marked = await rig.json("POST", f"/messages/{BOB}/read", {"upTo": rows[1]})
    assert marked == {"success": True, "peerId": BOB, "changed": 2}
    assert (await rig.json("GET", "/messages?unread=true"))["total"] == 1
    assert (await rig.json("POST", f"/messages/{BOB}/read"))["changed"] == 1
    stats = await rig.json("GET", "/messages/stats")
    assert (stats["totalInbound"], stats["totalUnread"], stats["uniquePeers"]) == (3, 0, 1)


async def test_limits_are_read_as_the_stock_daemon_reads_them(rig: Rig) -> None:
    for number in range(3):
        await rig.agent.receive(BOB, str(number))
    for text, limit in (("abc", 50), ("-1", 50), ("2", 2), ("0", 0), ("99999", 500), ("", 50)):
        page = await rig.json("GET", f"/messages?limit={text}")
        assert (page["limit"], len(page["messages"]), page["total"]) == (limit, min(limit, 3), 3)


async def test_the_woken_agent_confirms_with_its_token(rig: Rig) -> None:
    record = await rig.agent.receive(BOB, "wake up")
    path = f"/messages/{record.message_id}/resumed"
    assert "token" in (await rig.json("POST", path, {"token": "wrong"}, status=403))["error"]
    for calls in (1, 2):
        told = await rig.json("POST", path, {"token": TOKEN})
        assert (told["peerId"], told["calls"]) == (BOB, calls)


async def test_a_store_that_fails_is_503(rig: Rig) -> None:
    await rig.agent.store.close()
    for method, path, body in (
        ("POST", "/send", {"peerId": BOB, "message": "x"}),
        ("GET", "/messages", None),
        ("PUT", "/config/name", {"name": "x"}),
    ):
        assert "are not open" in (await rig.json(method, path, body, status=503))["error"]


async def test_many_calls_at_a_time_are_answered(rig: Rig) -> None:
    rig.agent.reached.add(BOB)
    bodies = [{"peerId": BOB, "message": str(number)} for number in range(50)]
    answers = await asyncio.gather(*(rig.json("POST", "/send", body) for body in bodies))
    assert len({each["messageId"] for each in answers}) == 50
    assert (await rig.json("GET", "/messages?limit=1"))["total"] == 50


async def test_the_document_describes_every_route(rig: Rig) -> None:
    document = await rig.json("GET", "/openapi.json")
    operations = [f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item]
    assert len(operations) == len(set(operations)) >= 27
    for path in ("/send", "/pay", "/services", "/request"):
        schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert schema["type"] == "object"
    assert "$defs" not in json.dumps(document)
