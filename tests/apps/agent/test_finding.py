"""Agents that find each other at a rendezvous point."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.apps.agent import finding
from mesh.apps.agent.agent import Agent
from mesh.errors import DecodeError
from mesh.node import Node
from tests.apps.agent.agents import Agents
from tests.network.live import TCP, eventually


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "LOOK_S", 0.05)
    monkeypatch.setattr(finding, "FIRST_PAUSE_S", 0.05)


def points(*nodes: Node) -> dict[str, Any]:
    named = tuple(str(each.listen_addrs[0]) for each in nodes)
    return {"rendezvous": named, "rendezvous_interval_s": 0.1}


def met(one: Agent, other: Agent) -> bool:
    return one.node.swarm.is_connected(other.node.peer_id)


async def test_agents_meet_at_a_point_and_hear_of_each_other(agents: Agents) -> None:
    point = await agents.start(serve_rendezvous=True)
    alice, bob = [await agents.agent(gossip=True, settings=points(point)) for _ in range(2)]
    await eventually(lambda: met(alice, bob) and met(bob, alice), "the connection")
    for one, other in ((alice, bob), (bob, alice)):
        await eventually(lambda: one.discover(peer=str(other.node.peer_id)), "the announcement")  # noqa: B023
    registered = await alice.node.rendezvous.discover(point.listen_addrs[0], finding.NAMESPACE)
    assert {each.peer for each in registered.peers} == {alice.node.peer_id, bob.node.peer_id}


async def test_a_relay_of_an_agent_is_where_it_is_found(agents: Agents) -> None:
    """Neither listens: each registers once it holds a reservation, and is dialled through the relay."""
    point = await agents.start(serve_rendezvous=True)
    relay = await agents.start(relay_serve=True)
    through = (str(relay.listen_addrs[0]),)
    alice, bob = [await agents.agent("", relays=through, settings=points(point)) for _ in range(2)]
    await eventually(lambda: met(alice, bob), "the connection")
    connection = alice.node.swarm.connection_to(bob.node.peer_id)
    assert connection is not None
    assert connection.relay == relay.peer_id


async def test_a_point_that_is_none_is_tried_again_and_another_serves_meanwhile(agents: Agents) -> None:
    first = await agents.start(serve_rendezvous=True)
    second = await agents.start(TCP)
    given = points(first, second)
    alice, bob = [await agents.agent(settings=given) for _ in range(2)]
    await eventually(lambda: met(alice, bob), "the connection")
    await eventually(lambda: alice.node.counters["agent.rendezvous:failed"] > 1, "another try")
    assert alice.node.counters["agent.rendezvous:registered"] == 1


async def test_who_was_found_and_left_is_found_again(agents: Agents) -> None:
    point = await agents.start(serve_rendezvous=True)
    alice = await agents.agent(settings=points(point))
    bob = await agents.agent(settings=points(point))
    await eventually(lambda: met(alice, bob), "the connection")
    key = bob.node.key
    await agents.end(bob)
    await eventually(lambda: not met(alice, bob), "the end of it")
    again = await agents.agent(settings=points(point), key=key)
    await eventually(lambda: met(alice, again), "the connection to who came back")


async def test_what_is_no_address_is_told(agents: Agents) -> None:
    with pytest.raises(DecodeError):
        await agents.agent(settings={"rendezvous": ("/ip4/nowhere",)})
