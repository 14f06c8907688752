"""Every recorded request of a stock daemon gives the recorded answer, except where the table says better."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from mesh.api.agent_server import AgentApi
from mesh.apps.agent.agent import Agent
from mesh.apps.agent.store import message_log
from tests.api.agent_rig import calling
from tests.api.recorded import ALPHA, BETA, DELTA, EPSILON, HTTP, RELAY, TABLE, Asking
from tests.apps.agent.agents import Agents
from tests.network.live import PATIENCE_S, eventually

EPSILON_TCP = "/ip4/127.0.0.1/tcp/4761"
LISTEN = ("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws")


@pytest.fixture
async def agents() -> AsyncIterator[Agents]:
    async with Agents() as started:
        yield started


async def behind_a_relay(agents: Agents, name: str, relay: str) -> Agent:
    """An agent with a reservation at the relay."""
    agent = await agents.agent(
        *LISTEN, gossip=True, relays=(relay,), settings={"name": name} if name else None
    )
    await eventually(lambda: agent.relay_address is not None, "a reservation")
    return agent


async def asking(stack: AsyncExitStack, agents: dict[str, Agent], relay: str) -> Asking:
    callers = {}
    for recorded, agent in agents.items():
        api = await stack.enter_async_context(AgentApi(agent, "127.0.0.1:0"))
        callers[recorded] = await stack.enter_async_context(calling(api.url))
    ours = {recorded: str(agent.node.peer_id) for recorded, agent in agents.items()}
    return Asking(callers, {**ours, RELAY: relay})


async def said(agent: Agent, count: int) -> None:
    """Wait until the agent has logged so many messages."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            figures = await agent.store.read(message_log.figures)
            if figures.inbound + figures.outbound >= count:
                return


async def test_two_daemons_behind_a_relay(agents: Agents) -> None:
    relay = await agents.start(relay_serve=True)
    address = str(relay.listen_addrs[0])
    alpha = await behind_a_relay(agents, "", address)
    beta = await behind_a_relay(agents, "", address)
    group, later = "single_daemon", "after_exchange_between_two_daemons"
    async with AsyncExitStack() as stack:
        ask = await asking(stack, {ALPHA: alpha, BETA: beta}, str(relay.peer_id))
        for number in range(42):
            await ask.ask(group, number, BETA if number == 1 else ALPHA)
            if number == 19:
                await ask.callers[ALPHA].delete("/services/poem-generation")
            if number == 39:
                await alpha.store.write(forget_the_queued)
        await alpha.send(
            str(beta.node.peer_id), "hello with multiaddr", multiaddr=str(beta.node.listening[0])
        )
        await said(beta, 2)
        await ask.ask(group, 42, ALPHA)
        await said(beta, 3)
        await ask.callers[ALPHA].delete("/services/free")
        await eventually(lambda: len(alpha.discover()) == len(beta.discover()) == 1, "announcements")
        for number in range(9):
            await ask.ask(later, number, BETA if number in (1, 3, 4, 6) else ALPHA)
            if number == 3:
                await eventually(lambda: bool(alpha.discover("code-review")), "the announcement")
        await beta.send(str(alpha.node.peer_id), "reply from beta")
        await said(alpha, 4)
        for number in (9, 10):
            await ask.ask(later, number, BETA)
        await said(alpha, 6)
        for number in range(11, 23):
            await ask.ask(later, number, BETA if number == 19 else ALPHA)
    assert ask.found == expected(group, later)


async def test_two_daemons_that_gossip(agents: Agents) -> None:
    relay = await agents.start(relay_serve=True)
    address = str(relay.listen_addrs[0])
    delta = await behind_a_relay(agents, "", address)
    epsilon = await behind_a_relay(agents, "Epsilon", address)
    group = "with_working_gossip"
    async with AsyncExitStack() as stack:
        ask = await asking(stack, {DELTA: delta, EPSILON: epsilon}, str(relay.peer_id))
        ask.ours[EPSILON_TCP] = str(epsilon.node.listening[0])
        for number in range(16):
            await ask.ask(group, number, EPSILON if number in (1, 3, 4, 11, 14) else DELTA)
            if number == 4:
                await eventually(lambda: bool(delta.discover("code-review")), "the announcement")
                await eventually(lambda: bool(delta.network_status().peers), "the status")
            if number == 6:
                await eventually(lambda: bool(epsilon.network_status().peers), "the status")
    assert ask.found == expected(group)


def forget_the_queued(database: sqlite3.Connection) -> None:
    """A stock daemon does not log what it could not send; without the row the later answers can be compared."""
    database.execute("DELETE FROM messages WHERE state = 'queued'")
    database.execute("DELETE FROM peers WHERE messages_sent > 0 AND NOT is_online")


def expected(*groups: str) -> dict[str, list[str]]:
    """The table's rows for these groups."""
    return {
        f"{each['group']} {each['number']}: {each['request']}": each["differs"]
        for each in TABLE["recorded"]
        if each["group"] in groups
    }


def test_every_row_of_the_table_names_a_recorded_request_and_a_reason() -> None:
    for each in TABLE["recorded"]:
        request = HTTP[each["group"]][each["number"]]["request"]
        assert each["request"] == f"{request['method']} {request['path']}"
        assert each["differs"]
        assert each["reason"].endswith(".")
        assert each["stock"]
        assert each["ours"]
