"""From one agent's `send` to the other's web hook and back: the evidence of a wake gets to the sender."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.api.agent_server import AgentApi
from mesh.apps.agent.agent import Agent
from mesh.apps.agent.records import DeliveryState
from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from tests.apps.agent.agents import Agents, knows, reaches, until, until_inbound
from tests.apps.agent.waking.parts import Call, Gateway
from tests.network.live import TCP, eventually

INVOKED_ON = (DeliveryState.INVOKED, DeliveryState.RESUMED, DeliveryState.ANSWERED)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with Gateway() as started:
        yield started


@pytest.fixture
def hook(gateway: Gateway, tmp_path: Path) -> dict[str, Any]:
    """Settings of an agent that is waked by that gateway."""
    token = tmp_path / "gateway-token"
    token.write_text("secret")
    return {
        "gateway_url": gateway.url,
        "gateway_token_file": token,
        "wake_retry_s": 0.05,
        "wake_timeout_s": 5.0,
    }


def token_in(call: Call) -> str:
    return call.text.split('{"token":"')[1].split('"')[0]


async def pair(agents: Agents, hook: dict[str, Any], folder: Path | None = None) -> tuple[Agent, Agent]:
    """One that sends and one that is waked, who know each other's addresses."""
    sender = await agents.agent(TCP)
    waked = await agents.agent(TCP, settings=hook, folder=folder)
    knows(sender, waked)
    knows(waked, sender)
    return sender, waked


async def test_a_hook_that_says_yes_is_evidence_at_the_sender(
    agents: Agents, gateway: Gateway, hook: dict[str, Any]
) -> None:
    sender, waked = await pair(agents, hook)
    sent = await sender.send(str(waked.node.peer_id), "wake up")
    way = await reaches(sender, sent.message_id, *INVOKED_ON)
    assert "hook /hooks/agent 200" in str(way.document())
    (call,) = gateway.calls
    assert "> wake up" in call.text
    assert f"({sender.node.peer_id})" in call.text
    assert f"From: {sender.node.peer_id}" in call.text


async def test_a_hook_that_says_no_is_none(agents: Agents, gateway: Gateway, hook: dict[str, Any]) -> None:
    gateway.usual = 500
    sender, waked = await pair(agents, hook)
    sent = await sender.send(str(waked.node.peer_id), "wake up")
    await reaches(sender, sent.message_id, DeliveryState.DELIVERED)
    await eventually(lambda: len(gateway.calls) >= 6)
    (way,) = await sender.why(sent.message_id)
    assert way.state is DeliveryState.DELIVERED
    gateway.usual = 200
    await reaches(sender, sent.message_id, *INVOKED_ON)


async def test_the_agent_confirms_through_the_api_with_its_token_alone(
    agents: Agents, gateway: Gateway, hook: dict[str, Any]
) -> None:
    sender, waked = await pair(agents, hook)
    sent = await sender.send(str(waked.node.peer_id), "wake up")
    await reaches(sender, sent.message_id, *INVOKED_ON)
    token = token_in(gateway.calls[0])
    async with AgentApi(waked, "127.0.0.1:0") as api, httpx.AsyncClient(base_url=api.url) as client:
        path = f"/messages/{sent.message_id}/resumed"
        assert (await client.post(path, json={"token": ""})).status_code == 400
        for wrong in ("0" * 32, token[:-1], token + "0"):
            assert (await client.post(path, json={"token": wrong})).status_code == 403
        (way,) = await sender.why(sent.message_id)
        assert way.state is DeliveryState.INVOKED
        answers = [(await client.post(path, json={"token": token})).json() for _ in range(2)]
    assert [each["calls"] for each in answers] == [1, 2]
    await reaches(sender, sent.message_id, DeliveryState.RESUMED)


