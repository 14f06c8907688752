"""Who is let in: token, Host header, size of the body; and the shape of every refusal."""

from __future__ import annotations

import httpx
import pytest

from mesh.api import guard
from mesh.api.server import ControlApi
from mesh.config import Config, NetworkSection
from mesh.config.sections import ApiSection
from mesh.node import Node

ROUTES = [
    ("GET", "/openapi.json"),
    ("GET", "/v0/id"),
    ("GET", "/v0/stats"),
    ("GET", "/v0/metrics"),
    ("GET", "/v0/events"),
    ("GET", "/v0/swarm/peers"),
    ("GET", "/v0/swarm/addrs"),
    ("GET", "/v0/swarm/limits"),
    ("GET", "/v0/swarm/deny"),
    ("DELETE", "/v0/swarm/allow"),
    ("POST", "/v0/swarm/connect"),
    ("POST", "/v0/swarm/disconnect"),
    ("POST", "/v0/ping"),
    ("POST", "/v0/identify"),
    ("POST", "/v0/perf"),
    ("GET", "/v0/bootstrap"),
    ("DELETE", "/v0/bootstrap"),
    ("POST", "/v0/bootstrap/check"),
    ("GET", "/v0/dht/table"),
    ("POST", "/v0/dht/get"),
    ("POST", "/v0/dht/query"),
    ("GET", "/nowhere"),
]


def check_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:mesh:problem:{code}")
    assert body["title"]
    assert body["detail"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer wrong", "Basic dTpw", "Bearer \xe9"])
async def test_no_token(caller: httpx.AsyncClient, method: str, path: str, shown: str) -> None:
    del caller.headers["authorization"]
    answer = await caller.request(
        method, path, headers=[(b"authorization", shown.encode("latin-1"))] if shown else []
    )
    check_problem(answer, 401, "token")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_in_the_address_does_not_count(api: ControlApi, caller: httpx.AsyncClient) -> None:
    del caller.headers["authorization"]
    check_problem(await caller.get(f"/v0/id?token={api.token}"), 401, "token")


async def test_health_needs_no_token(caller: httpx.AsyncClient) -> None:
    del caller.headers["authorization"]
    answer = await caller.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4003", "127.0.0.1.evil.example", "", "[::1", "a b"]
)
@pytest.mark.parametrize("path", ["/health", "/v0/id"])
async def test_a_wrong_host(caller: httpx.AsyncClient, host: str, path: str) -> None:
    check_problem(await caller.get(path, headers={"host": host}), 403, "host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:4003"])
async def test_hosts_of_this_machine(caller: httpx.AsyncClient, host: str) -> None:
    assert (await caller.get("/v0/id", headers={"host": host})).status_code == 200


async def test_no_page_of_another_origin_may_read(caller: httpx.AsyncClient) -> None:
    origin = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answers = [await caller.get("/v0/id", headers=origin), await caller.options("/v0/ping", headers=origin)]
    assert [answer.status_code for answer in answers] == [200, 405]
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_too_large(caller: httpx.AsyncClient, chunked: bool) -> None:
    async def pieces() -> object:
        for _ in range(guard.MAX_BODY_BYTES // 1024 + 1):
            yield bytes(1024)

    content = pieces() if chunked else bytes(guard.MAX_BODY_BYTES + 1)
    check_problem(await caller.post("/v0/ping", content=content), 413, "too-large")  # type: ignore[arg-type]


async def test_a_body_that_never_ends(
    caller: httpx.AsyncClient, api: ControlApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setattr(guard, "BODY_TIMEOUT_S", 0.05)
    host, _, port = api.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v0/ping HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {api.token}\r\nContent-Length: 9\r\n\r\n{{"
    writer.write(head.encode())
    async with asyncio.timeout(10):
        assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_bad_json(caller: httpx.AsyncClient) -> None:
    answer = await caller.post("/v0/ping", content=b"{", headers={"content-type": "application/json"})
    check_problem(answer, 400, "malformed-json")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v0/ping", {}, "target"),
        ("/v0/ping", {"target": 7}, "target"),
        ("/v0/ping", {"target": ""}, "target"),
        ("/v0/ping", {"target": "x" * 3000}, "target"),
        ("/v0/ping", {"target": "x", "count": -1}, "count"),
        ("/v0/ping", {"target": "x", "count": 10**9}, "count"),
        ("/v0/ping", {"target": "x", "interval_ms": -1}, "interval_ms"),
        ("/v0/ping", {"target": "x", "more": 1}, "more"),
        ("/v0/perf", {"target": "x", "upload_bytes": 2**63}, "upload_bytes"),
        ("/v0/perf", {"target": "x", "download_bytes": "many"}, "download_bytes"),
        ("/v0/swarm/connect", {"addr": None}, "addr"),
        ("/v0/swarm/disconnect", [], "body"),
        ("/v0/swarm/deny", {"rule": []}, "rule"),
    ],
)
async def test_fields_that_do_not_fit(caller: httpx.AsyncClient, path: str, body: object, field: str) -> None:
    answer = await caller.post(path, json=body)
    check_problem(answer, 422, "invalid-request")
    assert field in [each["field"] for each in answer.json()["fields"]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v0/ping", {"target": "nonsense"}),
        ("/v0/ping", {"target": "/ip4/300.0.0.1/tcp/1"}),
        ("/v0/identify", {"target": "/ip4/127.0.0.1/tpc/1"}),
        ("/v0/perf", {"target": "Qm"}),
        ("/v0/swarm/connect", {"addr": "\x00"}),
        ("/v0/swarm/disconnect", {"peer": "/ip4/127.0.0.1/tcp/1"}),
        ("/v0/swarm/deny", {"rule": "10.0.0.1/8"}),
        ("/v0/swarm/allow", {"rule": "nobody"}),
    ],
)
async def test_text_that_means_nothing(caller: httpx.AsyncClient, path: str, body: object) -> None:
    check_problem(await caller.post(path, json=body), 400, "usage")


async def test_other_methods_and_paths(caller: httpx.AsyncClient) -> None:
    check_problem(await caller.get("/v0/ping"), 405, "method-not-allowed")
    check_problem(await caller.get("/v0/nothing"), 404, "not-found")
    check_problem(await caller.get("/docs"), 404, "not-found")


async def test_open_metrics() -> None:
    config = Config(network=NetworkSection(listen=()), api=ApiSection(metrics="open"))
    async with (
        Node(config) as node,
        ControlApi(node, "127.0.0.1:0") as api,
        httpx.AsyncClient(base_url=api.url, trust_env=False) as client,
    ):
        assert (await client.get("/v0/metrics")).status_code == 200
        check_problem(await client.get("/v0/stats"), 401, "token")
