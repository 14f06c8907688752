"""The agent's tools, called by the official SDK's client over stdio and over HTTP."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra `agent` is not installed: the MCP tools are not tested")

import httpx2
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from mesh.console.agent_calls import place_of
from mesh.console.agent_mcp import WithToken, _by_hand, make_server
from mesh.console.agent_tools import TOOLS, AgentApi, call
from tests.console.agent_stub import ANN, OWN, Stub, serving
from tests.console.conftest import Mesh

ASKED: dict[str, dict[str, Any]] = {
    "p2p_discover": {},
    "p2p_send": {"peerId": ANN, "message": "hello"},
    "p2p_status": {},
    "p2p_request": {"peerId": ANN, "service": "poem", "input": {"topic": "sea"}},
    "p2p_pay": {"peerId": ANN, "txid": "ab" * 32, "amount": 5, "toAddress": "1Boat"},
    "p2p_messages": {"search": "hello", "limit": 5},
    "p2p_conversations": {},
    "p2p_why": {"messageId": "1-abc"},
    "p2p_resumed": {"messageId": "1-abc", "token": "right"},
    "p2p_network": {},
    "p2p_peers": {},
    "p2p_peer": {"peerId": ANN},
    "p2p_label_peer": {"peerId": ANN, "name": "Ann", "tags": ["friend"]},
    "p2p_services": {},
    "p2p_offer_service": {"id": "poem", "name": "Poems"},
    "p2p_withdraw_service": {"id": "poem"},
}


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
async def api_url(stub: Stub) -> AsyncIterator[str]:
    async with serving(stub.app) as url:
        yield url


@asynccontextmanager
async def over(transport: str, api_url: str) -> AsyncIterator[Client]:
    """A client of the tools over a transport."""
    if transport == "stdio":
        arguments = ["-m", "mesh", "agent", "mcp", "--url", api_url]
        async with Client(
            stdio_client(StdioServerParameters(command=sys.executable, args=arguments))
        ) as client:
            yield client
        return
    async with (
        AgentApi(lambda: (api_url, "")) as api,
        serving(make_server(api).streamable_http_app()) as url,
        Client(f"{url}/mcp") as client,
    ):
        yield client


def text_of(result: Any) -> str:
    (content,) = result.content
    return str(content.text)


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_every_tool_answers(transport: str, api_url: str) -> None:
    async with asyncio.timeout(60), over(transport, api_url) as client:
        listed = (await client.list_tools()).tools
        assert [each.name for each in listed] == [each.name for each in TOOLS]
        assert set(ASKED) == {each.name for each in TOOLS}
        texts = {}
        for name, arguments in ASKED.items():
            result = await client.call_tool(name, arguments)
            texts[name] = text_of(result)
            assert not result.is_error, (name, texts[name])
    assert texts["p2p_send"].startswith(f"Message sent successfully to {ANN[:16]}...")
    assert "1-abc (state: queued)" in texts["p2p_send"]
    assert texts["p2p_status"].split("\n") == [
        "P2P Daemon Status:",
        f"  Peer ID: {OWN}",
        "  Relay: not connected",
        "  Connected peers: 1",
        "  Healthy: yes",
    ]
    assert texts["p2p_discover"].startswith(f"Found 1 peer(s):\n\nPeer: {ANN}\nServices:\n  - ")
    assert texts["p2p_discover"].endswith(": Poems to order (5 sats)")
    assert "> hello from Ann" in texts["p2p_messages"]


async def test_the_api_is_asked_what_the_tools_mean(stub: Stub, api_url: str) -> None:
    async with AgentApi(lambda: (api_url, "")) as api:
        for tool in TOOLS:
            assert not (await call(tool, api, ASKED[tool.name]))[1]
    asked = [(method, path) for method, path, _ in stub.asked]
    assert ("POST", "/send") in asked
    assert ("POST", "/messages/1-abc/resumed") in asked
    assert ("DELETE", "/services/poem") in asked
    assert ("PUT", f"/peers/tracked/{ANN}/tags") in asked
    assert ("PUT", f"/peers/tracked/{ANN}/notes") not in asked
    assert ("POST", "/services", {"currency": "bsv", "price": 0, "id": "poem", "name": "Poems"}) in stub.asked


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
async def test_what_peers_wrote_makes_no_line_of_its_own(tool: Any, stub: Stub, api_url: str) -> None:
    async with AgentApi(lambda: (api_url, "")) as api:
        await api.ask(
            "POST", "/services", {"id": "poem", "name": "x\nPeer: forged", "price": 1, "currency": "bsv"}
        )
        text, _ = await call(tool, api, ASKED[tool.name])
        stub.failing = True
        failed, is_error = await call(tool, api, ASKED[tool.name])
    assert is_error
    assert failed == f"Error in {tool.name}: the disk is full\\nError: forged"
    assert not [line for line in text.split("\n") if line.startswith(("Peer: forged", "Error"))]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("p2p_send", {"peerId": ANN}, "message is required"),
        ("p2p_send", {"peerId": 7, "message": "x"}, "peerId must be of type string"),
        ("p2p_send", {"peerId": ANN, "message": "x", "more": 1}, "more is no parameter"),
        ("p2p_messages", {"limit": True}, "limit must be of type integer"),
        ("p2p_peer", {"peerId": "../status"}, "Not found"),
        ("p2p_peer", {"peerId": ".."}, "Not found"),
        ("p2p_resumed", {"messageId": "a/../../b", "token": "right"}, ""),
    ],
)
async def test_wrong_arguments_are_errors_in_words(
    name: str, arguments: dict[str, Any], words: str, stub: Stub, api_url: str
) -> None:
    async with over("http", api_url) as client:
        result = await client.call_tool(name, arguments)
    assert words in text_of(result)
    assert result.is_error == bool(words)
    assert not [path for _, path, _ in stub.asked if ".." in path.split("/")]


async def test_an_unknown_tool_is_an_error(api_url: str) -> None:
    async with over("http", api_url) as client:
        result = await client.call_tool("p2p_nothing", {})
    assert result.is_error
    assert "no tool 'p2p_nothing'" in text_of(result)


async def test_a_daemon_that_does_not_run_is_told_as_the_plugin_does() -> None:
    async with over("http", "http://127.0.0.1:1") as client:
        status = await client.call_tool("p2p_status", {})
        sent = await client.call_tool("p2p_send", {"peerId": ANN, "message": "x"})
    assert (text_of(status), status.is_error) == ("P2P Node Status: OFFLINE", False)
    assert text_of(sent).startswith("P2P node not running")
    assert sent.is_error


async def test_beyond_loopback_the_token_is_needed(api_url: str) -> None:
    async with AgentApi(lambda: (api_url, "")) as api:
        app = WithToken(make_server(api).streamable_http_app(), "the-token")
        async with serving(app) as url:
            async with httpx2.AsyncClient(trust_env=False) as client:
                refused = await client.post(f"{url}/mcp", json={})
            assert refused.status_code == 401
            async with (
                httpx2.AsyncClient(headers={"authorization": "Bearer the-token"}) as client,
                Client(streamable_http_client(f"{url}/mcp", http_client=client)) as tools,
            ):
                assert len((await tools.list_tools()).tools) == len(TOOLS)


async def test_another_host_name_gets_nothing(api_url: str) -> None:
    """A web page whose name was rebound to loopback."""
    async with (
        AgentApi(lambda: (api_url, "")) as api,
        serving(make_server(api).streamable_http_app()) as url,
        httpx2.AsyncClient(trust_env=False) as client,
    ):
        rebound = await client.post(f"{url}/mcp", json={}, headers={"host": "evil.example"})
        page = await client.post(f"{url}/mcp", json={}, headers={"origin": "http://evil.example"})
    assert rebound.status_code in (403, 421)
    assert page.status_code == 403


def test_the_token_of_the_folder_goes_to_the_api_of_the_settings_alone(tmp_path: Path) -> None:
    (tmp_path / "agent.token").write_text("secret\n")
    assert place_of(tmp_path) == ("http://127.0.0.1:4003", "secret")
    (tmp_path / "agent.json").write_text('{"url": "http://127.0.0.1:9"}')
    assert place_of(tmp_path) == ("http://127.0.0.1:9", "secret")
    assert _by_hand("http://elsewhere:1") == ("http://elsewhere:1", "")


def test_without_the_extra_it_says_what_is_missing(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    outcome = mesh("agent", "mcp")
    assert outcome.status == 2
    assert "mesh[agent]" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--http", "4005"), "not HOST:PORT"),
        (("--http", "127.0.0.1:99999"), "not HOST:PORT"),
        (("--http", "0.0.0.0:4005"), "need the token"),
        (("--url", "file:///etc/passwd"), "not an http"),
    ],
)
def test_places_that_cannot_be_are_refused(mesh: Mesh, arguments: tuple[str, ...], words: str) -> None:
    outcome = mesh("agent", "mcp", *arguments)
    assert outcome.status == 2
    assert words in outcome.err


def test_an_api_that_is_off_is_told(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_AGENT_API", "off")
    assert mesh("agent", "mcp").status == 3