async def test_the_api_tells_of_wakes_and_tries_again(
    agents: Agents, gateway: Gateway, hook: dict[str, Any]
) -> None:
    gateway.usual = 500
    sender, waked = await pair(agents, {**hook, "wake_attempts": 1})
    async with (
        AgentApi(waked, "127.0.0.1:0") as api,
        httpx.AsyncClient(base_url=api.url) as client,
        AgentApi(sender, "127.0.0.1:0") as other,
    ):
        sent = await sender.send(str(waked.node.peer_id), "wake up")
        await until(lambda: _wakes(client), lambda found: found["givenUp"] == 1)
        gateway.usual = 200
        assert (await client.post("/wakes/retry")).json() == {"success": True, "retried": 1}
        await reaches(sender, sent.message_id, *INVOKED_ON)
        found = await _wakes(client)
        assert f"{api.url}/messages/{sent.message_id}/resumed" in gateway.calls[0].text
        for method, path in (("GET", "/wakes"), ("POST", "/wakes/retry")):
            refused = await client.request(method, other.url + path)
            assert refused.status_code == 404
            assert "agent.wake_command" in refused.json()["error"]
    assert found == {
        "channel": f"web hook of {gateway.url}",
        "waiting": 0,
        "done": 1,
        "givenUp": 0,
        "repeatedCalls": 0,
    }


async def _wakes(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/wakes")).json()
    return found


async def test_a_token_of_one_message_confirms_no_other(
    agents: Agents, gateway: Gateway, hook: dict[str, Any]
) -> None:
    sender, waked = await pair(agents, hook)
    first = await sender.send(str(waked.node.peer_id), "one")
    await eventually(lambda: len(gateway.calls) == 1)
    second = await sender.send(str(waked.node.peer_id), "two")
    await eventually(lambda: len(gateway.calls) == 2)
    with pytest.raises(UsageError):
        await waked.resumed(second.message_id, token_in(gateway.calls[0]))
    assert (await waked.resumed(first.message_id, token_in(gateway.calls[0]))).calls == 1


async def test_a_receiver_that_ends_in_the_middle_of_a_wake_wakes_again_with_the_same_key(
    agents: Agents, gateway: Gateway, hook: dict[str, Any], tmp_path: Path
) -> None:
    gateway.answers = [None]
    key = PrivateKey.generate()
    sender = await agents.agent(TCP)
    waked = await agents.agent(TCP, settings={**hook, "wake_timeout_s": 60.0}, folder=tmp_path, key=key)
    knows(sender, waked)
    sent = await sender.send(str(waked.node.peer_id), "wake up")
    await eventually(lambda: len(gateway.calls) == 1)
    await agents.end(waked)
    again = await agents.agent(TCP, settings=hook, folder=tmp_path, key=key)
    knows(sender, again)
    knows(again, sender)
    await reaches(sender, sent.message_id, *INVOKED_ON)
    assert len({call.headers["idempotency-key"] for call in gateway.calls}) == 1
    assert len(await until_inbound(again, 1)) == 1


async def test_a_sender_that_restarts_gets_the_evidence_all_the_same(
    agents: Agents, gateway: Gateway, hook: dict[str, Any], tmp_path: Path
) -> None:
    gateway.answers = [None]
    key = PrivateKey.generate()
    sender = await agents.agent(TCP, folder=tmp_path, key=key)
    waked = await agents.agent(TCP, settings={**hook, "wake_timeout_s": 0.5})
    knows(sender, waked)
    sent = await sender.send(str(waked.node.peer_id), "wake up")
    await eventually(lambda: len(gateway.calls) == 1)
    await agents.end(sender)
    await eventually(lambda: len(gateway.calls) >= 2)
    again = await agents.agent(TCP, folder=tmp_path, key=key)
    knows(waked, again)
    knows(again, waked)
    await reaches(again, sent.message_id, *INVOKED_ON)


async def test_an_answer_that_somebody_waits_for_wakes_nobody(
    agents: Agents, gateway: Gateway, hook: dict[str, Any]
) -> None:
    sender, waked = await pair(agents, hook)
    asking = asyncio.create_task(waked.request(str(sender.node.peer_id), "sum", {"of": [1, 2]}))
    (asked,) = await until_inbound(sender, 1)
    await sender.respond(str(waked.node.peer_id), asked.message_id, result=3)
    assert (await asking).result == 3
    sent = await sender.send(str(waked.node.peer_id), "and now a message")
    await reaches(sender, sent.message_id, *INVOKED_ON)
    assert len(gateway.calls) == 1
