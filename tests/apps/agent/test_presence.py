"""Announcements, directory and node status among running agents, and who is not believed."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.agent import announcing
from mesh.apps.agent.agent import Agent
from mesh.apps.agent.records import DeliveryState, DirectoryChanged, ServiceInfo
from mesh.apps.agent.topics import ANNOUNCE_TOPICS, DIRECTORY_TOPICS, STATUS_TOPICS, TopicRelay
from mesh.errors import ConfigError, UsageError
from mesh.node import Node
from mesh.protocols.openclaw.announcement import Announcement
from tests.apps.agent.agents import Agents, reaches, until, watched
from tests.network.live import eventually
from tests.vectors import load

README_TOPICS = {"/bsv-p2p/announcements", "node_status", "/bsv-p2p/directory"}
POEM = ServiceInfo("poem", "Poems", 50, "bsv", "about the sea", {"lines": 4})


async def met(agents: Agents, *settings: dict[str, Any], **network: Any) -> list[Agent]:
    """Agents in a chain, each connected to the next."""
    found = [await agents.agent(gossip=True, settings=each, **network) for each in settings]
    for one, other in itertools.pairwise(found):
        await one.node.connect(other.node.listen_addrs[0])
    return found


def hears(agent: Agent, other: Agent) -> bool:
    return bool(agent.discover(peer=str(other.node.peer_id)))


async def test_agents_hear_of_each_other_and_of_what_is_offered(agents: Agents) -> None:
    alice, bob = await met(agents, {"name": "Alice"}, {"name": "Bob"})
    await eventually(lambda: hears(alice, bob) and hears(bob, alice), "both announcements")
    assert alice.discovering
    async with watched(bob) as told:
        await alice.register(POEM)
        await eventually(lambda: bob.discover(service="poem"), "the service")
        await eventually(lambda: any(isinstance(each, DirectoryChanged) for each in told), "the event")
    [found] = bob.discover(text="SEA")
    assert found.services == (POEM,)
    assert found.multiaddrs == tuple(str(each) for each in alice.node.listen_addrs)
    assert bob.discover(service="poe") == []
    assert await alice.unregister("poem")
    assert not await alice.unregister("poem")
    await eventually(lambda: not bob.discover(service="poem"), "the end of the service")


async def test_a_newcomer_behind_another_is_greeted(agents: Agents) -> None:
    alice, bob, carol = await met(agents, {}, {}, {})
    await eventually(lambda: hears(alice, carol) and hears(carol, alice), "those at the ends")
    assert not alice.node.swarm.is_connected(carol.node.peer_id)
    assert hears(bob, alice)


async def test_an_announced_address_is_dialled(agents: Agents) -> None:
    alice, _, carol = await met(agents, {}, {}, {})
    await eventually(lambda: hears(alice, carol), "the announcement")
    accepted = await alice.send(str(carol.node.peer_id), "x")
    await reaches(alice, accepted.message_id, DeliveryState.DELIVERED)


async def test_names_and_status_go_round(agents: Agents) -> None:
    alice, bob = await met(agents, {"name": "Alice"}, {"name": "Bob"})
    await eventually(lambda: alice.network_status().peers, "bob's status")
    [status] = alice.network_status().peers
    assert (status.peer_id, status.name) == (str(bob.node.peer_id), "Bob")
    assert status.connected_peers >= 0
    own = alice.network_status().own
    assert (own.name, own.version != "unknown") == ("Alice", True)
    assert alice.network_status().last_broadcast > 0
    await bob.set_name("Robert")
    await bob.broadcast_status()
    await eventually(lambda: alice.network_status().peers[0].name == "Robert", "the new name")
    shown = "SELECT shown_name FROM peers WHERE peer_id = ?"
    row = (str(bob.node.peer_id),)
    await until(
        lambda: alice.store.read(lambda database: database.execute(shown, row).fetchone()),
        lambda found: found == ("Robert",),
    )


async def test_without_pubsub_nobody_is_heard_of(agents: Agents) -> None:
    alice = await agents.agent()
    assert not alice.discovering
    assert alice.discover() == []
    with pytest.raises(UsageError, match=r"gossip\.enabled"):
        await alice.broadcast_status()
    await alice.register(POEM)
    assert list(alice.services) == [POEM]


async def test_services_and_name_outlive_the_agent(agents: Agents, tmp_path: Path) -> None:
    alice = await agents.agent(folder=tmp_path)
    await alice.register(POEM)
    await alice.set_name("Alice")
    await agents.end(alice)
    alice = await agents.agent(folder=tmp_path)
    assert list(alice.services) == [POEM]
    assert alice.name == "Alice"


def said_by(node: Node, peer_id: str, services: tuple[Any, ...] = ()) -> bytes:
    addresses = tuple(str(each) for each in node.listen_addrs)
    return Announcement(peer_id, "", services, addresses, time.time_ns() // 1_000_000).encode()


async def test_who_announces_for_another_is_not_believed_nor_passed_on(agents: Agents) -> None:
    alice, bob = await met(agents, {}, {})
    forger, victim = (
        await agents.agent(gossip=True, settings={"topics": ("readme",)}),
        str(alice.node.peer_id),
    )
    await forger.node.connect(bob.node.listen_addrs[0])
    topic = ANNOUNCE_TOPICS["code"]
    joined = forger.node.pubsub.join(topic)
    await eventually(lambda: joined.peers(), "the topic")
    await joined.publish(said_by(forger.node, victim))
    await joined.publish(b"no announcement")

    await joined.publish(said_by(forger.node, str(forger.node.peer_id)))
    await eventually(lambda: hears(alice, forger) and hears(bob, forger), "the forger's own announcement")
    assert bob.node.counters["agent.topic:forged"] == 1
    assert bob.node.counters["agent.topic:malformed"] == 1
    assert alice.node.counters["agent.topic:forged"] == 0, "bob passed it on"
    await eventually(lambda: hears(bob, alice), "the true announcement")
    assert bob.discover(peer=victim)[0].multiaddrs == tuple(str(each) for each in alice.node.listen_addrs)


async def test_a_forged_status_is_not_believed(agents: Agents) -> None:
    [bob] = await met(agents, {})
    forger = await agents.agent(gossip=True, settings={"topics": ("readme",)})
    await forger.node.connect(bob.node.listen_addrs[0])
    joined = forger.node.pubsub.join(STATUS_TOPICS["code"])
    await eventually(lambda: joined.peers(), "the topic")
    recorded: Any = load("gossip", "bsv")["messages"][0]["data_json"]
    await joined.publish(json.dumps(recorded).encode())
    await eventually(lambda: bob.node.counters["agent.topic:forged"] == 1, "the forgery")
    own = {**recorded, "peerId": str(forger.node.peer_id), "name": "<b>" * 200}
    await joined.publish(json.dumps(own).encode())
    await eventually(lambda: bob.network_status().peers, "its own status")
    assert len(bob.network_status().peers[0].name) == 256


async def test_the_names_of_the_readme(agents: Agents) -> None:
    alice, bob = await met(agents, {"topics": ("code", "readme")}, {"topics": ("readme",)})
    await eventually(lambda: hears(alice, bob) and hears(bob, alice), "both")
    assert set(bob.node.pubsub.topics()) == README_TOPICS


async def test_whom_only_others_heard_is_heard_of_from_them(
    agents: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alice announces herself where Carol is not; what Bob tells of her in the README's directory is hearsay."""
    monkeypatch.setattr(announcing, "GAP_S", 0.1)
    alice = await agents.agent(gossip=True)
    await alice.register(POEM)
    readme: dict[str, Any] = {"topics": ("readme",)}
    bob, carol = await met(agents, {"topics": ("code", "readme"), "announce_interval_s": 1.0}, readme)
    await bob.node.connect(alice.node.listen_addrs[0])  # an announcement without the service may come first
    await eventually(lambda: carol.discover(service="poem"), "the hearsay")
    [found] = carol.discover(peer=str(alice.node.peer_id))
    assert found.services == (POEM,)
    assert found.multiaddrs == tuple(str(each) for each in alice.node.listen_addrs)
    assert found.heard_from == found.document()["heardFrom"] == str(bob.node.peer_id)
    assert carol.discover()[-1].peer_id == found.peer_id
    assert not carol.discover(peer=str(carol.node.peer_id)), "nobody is told of itself"
    assert not bob.discover(peer=str(alice.node.peer_id))[0].heard_from


