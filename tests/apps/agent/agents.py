"""Agents under test, each on a node of its own that ends with the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from mesh.apps.agent.agent import Agent
from mesh.apps.agent.records import DeliveryState, MessageRecord
from mesh.apps.agent.store import message_log
from mesh.apps.agent.way import Way
from mesh.config import AgentSection, GossipSection, NodeSection
from mesh.identity.keys import PrivateKey
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.openclaw.message import PROTOCOL_ID
from tests.network.live import PATIENCE_S, Nodes, configured

T = TypeVar("T")


class Agents(Nodes):
    """Starts agents; leaving it stops them and their nodes."""

    async def agent(
        self,
        *listen: str,
        key: PrivateKey | None = None,
        folder: Path | None = None,
        gossip: bool = False,
        settings: dict[str, Any] | None = None,
        **network: Any,
    ) -> Agent:
        """A running agent; ``settings`` are those of its own section."""
        config = replace(
            configured(*listen, **network),
            node=NodeSection(path=folder),
            agent=AgentSection(**(settings or {})),
            gossip=GossipSection(enabled=gossip, heartbeat_s=0.1),
        )
        node = Node(config, key=key, memory=self.memory)
        self.push_async_callback(node.stop)
        await node.start()
        agent = Agent(node, config)
        self.push_async_callback(agent.stop)
        await agent.start()
        return agent

    async def end(self, agent: Agent) -> None:
        """Stop an agent and its node before the others."""
        await agent.stop()
        await agent.node.stop()


@contextlib.asynccontextmanager
async def watched(agent: Agent) -> AsyncIterator[list[Any]]:
    """Events of an agent, as they come."""
    events = agent.events()
    seen: list[Any] = []

    async def read() -> None:
        async for event in events:
            seen.append(event)  # noqa: PERF401 - seen while it grows

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])
        await events.aclose()


async def way_of(agent: Agent, message_id: str) -> Way:
    [way] = await agent.why(message_id)
    return way


async def until(
    look: Callable[[], Awaitable[T]], holds: Callable[[T], bool], patience_s: float = PATIENCE_S
) -> T:
    """What ``look`` gives, once that ``holds``."""
    found = await look()
    try:
        async with asyncio.timeout(patience_s):
            while not holds(found):
                await asyncio.sleep(0.01)
                found = await look()
    except TimeoutError:
        raise AssertionError(f"still {found}") from None
    return found


async def reaches(
    agent: Agent, message_id: str, *states: DeliveryState, patience_s: float = PATIENCE_S
) -> Way:
    """The way of a message once it is in one of these states."""
    ways = await until(
        lambda: agent.why(message_id), lambda ways: bool(ways) and ways[0].state in states, patience_s
    )
    return ways[0]


async def inbound(agent: Agent) -> list[MessageRecord]:
    """What came, in the order of the log."""
    query = f"SELECT {message_log.COLUMNS} FROM messages WHERE direction = 'inbound' ORDER BY id"
    rows = await agent.store.read(lambda database: database.execute(query).fetchall())
    return [message_log.record_of(row) for row in rows]


async def logged(agent: Agent, message_id: str) -> list[MessageRecord]:
    return await agent.store.read(lambda database: message_log.named(database, message_id))


async def until_inbound(agent: Agent, count: int, patience_s: float = PATIENCE_S) -> list[MessageRecord]:
    """What came, once it is so many messages."""
    return await until(lambda: inbound(agent), lambda found: len(found) >= count, patience_s)


def knows(source: Agent, target: Agent) -> None:
    """Tell a node the addresses of another."""
    source.node.addresses.add(target.node.peer_id, [each.without_peer() for each in target.node.listen_addrs])


async def say(node: Node, target: Agent, data: bytes) -> Stream:
    """Write bytes on a stream of the stock message protocol and end our side."""
    stream = await node.open(target.node.listen_addrs[0], PROTOCOL_ID)
    await stream.write(data)
    await stream.close_write()
    return stream
