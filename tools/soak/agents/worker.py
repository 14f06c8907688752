"""One of the three nodes: `python -m tools.soak.agents.worker ROLE FOLDER PORT [RELAY [API GATEWAY]]`.

The relay listens at the port, the others at the relay alone. With a gateway the agent's API listens at API.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from mesh.api.agent_server import AgentApi
from mesh.apps.agent.agent import Agent
from mesh.config import AgentSection, Config, NetworkSection, NodeSection, RelaySection
from mesh.node import Node
from tools.bench import lines

RATE = 1_000_000
"""Messages a minute and wakes a minute: this load is far above what an agent takes by default."""


def configuration(role: str, folder: Path, port: int, relay: str, api: str, gateway: str) -> Config:
    """Settings of a role; its folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    node = NodeSection(path=folder)
    if role == "relay":
        network = NetworkSection(listen=(f"/ip4/127.0.0.1/tcp/{port}",))
        return Config(node=node, network=network, relay=RelaySection(serve=True, max_circuits_per_peer=64))
    agent = AgentSection(enabled=True, rate=RATE)
    if gateway:
        token = folder / "gateway.token"
        token.write_text("token-of-the-soak")
        agent = AgentSection(
            enabled=True,
            rate=RATE,
            api=api,
            gateway_url=gateway,
            gateway_token_file=token,
            wake_budget=RATE,
            wake_budget_total=RATE,
            wake_batch=100,
            wake_attempts=10_000,
            wake_retry_s=0.2,
            wake_retry_max_s=2.0,
        )
    return Config(
        node=node, network=NetworkSection(listen=()), relay=RelaySection(relays=(relay,)), agent=agent
    )


class Worker:
    """Answers the commands of the run."""

    def __init__(self, agent: Agent | None) -> None:
        self._agent = agent
        self.commands: lines.Commands = {"queue": self.queue, "states": self.states}

    async def queue(self, peer: str, upto: int) -> dict[str, Any]:
        """Send the messages up to that number which are not in the outbox: each says its number."""
        agent = self._agent
        assert agent is not None
        [number] = await agent.store.read(_count)
        while number < upto:
            await agent.send(peer, f"message {number}")
            number += 1
        return {"queued": number}

    async def states(self) -> dict[str, Any]:
        """How many receipts of each state we have, by the numbers of the protocol."""
        if self._agent is None:
            return {}
        query = "SELECT state, count(*) FROM receipts GROUP BY state"
        return {str(state): count for state, count in await self._agent.store.read(_rows(query))}


def _rows(query: str) -> Callable[[sqlite3.Connection], list[tuple[int, int]]]:
    return lambda database: database.execute(query).fetchall()


def _count(database: sqlite3.Connection) -> tuple[int]:
    found: tuple[int] = database.execute("SELECT count(*) FROM outbox").fetchone()
    return found


async def main(
    role: str, folder: str, port: str, relay: str = "", api: str = "off", gateway: str = ""
) -> None:
    """Serve until the end of the input."""
    path = Path(folder)
    logging.basicConfig(filename=path.with_suffix(".log"), level=logging.WARNING)
    config = configuration(role, path, int(port), relay, api, gateway)
    async with contextlib.AsyncExitStack() as stack:
        node = await stack.enter_async_context(Node(config))
        agent = None
        if role != "relay":
            agent = await stack.enter_async_context(Agent(node, config))
            if gateway:
                await stack.enter_async_context(AgentApi(agent, api, path))
        lines.say(
            {"event": "ready", "peer": str(node.peer_id), "addrs": [str(each) for each in node.listen_addrs]}
        )
        await lines.serve(Worker(agent).commands)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
