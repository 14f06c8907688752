"""Pubsub between a few of Go's hosts and our nodes: each version, either side dialling, and each way of a message."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from mesh.identity.peer_id import PeerId
from mesh.node import Node
from mesh.protocols.gossip import PROTOCOLS
from mesh.services.gossip import Message, Topic
from tests.interop.peers import DIRECTIONS
from tests.network.live import PATIENCE_S, Nodes, eventually
from tests.services.gossip.network import gossip_node, take
from tools.interop_peers.building import PEER, GoProgram, ensure_built
from tools.interop_peers.pubsub_network import PEER_PUBSUB17, GoPubsubNetwork

pytestmark = pytest.mark.interop

TOPIC = "news"
BEAT_S = 0.1
QUICK = {"HeartbeatInterval": "100ms", "HeartbeatInitialDelay": "10ms"}
SETTINGS = {"params": QUICK}
BUILD_S = 900
PROGRAMS = [
    pytest.param(PEER, id="0.15"),
    pytest.param(PEER_PUBSUB17, id="0.17", marks=[pytest.mark.long, pytest.mark.timeout(BUILD_S)]),
]
OFFERED = {
    "floodsub": "/floodsub/1.0.0",
    "1.0": "/meshsub/1.0.0",
    "1.1": "/meshsub/1.1.0",
    "1.2": "/meshsub/1.2.0",
    "1.3": "/meshsub/1.3.0",
}


def network(
    hosts: int, *, version: str = "1.2", program: GoProgram = PEER, **settings: Any
) -> GoPubsubNetwork:
    return GoPubsubNetwork(
        hosts, TOPIC, versions=(version,), settings={**SETTINGS, **settings}, program=program
    )


async def reader_node(nodes: Nodes, heartbeat_s: float = BEAT_S, **settings: Any) -> Node:
    return await gossip_node(nodes, heartbeat_s=heartbeat_s, **settings)


async def meet(go: GoPubsubNetwork, node: Node, *hosts: int, we_dial: bool = True) -> None:
    """Connect to these hosts; each side knows the other to be in the topic."""
    for host in hosts:
        if we_dial:
            await node.connect(go.nodes[host].addresses[0])
        else:
            await go.connect(host, str(node.listen_addrs[0]))
    wanted = {PeerId.parse(go.nodes[host].peer) for host in hosts}
    await eventually(lambda: wanted <= set(node.pubsub.peers(TOPIC)), "Go's hosts in the topic")
    for host in hosts:
        await until_listed(go, "pubsub_peers", "peers", host, node)


async def until_listed(go: GoPubsubNetwork, command: str, member: str, host: int, node: Node) -> str:
    """The protocol under which a host lists our node in the end."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            listed = (await go.call(host, command, topic=TOPIC))[member]
            found = [each["protocol"] for each in listed if each["peer"] == str(node.peer_id)]
            if found:
                return str(found[0])
            await asyncio.sleep(0.02)


async def in_mesh(go: GoPubsubNetwork, node: Node, *hosts: int) -> None:
    """Each side has the other in its mesh."""
    wanted = {PeerId.parse(go.nodes[host].peer) for host in hosts}
    await eventually(lambda: wanted <= set(node.pubsub.mesh(TOPIC)), "Go's hosts in our mesh")
    for host in hosts:
        await until_listed(go, "pubsub_mesh", "mesh", host, node)


def spoken(node: Node, peer: str) -> str:
    """The protocol our node sends to a peer by."""
    stream = node.pubsub._links[PeerId.parse(peer)].stream
    assert stream is not None
    return stream.protocol


async def counted(go: GoPubsubNetwork, host: int, part: str, name: str, at_least: int = 1) -> int:
    """One of a host's counters, once it has come so far."""
    async with asyncio.timeout(PATIENCE_S):
        while (found := int((await go.counters(host))[part][name])) < at_least:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    return found


def data_of(messages: Iterable[Message]) -> list[bytes]:
    return sorted(each.data for each in messages)


async def cross(go: GoPubsubNetwork, topic: Topic, hosts: Sequence[int], bodies: Sequence[bytes]) -> None:
    """Bodies go both ways, and arrive once."""
    reader = topic.subscribe()
    for body in bodies:
        await topic.publish(b"ours " + body)
    for host in hosts:
        found = (await go.received(host, TOPIC, at_least=len(bodies))).messages
        assert sorted(found) == sorted(b"ours " + body for body in bodies)
    for body in bodies:
        await go.publish(hosts[0], TOPIC, b"go's " + body)
    messages = await take(reader, len(bodies))
    assert data_of(messages) == sorted(b"go's " + body for body in bodies)
    assert not len(reader)


# -- versions and policies -------------------------------------------------------------------------------------------