async def test_a_listing_that_is_none_is_not_passed_on(agents: Agents) -> None:
    [bob] = await met(agents, {"topics": ("readme",)})
    liar = await agents.agent(gossip=True)
    await liar.node.connect(bob.node.listen_addrs[0])
    joined = liar.node.pubsub.join(DIRECTORY_TOPICS["readme"])
    await eventually(lambda: joined.peers(), "the topic")
    await joined.publish(b'{"peers": [{"peerId": "nobody"}]}')
    await eventually(lambda: bob.node.counters["agent.topic:malformed"] == 1, "the refusal")
    assert bob.discover() == []


async def test_a_relay_passes_on_and_reads_nothing(agents: Agents) -> None:
    relay = await agents.agent(gossip=True, relay_serve=True, settings={"topics": ("readme",)})
    passing = TopicRelay(relay.node.pubsub, relay.node.counters, ("code", "readme"))
    passing.start()
    named = (str(relay.node.listen_addrs[0]),)
    alice, bob = [await agents.agent("", gossip=True, relays=named) for _ in range(2)]
    await eventually(lambda: hears(alice, bob) and hears(bob, alice), "both through the relay")
    assert relay.discover() == []
    assert not alice.node.swarm.is_connected(bob.node.peer_id)
    await passing.stop()
    assert set(relay.node.pubsub.topics()) == README_TOPICS


