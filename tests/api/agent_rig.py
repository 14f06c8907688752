"""An agent double with its API and a caller, for the tests of the agent API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from mesh.api.agent_server import AgentApi
from mesh.node import Node
from tests.api.agent_double import PlainAgent, configured

ALICE = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
BOB = "12D3KooWD2ZthCxWx2pGVZ9onqGttXipu9b8QX525V62kKUid3xU"


@dataclass
class Rig:
    """A running agent, its API, and whoever calls it from loopback without a token."""

    agent: PlainAgent
    api: AgentApi
    caller: httpx.AsyncClient

    async def json(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """The answer's JSON, after a look at its status."""
        answer = await self.caller.request(method, path, json=body) if body is not None else None
        if answer is None:
            answer = await self.caller.request(method, path)
        assert answer.status_code == status, answer.text
        return answer.json()


@asynccontextmanager
async def rigged(node: Node, folder: Path | None = None, **section: Any) -> AsyncIterator[Rig]:
    """A rig with these settings of the agent's section."""
    agent = PlainAgent(node, configured(node, **section))
    async with agent, AgentApi(agent, "127.0.0.1:0", folder) as api, calling(api.url) as caller:
        yield Rig(agent, api, caller)


def calling(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=10)