@DIRECTIONS
@pytest.mark.parametrize("version", OFFERED)
async def test_messages_cross_in_every_version(nodes: Nodes, version: str, we_dial: bool) -> None:
    floods = version == "floodsub"
    settings = {"router": "floodsub"} if floods else {"params": QUICK}
    versions = () if floods else (version,)
    async with GoPubsubNetwork(1, TOPIC, versions=versions or ("1.3",), settings=settings) as go:
        node = await reader_node(nodes)
        topic = node.pubsub.join(TOPIC)
        await meet(go, node, 0, we_dial=we_dial)
        if not floods:
            await in_mesh(go, node, 0)
        assert spoken(node, go.nodes[0].peer) == OFFERED[version]
        assert await until_listed(go, "pubsub_peers", "peers", 0, node) == OFFERED[version]
        await cross(go, topic, [0], [b"%d" % number for number in range(20)])
        assert (topic.mesh() == []) is floods


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_messages_cross_when_we_speak_one_version_alone(nodes: Nodes, protocol: str) -> None:
    async with network(1, version="1.3") as go:
        node = await reader_node(nodes, protocols=(protocol,))
        topic = node.pubsub.join(TOPIC)
        await meet(go, node, 0)
        if protocol != "/floodsub/1.0.0":
            await in_mesh(go, node, 0)
        assert await until_listed(go, "pubsub_peers", "peers", 0, node) == protocol
        await cross(go, topic, [0], [b"a", b"b"])


@DIRECTIONS
async def test_nobody_signs(nodes: Nodes, we_dial: bool) -> None:
    """Neither author nor number; the id is the data's hash on both sides, so copies are known as such."""
    async with network(2, signing="strict_no_sign") as go:
        node = await reader_node(nodes, signatures="strict-no-sign")
        topic = node.pubsub.join(TOPIC)
        await go.link(1)
        await meet(go, node, 0, 1, we_dial=we_dial)
        await in_mesh(go, node, 0, 1)
        reader = topic.subscribe()
        await cross(go, topic, [0, 1], [b"a", b"b", b"c"])
        messages = await take(reader, 3)
        assert {(each.sender, each.seqno, each.author) for each in messages} == {(None, None, None)}
        assert await topic.publish(b"go's a") == 0, "seen"
        assert node.pubsub.counts()["forged"] == 0


async def test_unsigned_messages_of_go_are_refused_where_all_sign(nodes: Nodes) -> None:
    async with network(1, signing="strict_no_sign") as quiet, network(1) as signing:
        node = await reader_node(nodes)
        reader = node.pubsub.join(TOPIC).subscribe()
        for go in (quiet, signing):
            await meet(go, node, 0)
            await in_mesh(go, node, 0)
        await quiet.publish(0, TOPIC, b"unsigned")
        await eventually(lambda: node.pubsub.counts()["forged"] == 1, "the refusal")
        await signing.publish(0, TOPIC, b"signed")
        assert data_of(await take(reader, 1)) == [b"signed"]
        assert len(node.connections) == 2


async def test_long_messages_cross(nodes: Nodes) -> None:
    """500 KiB each."""
    async with network(1) as go:
        node = await reader_node(nodes)
        topic = node.pubsub.join(TOPIC)
        await meet(go, node, 0)
        await in_mesh(go, node, 0)
        body = bytes(range(256)) * 2000
        await cross(go, topic, [0], [body, body[::-1]])


# -- gossip ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1023, 1024])
async def test_long_messages_are_declined_both_ways(nodes: Nodes, size: int) -> None:
    """From 1024 bytes on, each tells its neighbours but the sender."""
    count = 5
    async with network(3) as go:
        node = await reader_node(nodes, heartbeat_s=20.0)
        reader = node.pubsub.join(TOPIC).subscribe()
        await meet(go, node, 0, 1, 2)
        await go.connect(1, go.nodes[2].addresses[0])
        await in_mesh(go, node, 0, 1, 2)
        await go.mesh(1, TOPIC, at_least=2)
        router = node.pubsub._running().router
        for number in range(count):
            await go.publish(1, TOPIC, bytes([number]) * size)
        await take(reader, count)
        await go.received(0, TOPIC, at_least=count)
        await go.received(2, TOPIC, at_least=count)
        if size < 1024:
            await node.pubsub.publish(TOPIC, b"later")
            await go.received(0, TOPIC, at_least=count + 1)
            assert (await go.counters(0))["received"]["idontwant_ids"] == 0
            assert router.sizes()["declined_bytes"] == 0
        else:
            assert await counted(go, 0, "received", "idontwant_ids", count) == count, "from us alone"
            assert await counted(go, 2, "sent", "idontwant_ids") > 0
            await eventually(lambda: router.sizes()["declined_bytes"] > 0, "those of Go heeded")


