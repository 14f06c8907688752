"""Who is let in to the agent API: Host, Origin, token, size of the body."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mesh.api import agent_guard
from mesh.api.agent_server import AgentApi
from mesh.api.binding import is_loopback
from mesh.node import Node
from tests.api.agent_double import PlainAgent, configured
from tests.api.agent_rig import BOB, Rig, calling, rigged


@pytest.fixture
async def rig(node: Node, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(node, tmp_path, api_origins=("https://pages.example",)) as made:
        yield made


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4003", "127.0.0.1.evil.example", "", "192.168.1.5"]
)
async def test_another_host_is_refused(rig: Rig, host: str) -> None:
    answer = await rig.caller.get("/status", headers={"host": host})
    assert answer.status_code == 403
    assert "Host" in answer.json()["error"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:4003", "[::1]:4003", "pages.example"]
)
async def test_this_machine_has_several_names(rig: Rig, host: str) -> None:
    assert (await rig.caller.get("/status", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "https://pages.example:444"]
)
async def test_pages_of_other_origins_are_refused(rig: Rig, origin: str) -> None:
    for method, path in (("GET", "/status"), ("POST", "/send"), ("OPTIONS", "/send")):
        answer = await rig.caller.request(method, path, headers={"origin": origin})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


async def test_the_apis_own_pages_and_named_origins_are_let_in(rig: Rig) -> None:
    own = await rig.caller.get("/status", headers={"origin": rig.api.url})
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers
    named = {"origin": "https://pages.example"}
    answer = await rig.caller.get("/status", headers=named)
    assert answer.headers["access-control-allow-origin"] == "https://pages.example"
    preflight = await rig.caller.options("/send", headers={**named, "access-control-request-method": "POST"})
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]


async def test_without_an_origin_options_is_not_found(rig: Rig) -> None:
    answer = await rig.caller.options("/send")
    assert (answer.status_code, answer.json()) == (404, {"error": "Not found"})
    assert (await rig.caller.head("/status")).status_code == 404


async def test_where_all_need_the_token_it_is_asked_for(node: Node, tmp_path: Path) -> None:
    async with rigged(node, tmp_path, api_token="all") as rig:
        assert (tmp_path / "agent.token").read_text().strip() == rig.api.token
        assert (tmp_path / "agent.token").stat().st_mode & 0o777 == 0o600
        refused = await rig.caller.get("/status")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        for shown in ("Bearer wrong", f"Basic {rig.api.token}", "Bearer", f"Bearer {rig.api.token}x"):
            assert (await rig.caller.get("/status", headers={"authorization": shown})).status_code == 401
        shown = f"bearer {rig.api.token}"
        assert (await rig.caller.get("/status", headers={"authorization": shown})).status_code == 200
        assert (await rig.caller.get(f"/status?token={rig.api.token}")).status_code == 401


def outside_address() -> str:
    """An address of this machine that is not loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


async def test_who_is_not_on_loopback_needs_the_token(node: Node) -> None:
    outside = outside_address()
    agent = PlainAgent(node, configured(node))
    async with agent, AgentApi(agent, "0.0.0.0:0") as api:
        port = urlsplit(api.url).port
        async with (
            calling(f"http://{outside}:{port}") as caller,
            calling(f"http://127.0.0.1:{port}") as local,
        ):
            assert (await local.get("/status")).status_code == 200
            assert (await caller.get("/status")).status_code == 401
            shown = {"authorization": f"Bearer {api.token}"}
            assert (await caller.get("/status", headers=shown)).status_code == 200
            named = {**shown, "host": "evil.example"}
            assert (await caller.get("/status", headers=named)).status_code == 403


@pytest.mark.parametrize(
    ("client", "local"),
    [
        (("127.0.0.1", 1), True),
        (("127.9.9.9", 1), True),
        (("::1", 1), True),
        (("::ffff:127.0.0.1", 1), True),
        (("10.0.0.1", 1), False),
        (("::ffff:10.0.0.1", 1), False),
        (("", 0), False),
        (None, False),
    ],
)
def test_which_callers_are_on_loopback(client: tuple[str, int] | None, local: bool) -> None:
    assert agent_guard._on_loopback(client) is local


@pytest.mark.parametrize(
    ("listen", "local"),
    [
        ("127.0.0.1:4003", True),
        ("[::1]:4003", True),
        ("localhost:1", True),
        ("0.0.0.0:4003", False),
        ("a.b:1", False),
    ],
)
def test_which_addresses_are_loopback(listen: str, local: bool) -> None:
    assert is_loopback(listen) is local


async def test_a_body_has_a_greatest_size(rig: Rig) -> None:
    body = b'{"peerId": "' + BOB.encode() + b'", "message": "' + b"x" * agent_guard.MAX_BODY_BYTES + b'"}'
    answer = await rig.caller.post("/send", content=body)
    assert answer.status_code == 413
    assert "bytes" in answer.json()["error"]


async def test_all_bodies_together_have_a_greatest_size(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_guard, "MAX_BODIES_BYTES", 100)
    address = urlsplit(rig.api.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST /send HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 90\r\n\r\n".encode()
    writer.write(head + b"x" * 80)
    await writer.drain()
    await answered(rig, 429)
    writer.close()
    await writer.wait_closed()
    await answered(rig, 400)


async def answered(rig: Rig, status: int) -> None:
    """Wait until a body of 40 bytes is answered so."""
    async with asyncio.timeout(10):
        while (await rig.caller.post("/send", content=b"y" * 40)).status_code != status:
            pass


async def test_a_body_that_does_not_come_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_guard, "BODY_TIMEOUT_S", 0.05)
    address = urlsplit(rig.api.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"POST /send HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 9\r\n\r\n".encode())
    async with asyncio.timeout(10):
        assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
