"""Beam's part of the API: its shapes, its errors, its rates; three live nodes behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.api.beam_answers import RATES, WRITING
from mesh.api.server import ControlApi
from mesh.apps.beam.beam import Beam
from tests.apps.beam.beams import Beams, exchange, tcp_service, until
from tests.network.live import TCP, nothing_left


@pytest.fixture
async def beams() -> AsyncIterator[Beams]:
    async with nothing_left(), Beams() as started:
        yield started


@pytest.fixture
async def others(beams: Beams) -> list[Beam]:
    return await beams.network(3, listen=TCP)


@pytest.fixture
async def own(beams: Beams, others: list[Beam]) -> Beam:
    return await beams.beam(TCP, to=others[0])


@pytest.fixture
async def caller(own: Beam, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with ControlApi(own.node, "127.0.0.1:0", tmp_path, beam=own) as api:
        headers = {"authorization": f"Bearer {api.token}"}
        async with httpx.AsyncClient(
            base_url=f"{api.url}/v1", headers=headers, trust_env=False, timeout=20
        ) as client:
            yield client


def check_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"code", "message", "details", "request_id", "timestamp"}
    assert error["code"] == code
    return error


async def test_a_service_is_registered_listed_resolved_and_withdrawn(
    caller: httpx.AsyncClient, own: Beam, others: list[Beam]
) -> None:
    asked = {
        "name": "myapp",
        "service_type": "http",
        "metadata": {"version": "1"},
        "ttl": 600,
        "tags": ["web"],
    }
    answer = await caller.post("/services", json=asked)
    assert answer.status_code == 201, answer.text
    done = answer.json()
    assert done["reached"]
    assert not done["queued"]
    assert done["service"]["service_id"] == "myapp.local"
    assert done["service"]["ttl"] == 600
    assert done["service"]["signature"].startswith("0x")
    assert done["name"]["own"]
    found = (await others[1].find("myapp", fresh=True)).providers
    assert [each.record.peer_id for each in found] == [own.node.peer_id]
    listed = (await caller.get("/services", params={"limit": 1})).json()
    assert listed["total"] == listed["limit"] == 1
    assert listed["services"][0]["own"]
    names = (await caller.get("/names")).json()["names"]
    assert names[0]["trusted"] == str(own.node.peer_id)
    resolved = (await caller.get("/names/myapp/resolve", params={"context": "api"})).json()
    assert resolved["owner"] == str(own.node.peer_id)
    assert resolved["targets"][0].keys() == {"type", "address", "priority", "weight"}
    gone = (await caller.delete("/services/myapp")).json()
    assert gone["service_id"] == "myapp.local"
    assert (await caller.get("/services")).json()["services"] == []
    check_error(await caller.delete("/services/myapp"), 400, "VALIDATION_ERROR")


async def test_a_tunnel_is_opened_and_closed(
    caller: httpx.AsyncClient, own: Beam, others: list[Beam]
) -> None:
    async with tcp_service(b"hello ") as port:
        await others[1].expose("myapp", port, allow=[own.node.peer_id])
        made = await caller.post("/tunnels", json={"name": "myapp"})
        assert made.status_code == 201, made.text
        local = int(made.json()["local"].rpartition(":")[2])
        assert await exchange(local, b"you") == b"hello you"
        shown = (await caller.get(f"/tunnels/{made.json()['id']}")).json()
        assert shown["provider"] == str(others[1].node.peer_id)
        assert shown["providers"][0]["health"]["status"] == "healthy"
        assert shown["providers"][0]["path"] == "direct"
        assert (await caller.delete(f"/tunnels/{made.json()['id']}")).json() == {"id": made.json()["id"]}
        assert (await caller.get("/tunnels")).json() == {"tunnels": []}
    check_error(await caller.delete("/tunnels/99"), 400, "VALIDATION_ERROR")
    check_error(await caller.get("/tunnels/99"), 404, "RESOURCE_NOT_FOUND")


async def test_a_local_port_is_exposed(caller: httpx.AsyncClient, others: list[Beam]) -> None:
    async with tcp_service(b"hello") as port:
        asked: dict[str, Any] = {"name": "myapp", "expose": {"port": port}}
        check_error(await caller.post("/services", json=asked), 400, "VALIDATION_ERROR")
        asked["expose"]["public"] = True
        assert (await caller.post("/services", json=asked)).status_code == 201
        assert await exchange((await others[2].open("myapp")).port, b"") == b"hello"


async def test_names_are_shared_given_and_trusted(
    caller: httpx.AsyncClient, own: Beam, others: list[Beam]
) -> None:
    other = str(others[1].node.peer_id)
    assert (await caller.post("/names", json={"name": "myapp"})).status_code == 201
    changed = (await caller.patch("/names/myapp", json={"ttl": 120, "tags": ["web"]})).json()
    assert (changed["ttl"], changed["tags"], changed["version"]) == (120, ["web"], 2)
    check_error(await caller.patch("/names/other", json={"ttl": 120}), 400, "VALIDATION_ERROR")
    shared = (await caller.post("/names/myapp/allow", json={"peer": other})).json()
    assert shared["providers"] == [other]
    given = (await caller.post("/names/myapp/transfer", json={"to": other})).json()
    claimed = await others[1].names.accept(given["token"])
    assert claimed.own
    await until(lambda: len(own.book.known("myapp")) == 2)
    shown = (await caller.get("/names/myapp")).json()
    assert shown["owner_peer_id"] == other
    assert shown["history"][0]["previousOwner"] == str(own.node.peer_id)
    check_error(await caller.post("/names", json={"name": "myapp"}), 409, "DOMAIN_ALREADY_EXISTS")
    check_error(await caller.delete("/names/myapp"), 400, "VALIDATION_ERROR")
    kept = (await caller.post("/names/myapp/trust", json={"peer": None})).json()
    assert kept["trusted"] is None


async def test_figures(caller: httpx.AsyncClient, own: Beam) -> None:
    found = (await caller.get("/metrics/system")).json()
    assert found["peer_id"] == str(own.node.peer_id)
    assert found["peers_online"] >= 1
    assert found["dht"]["health_percent"] == 100.0
    assert found["cache"].keys() == {"lookups", "hits", "entries"}
    network = (await caller.get("/network")).json()
    assert network["contribution"]["data_relayed"] == 0
    assert [each["code"] for each in network["concerns"]] in ([], ["few-peers"])
    own.abuse.bad_record(own.node.peer_id, 0.0)
    assert (await caller.get("/alerts")).json() == {"alerts": []}
    assert (await caller.get("/outbox")).json() == {"operations": []}
    empty = {"routes": [], "changes": [], "links_known": 0, "forwarded": 0, "forwarded_bytes": 0}
    assert (await caller.get("/routes")).json() == empty
    assert (await caller.delete("/cache")).json() == {"cleared": 0}


async def test_peers_health_and_history(caller: httpx.AsyncClient, own: Beam) -> None:
    listed = (await caller.get("/peers")).json()
    assert listed["total"] >= 1
    assert listed["peers"][0].keys() >= {"peer", "path", "latency_ms", "score", "trust", "health", "services"}
    assert (listed["peers"][0]["score"], listed["peers"][0]["path"]) == (1.0, "direct")
    await own.wellbeing.look()
    told = (await caller.get("/health")).json()
    assert told["own"]["status"] in ("healthy", "degraded")
    assert (told["peers"], told["down"]) == ([], [])
    own.history.note({"lookups": 0.0}, {"peers_online": 1.0}, 0.0)
    own.history.note({"lookups": 3.0}, {"peers_online": 2.0}, 10.0**9)
    assert (await caller.get("/metrics/history", params={"period": "5m"})).json()["period"] == "5m"
    check_error(await caller.get("/metrics/history", params={"period": "1y"}), 422, "VALIDATION_ERROR")


async def test_what_is_wrong_is_said_in_beams_shape(caller: httpx.AsyncClient) -> None:
    error = check_error(await caller.post("/services", json={"nome": "x"}), 422, "VALIDATION_ERROR")
    assert {each["field"] for each in error["details"]["fields"]} == {"name", "nome"}
    check_error(await caller.post("/services", json={"name": "www"}), 400, "VALIDATION_ERROR")
    check_error(
        await caller.post("/services", json={"name": "abc", "service_type": "x"}), 400, "VALIDATION_ERROR"
    )
    check_error(await caller.get("/names/nobody"), 404, "RESOURCE_NOT_FOUND")
    check_error(await caller.get("/names/myapp/resolve", params={"context": "x"}), 422, "VALIDATION_ERROR")
    check_error(await caller.get("/services", params={"limit": 101}), 422, "VALIDATION_ERROR")
    no_token = await caller.get("/services", headers={"authorization": "Bearer x"})
    check_error(no_token, 401, "AUTHENTICATION_FAILED")


async def test_rates_are_told_and_kept(caller: httpx.AsyncClient) -> None:
    answer = await caller.get("/alerts")
    assert answer.headers["x-ratelimit-limit"] == "1000"
    assert answer.headers["x-ratelimit-burst"] == "100"
    assert int(answer.headers["x-ratelimit-remaining"]) <= 99
    answers = [await caller.delete("/cache") for _ in range(RATES[WRITING].burst + 5)]
    burst = RATES[WRITING].burst
    assert [each.status_code for each in answers[:burst]] == [200] * burst
    refused = next(each for each in answers if each.status_code != 200)
    check_error(refused, 429, "RATE_LIMIT_EXCEEDED")
    assert (await caller.get("/alerts")).status_code == 200


async def test_tunnels_and_names_have_rates_of_their_own(caller: httpx.AsyncClient) -> None:
    for path, most, burst, wait_s in (("/tunnels", "10", 2, "6"), ("/names", "50", 5, "72")):
        answers = [await caller.post(path, json={"name": "www"}) for _ in range(burst + 1)]
        assert {each.headers["x-ratelimit-limit"] for each in answers} == {most}
        assert [each.status_code for each in answers] == [400] * burst + [429]
        assert answers[-1].headers["retry-after"] == wait_s
    assert (await caller.delete("/cache")).headers["x-ratelimit-limit"] == "100"


async def test_a_daemon_without_beam_says_so(beams: Beams) -> None:
    node = await beams.start()
    async with (
        ControlApi(node, "127.0.0.1:0") as api,
        httpx.AsyncClient(base_url=api.url, trust_env=False) as client,
    ):
        answer = await client.get("/v1/services", headers={"authorization": f"Bearer {api.token}"})
        check_error(answer, 501, "NOT_AVAILABLE")
