"""The agent API asked with whatever its OpenAPI document allows, and with what it does not: no answer is a 5xx, and each
that succeeds has the shape that the document says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from mesh.api.agent_application import make_agent_application
from mesh.api.agent_desk import AgentDesk
from mesh.api.agent_server import AgentApi
from mesh.apps.agent.agent import Agent
from mesh.config import AgentSection, Config, GossipSection, NetworkSection
from mesh.node import Node

CONFIG = Config(network=NetworkSection(listen=("/ip4/127.0.0.1/tcp/0",)), gossip=GossipSection(enabled=True))
STRANGER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
EXAMPLES = 20


class Served:
    """A live agent in a thread of its own; it has a connection, and dials nobody else."""

    def __init__(self) -> None:
        self.url = ""
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._ending is not None
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        config = replace(CONFIG, agent=AgentSection(name="under test"))
        async with Node(CONFIG) as peer, Node(config) as node, Agent(node, config) as agent:
            await node.connect(peer.listen_addrs[0])
            node.swarm.gater.deny("*")
            async with AgentApi(agent, "127.0.0.1:0") as api:
                self.url = api.url
                self._started.set()
                await self._ending.wait()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served() as running:
        yield running


document = make_agent_application(Mock(spec=AgentDesk)).openapi()
schema = schemathesis.openapi.from_dict(document).exclude(path="/events")


@schema.hook
def map_body(_context: Any, body: Any) -> Any:
    """Half of the messages go to an id that is one, and nobody waits for them."""
    if isinstance(body, dict) and "peerId" in body and len(str(body)) % 2:
        return {**body, "peerId": STRANGER, "waitMs": 0, "timeoutMs": 1}
    return body


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_answer_is_a_server_error(case: schemathesis.Case[Any], served: Served) -> None:
    case.call_and_validate(base_url=served.url, checks=[not_a_server_error, response_schema_conformance])
