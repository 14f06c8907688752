"""The agent API asked with whatever its OpenAPI document allows, and with what it does not: no answer is a 5xx, and each
that succeeds has the shape that the document says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from mesh.api.agent_application import make_agent_application
from mesh.api.agent_desk import AgentDesk

STRANGER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
EXAMPLES = 20
SERVE = """
import asyncio, sys
from mesh.api.agent_server import AgentApi
from mesh.apps.agent.agent import Agent
from mesh.config import Config, GossipSection, NetworkSection
from mesh.node import Node

async def main():
    listen = NetworkSection(listen=("/ip4/127.0.0.1/tcp/0",))
    config = Config(network=listen, gossip=GossipSection(enabled=True))
    async with Node(config) as peer, Node(config) as node, Agent(node, config) as agent:
        await node.connect(peer.listen_addrs[0])
        node.swarm.gater.deny("*")
        async with AgentApi(agent, "127.0.0.1:0") as api:
            print(api.url, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""
"""A live agent that has a connection, and dials nobody else."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A process of its own: Hypothesis minds other users of the random module in this one."""
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate(timeout=30)
    assert process.returncode == 0


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
def test_no_answer_is_a_server_error(case: schemathesis.Case[Any], url: str) -> None:
    case.call_and_validate(base_url=url, checks=[not_a_server_error, response_schema_conformance])
