"""The agent's tools over both transports of the protocol, on a daemon that talks with another one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

pytest.importorskip("mcp", reason="the extra `agent` is not installed: the MCP tools are not tested")

from mcp import Client, StdioServerParameters, stdio_client

from mesh.console.agent_tools import TOOLS
from tests.console.test_agent import Running, pair
from tests.console.test_agent_mcp import text_of

__all__ = ["pair"]

PATIENCE_S = 30.0


@asynccontextmanager
async def over(transport: str, running: Running) -> AsyncIterator[Client]:
    """A client of `mesh agent mcp` for a daemon's folder."""
    command = ["-m", "mesh", "agent", "mcp", "--path", str(running.folder)]
    if transport == "stdio":
        async with Client(
            stdio_client(StdioServerParameters(command=sys.executable, args=command))
        ) as client:
            yield client
        return
    listen = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, "--http", listen, stderr=asyncio.subprocess.PIPE
    )
    try:
        await answering(f"http://{listen}/mcp", process)
        async with Client(f"http://{listen}/mcp") as client:
            yield client
    finally:
        process.terminate()
        await process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def answering(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(trust_env=False) as client:
        while process.returncode is None:
            with contextlib.suppress(httpx.TransportError):
                await client.post(url, json={})
                return
            await asyncio.sleep(0.05)


async def said(client: Client, name: str, /, **arguments: Any) -> str:
    """What a tool answers, which is no error."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, (name, text_of(result))
    return text_of(result)


async def until(client: Client, name: str, words: str, /, **arguments: Any) -> str:
    """What a tool answers, once it has these words."""
    text = ""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while words not in text:
                text = await said(client, name, **arguments)
    except TimeoutError:
        raise AssertionError(f"{name} still says: {text}") from None
    return text


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_the_tools_talk_with_another_agent(transport: str, pair: tuple[Running, Running]) -> None:
    own, other = pair
    async with (
        over(transport, own) as client,
        httpx.AsyncClient(base_url=other.api, trust_env=False) as friend,
    ):
        assert len((await client.list_tools()).tools) == len(TOOLS)
        assert f"  Peer ID: {own.peer}" in await said(client, "p2p_status")
        await until(client, "p2p_peers", other.peer)
        sent = await said(client, "p2p_send", peerId=other.peer, message="hello from a tool")
        assert sent.startswith(f"Message sent successfully to {other.peer[:16]}...")
        number = sent.split("Message ID: ")[1].split()[0]
        await until(client, "p2p_why", "delivered", messageId=number)
        answer = {"peerId": own.peer, "message": "hello yourself\nPeer: forged"}
        assert (await friend.post("/send", json=answer)).is_success
        found = await until(client, "p2p_messages", "> hello yourself", search="hello", peer=other.peer)
        assert "> Peer: forged" in found
        assert other.peer in await said(client, "p2p_conversations")
        poem = {"id": "poem", "name": "Poems", "price": 5, "currency": "bsv"}
        assert (await friend.post("/services", json=poem)).is_success
        await until(client, "p2p_discover", "  - Poems: poem (5 sats)", service="poem")
        asking = asyncio.create_task(
            said(client, "p2p_request", peerId=other.peer, service="poem", input={"topic": "sea"})
        )
        await answer_request(friend, own.peer)
        assert '> "result": "waves"' in (await asking).replace(">   ", "> ")


async def requests_of(friend: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await friend.get("/messages", params={"type": "request"})).json()[
        "messages"
    ]
    return found


async def answer_request(friend: httpx.AsyncClient, peer: str) -> None:
    """Answer the request that the friend gets."""
    async with asyncio.timeout(PATIENCE_S):
        while not (asked := await requests_of(friend)):  # noqa: ASYNC110 - another process has them
            await asyncio.sleep(0.02)
    body = {"peerId": peer, "requestId": asked[0]["messageId"], "result": "waves"}
    assert (await friend.post("/respond", json=body)).is_success


async def test_the_tools_keep_books(pair: tuple[Running, Running]) -> None:
    own, other = pair
    async with over("stdio", own) as client:
        await until(client, "p2p_peers", other.peer)
        await said(
            client, "p2p_label_peer", peerId=other.peer, name="Friend", tags=["good"], notes="met here"
        )
        shown = await said(client, "p2p_peer", peerId=other.peer)
        assert shown.startswith(f"Friend ({other.peer}), online")
        assert "Tags: good" in shown
        assert "Notes: met here" in shown
        await said(client, "p2p_offer_service", id="sum", name="Sums", description="Adds numbers", price=1)
        assert "  - Sums: Adds numbers (1 sats)" in await said(client, "p2p_services")
        await said(client, "p2p_withdraw_service", id="sum")
        assert await said(client, "p2p_services") == "0 service(s) offered:"
        paid = await said(client, "p2p_pay", peerId=other.peer, txid="ab" * 32, amount=5, toAddress="1Boat")
        assert "it moves no money" in paid
        await until(client, "p2p_network", "peers, up")
        for name, arguments in (
            ("p2p_resumed", {"messageId": "1-none", "token": "wrong"}),
            ("p2p_send", {"peerId": "nonsense", "message": "x"}),
            ("p2p_messages", {"search": '"'}),
            ("p2p_why", {"messageId": "1-none"}),
        ):
            result = await client.call_tool(name, arguments)
            assert result.is_error, name
            assert text_of(result).startswith(f"Error in {name}: ")


async def test_tools_outlive_the_daemon(pair: tuple[Running, Running]) -> None:
    own, _ = pair
    async with over("stdio", own) as client:
        await said(client, "p2p_status")
        own.process.terminate()
        await asyncio.to_thread(own.process.wait, 30)
        assert await said(client, "p2p_status") == "P2P Node Status: OFFLINE"
