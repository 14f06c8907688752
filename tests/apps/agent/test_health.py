"""Health as the README of the stock daemon defines it, clause by clause, and on live nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.apps.agent import health
from mesh.apps.agent.health import Facts, HealthWatch, judge
from mesh.errors import TimedOut
from tests.api.agent_double import PlainAgent
from tests.api.agent_rig import ALICE
from tests.network.live import Nodes, eventually

WELL = Facts(connected_peers=1)


@pytest.mark.parametrize(
    ("facts", "errors"),
    [
        (WELL, []),
        (Facts(), ["no connected peer"]),
        (replace(WELL, relay_wanted=True), ["no connection to a relay"]),
        (replace(WELL, relay_wanted=True, relay_connected=True), []),
        (replace(WELL, topic_members=2), ["no neighbour in the gossip mesh"]),
        (replace(WELL, topic_members=2, neighbours=1), []),
        (replace(WELL, errors=("R: refused",)), ["connection error: R: refused"]),
        (replace(WELL, storage_problem="the disk is full"), ["the disk is full"]),
    ],
)
def test_each_clause_alone_makes_a_node_sick(facts: Facts, errors: list[str]) -> None:
    found = judge(facts, 5)
    assert list(found.errors) == errors
    assert found.document()["isHealthy"] is (not errors)


async def test_a_relay_that_breaks_off_is_an_error_for_a_while(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = await nodes.start()
    node = await nodes.start(relays=(str(relay.listen_addrs[0]),))
    async with PlainAgent(node, node.config) as agent:
        watch = HealthWatch(agent)
        watch.start()
        connection = await node.connect(relay.listen_addrs[0])
        found = watch.look(0)
        assert (found.facts.relay_wanted, found.facts.relay_connected, found.is_healthy) == (True, True, True)
        connection.abort(TimedOut("no answer to a ping"))
        await eventually(lambda: bool(watch.look(0).facts.errors), "the error")
        await node.connect(relay.listen_addrs[0])
        (error,) = watch.look(0).errors
        assert "no answer to a ping" in error
        monkeypatch.setattr(health, "ERROR_MEMORY_S", -1.0)
        assert watch.look(0).is_healthy
        watch.stop()


async def test_without_its_relay_a_node_is_sick_whoever_else_is_connected(nodes: Nodes) -> None:
    peer = await nodes.start()
    node = await nodes.start(relays=(f"/ip4/127.0.0.1/tcp/1/p2p/{ALICE}",))
    await node.connect(peer.listen_addrs[0])
    async with PlainAgent(node, node.config) as agent:
        found = HealthWatch(agent).look(0)
        assert (found.errors, found.facts.connected_peers) == (("no connection to a relay",), 1)


async def test_a_bootstrap_peer_out_of_reach_is_an_error_while_it_is(nodes: Nodes) -> None:
    peer = await nodes.start()
    node = await nodes.start(bootstrap=("/ip4/127.0.0.1/tcp/1",))
    await node.connect(peer.listen_addrs[0])
    async with PlainAgent(node, node.config) as agent:
        watch = HealthWatch(agent)
        (bootstrap,) = node.bootstrap.peers.values()
        await node.bootstrap.attempt(bootstrap)
        (error,) = watch.look(0).errors
        assert "/ip4/127.0.0.1/tcp/1" in error
        bootstrap.reached = True
        assert watch.look(0).is_healthy