async def test_messages_that_went_past_are_fetched_both_ways(nodes: Nodes) -> None:
    """Go's mesh is full without our node, and ours without Go, so all between them goes by IHAVE and IWANT."""
    full = {**QUICK, "D": 2, "Dlo": 2, "Dhi": 2, "Dscore": 1, "Dout": 0}
    async with network(3, params=full) as go:
        await go.link(2)
        await go.meshes(TOPIC, at_least=2)
        few = {"d": 1, "d_low": 1, "d_high": 1, "d_out": 0}
        node, other = await reader_node(nodes, **few), await reader_node(nodes, **few)
        topic, _ = node.pubsub.join(TOPIC), other.pubsub.join(TOPIC)
        await node.connect(other.listen_addrs[0])
        await eventually(lambda: topic.mesh() == [other.peer_id], "a mesh of ours")
        await meet(go, node, 0)
        assert set(await go.mesh(0, TOPIC)) == {each.peer for each in go.nodes[1:]}
        await cross(go, topic, [0], [b"missed", b"missed too"])
        counts = node.pubsub.counts()
        assert counts["asked"] >= 2
        assert counts["answered"] >= 2
        await counted(go, 0, "sent", "iwant_ids", 2)
        assert topic.mesh() == [other.peer_id]


# -- peer exchange ---------------------------------------------------------------------------------------------------

OTHERS = 3


async def test_peers_that_go_names_are_called(nodes: Nodes) -> None:
    full = {**QUICK, "D": OTHERS, "Dlo": OTHERS, "Dhi": OTHERS, "Dscore": 1, "Dout": 0}
    async with network(OTHERS + 1, params=full, peer_exchange=True) as go:
        for index in range(1, OTHERS + 1):
            await go.connect(index, go.nodes[0].addresses[0])
        await go.mesh(0, TOPIC, at_least=OTHERS)
        node = await reader_node(nodes)
        topic = node.pubsub.join(TOPIC)
        await node.connect(go.nodes[0].addresses[0])
        await eventually(lambda: len(topic.peers()) == OTHERS + 1, "the peers that Go named")
        assert node.counters["gossip.dialled"] > 0
        assert PeerId.parse(go.nodes[0].peer) not in topic.mesh()
        await eventually(lambda: topic.mesh(), "a place in another's mesh")
        await cross(go, topic, [1, 2], [b"found"])


async def test_go_calls_peers_that_we_name(nodes: Nodes) -> None:
    async with network(OTHERS + 1) as go:
        node = await reader_node(nodes, peer_exchange=True, d=OTHERS, d_low=OTHERS, d_high=OTHERS, d_out=1)
        topic = node.pubsub.join(TOPIC)
        await meet(go, node, *range(OTHERS), we_dial=False)
        await in_mesh(go, node, *range(OTHERS))
        await meet(go, node, OTHERS, we_dial=False)
        named = await go.peers(OTHERS, TOPIC, at_least=OTHERS + 1)
        assert set(named) == {str(node.peer_id), *(each.peer for each in go.nodes[:OTHERS])}
        assert PeerId.parse(go.nodes[OTHERS].peer) not in topic.mesh()


# -- a small network, with the later library too -----------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
async def test_messages_reach_everyone_once(nodes: Nodes, program: GoProgram) -> None:
    ensure_built(program)
    each_side, of_each = 3, 20
    async with network(each_side, version="1.3", program=program) as go:
        ours = [await reader_node(nodes) for _ in range(each_side)]
        topics = [node.pubsub.join(TOPIC) for node in ours]
        readers = [topic.subscribe() for topic in topics]
        await go.link(1)
        for index, node in enumerate(ours):
            await meet(go, node, index, (index + 1) % each_side)
            await in_mesh(go, node, index, (index + 1) % each_side)
            assert spoken(node, go.nodes[index].peer) == "/meshsub/1.3.0"
        for number in range(of_each):
            for topic in topics:
                await topic.publish(b"%d" % number)
        await go.publish_all(TOPIC, each_side * of_each, rate=500)
        wanted = (2 * each_side - 1) * of_each
        senders = {str(node.peer_id): of_each for node in ours} | {one.peer: of_each for one in go.nodes}
        for one in await go.received_all(TOPIC, at_least=wanted):
            assert (one.deliveries, one.duplicates) == (wanted, 0)
            assert one.senders == {peer: count for peer, count in senders.items() if peer != one.peer}
        for node, reader in zip(ours, readers, strict=True):
            messages = await take(reader, wanted)
            assert len({message.id for message in messages}) == wanted
            assert not len(reader)
            assert node.pubsub.counts()["forged"] == 0