async def test_an_attested_key_is_shown_as_such(
    agents: Agents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: Any = load("attestation", "bsv")
    file = tmp_path / "bsv.key"
    file.write_text(known["bsv_private_key_hex"] + "\n")
    alice, bob = await met(agents, {"bsv_key_file": file}, {"bsv_identity_key": known["bsv_public_key"]})
    await eventually(lambda: hears(alice, bob) and hears(bob, alice), "both")
    [attested], [claimed] = (
        bob.discover(peer=str(alice.node.peer_id)),
        alice.discover(peer=str(bob.node.peer_id)),
    )
    assert attested.bsv_identity_key == claimed.bsv_identity_key == known["bsv_public_key"]
    assert (attested.attested, claimed.attested) == (True, False)
    assert attested.document()["attested"] is True
    assert "attested" not in claimed.document()


@pytest.mark.parametrize("text", ["", "zz" * 32, "00" * 32, "ab" * 31, "ff" * 32])
async def test_a_key_file_that_is_none(agents: Agents, tmp_path: Path, text: str) -> None:
    file = tmp_path / "bsv.key"
    file.write_text(text)
    if not text:
        file = tmp_path / "missing"
    with pytest.raises(ConfigError) as raised:
        await agents.agent(settings={"bsv_key_file": file})
    assert str(file) in str(raised.value)
    assert not text or text not in str(raised.value)


async def test_events_end_with_the_agent_and_a_slow_reader_loses_the_oldest(agents: Agents) -> None:
    alice = await agents.agent()
    slow = alice.events()
    for number in range(1100):
        alice._events.tell([DirectoryChanged(str(number), None)])
    await agents.end(alice)
    async with asyncio.timeout(10):
        read = [event async for event in slow]
    told = [event.peer_id for event in read if isinstance(event, DirectoryChanged)]
    assert (told[0], told[-1], len(told)) == ("76", "1099", 1024)
