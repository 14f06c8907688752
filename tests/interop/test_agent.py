"""Agents of ours that meet through a relay written in Go, at its default limits: 128 KiB each way, two minutes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from mesh.apps.agent.agent import Agent
from mesh.apps.agent.records import DeliveryState
from tests.apps.agent.agents import Agents, inbound, reaches
from tests.interop.peers import GoPeer
from tests.network.live import eventually
from tests.services.relay.network import client_of

pytestmark = pytest.mark.interop

MIB = 1 << 20
PATIENCE_S = 60.0


@pytest.fixture
async def relay(_nothing_left: None) -> AsyncIterator[GoPeer]:
    async with GoPeer("--relay", "serve") as peer:
        yield peer


@pytest.fixture
async def agents(relay: GoPeer) -> AsyncIterator[Agents]:
    async with Agents() as started:
        yield started


async def reachable(agents: Agents, relay: GoPeer, **settings: int) -> Agent:
    """An agent that is reached through the relay alone."""
    agent = await agents.agent("", relays=(relay.address,), settings=settings)
    await eventually(lambda: client_of(agent.node).held, "the reservation")
    return agent


async def test_a_mebibyte_goes_through_in_pieces(agents: Agents, relay: GoPeer) -> None:
    alice, bob = await reachable(agents, relay), await reachable(agents, relay)
    content = hashlib.shake_128(b"content").hexdigest(MIB // 2)
    assert len(content) == MIB
    accepted = await alice.send(str(bob.node.peer_id), content)
    way = await reaches(alice, accepted.message_id, DeliveryState.DELIVERED, patience_s=PATIENCE_S)
    [record] = await inbound(bob)
    assert record.content == content
    assert "attempt failed" not in [step.what for step in way.steps], "what a relay cuts is no failure"
    assert way.attempts >= MIB // 131072
    limited = [each.limited for each in alice.node.connections if each.limited is not None]
    assert all(each.limit.data_bytes == 131072 for each in limited)


async def test_many_messages_in_order_over_many_circuits(agents: Agents, relay: GoPeer) -> None:
    alice, bob = await reachable(agents, relay, rate=10_000), await reachable(agents, relay, rate=10_000)
    sent = [
        (await alice.send(str(bob.node.peer_id), f"{number} " + "x" * 1000)).message_id
        for number in range(300)
    ]
    for message_id in (sent[0], sent[-1]):
        await reaches(alice, message_id, DeliveryState.DELIVERED, patience_s=PATIENCE_S)
    assert [record.message_id for record in await inbound(bob)] == sent
