"""Extensions of GossipSub 1.3 with go-libp2p-pubsub v0.17: messages in parts both ways, and the test extension."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.node import Node
from mesh.services.gossip import PartSupport, Topic
from tests.interop.peers import DIRECTIONS, GoPeer
from tests.network.live import Nodes, eventually
from tests.services.gossip.network import make_node, meshed, take
from tests.services.gossip.pieces import Pieces
from tools.interop_peers.building import ensure_built
from tools.interop_peers.pubsub_network import PEER_PUBSUB17

pytestmark = [pytest.mark.interop, pytest.mark.long, pytest.mark.timeout(900)]

TOPIC = "news"
GROUP = b"block 7"
WHOLE = {number: bytes([16 * number]) * 4 for number in range(8)}
QUICK = {"HeartbeatInterval": "100ms", "HeartbeatInitialDelay": "10ms"}


async def joined(nodes: Nodes, support: PartSupport) -> tuple[Pieces, Topic, Node]:
    program, node = Pieces(), make_node(nodes)
    node.pubsub.set_extensions(program)
    await node.start()
    topic = program.topics[TOPIC] = node.pubsub.join(TOPIC, parts=support)
    return program, topic, node


async def go_joined(go: GoPeer, wants: bool) -> None:
    await go.call("pubsub_start", params=QUICK, parts=True)
    await go.call("pubsub_parts_join", topic=TOPIC, wants=wants)
    await go.call("pubsub_subscribe", topic=TOPIC)


async def meet(go: GoPeer, node: Node, topic: Topic, we_dial: bool) -> None:
    if we_dial:
        await node.connect(go.address)
    else:
        await go.call("connect", addr=str(node.listen_addrs[0]))
    await meshed(topic)
    await go.call("pubsub_mesh", topic=TOPIC, at_least=1)


async def parts_of(go: GoPeer, at_least: int) -> Any:
    answer = await go.call(
        "pubsub_parts_get", topic=TOPIC, group_hex=GROUP.hex(), at_least=at_least, timeout_ms=10_000
    )
    return answer["parts"]


async def put(go: GoPeer, parts: dict[int, bytes]) -> None:
    named = {str(number): part.hex() for number, part in parts.items()}
    await go.call("pubsub_parts_put", topic=TOPIC, group_hex=GROUP.hex(), parts=named)


def halves() -> tuple[dict[int, bytes], dict[int, bytes]]:
    return {n: WHOLE[n] for n in (0, 3, 4, 7)}, {n: WHOLE[n] for n in (1, 2, 5, 6)}


@DIRECTIONS
async def test_each_has_half(nodes: Nodes, we_dial: bool) -> None:
    ensure_built(PEER_PUBSUB17)
    async with GoPeer(program=PEER_PUBSUB17) as go:
        await go_joined(go, wants=True)
        program, topic, node = await joined(nodes, PartSupport.WANTS)
        await meet(go, node, topic, we_dial)
        ours, theirs = halves()
        assert program.put(topic, GROUP, ours) == 1
        await put(go, theirs)
        await eventually(lambda: program.held[GROUP] == WHOLE, "all parts here")
        assert await parts_of(go, 8) == {str(number): part.hex() for number, part in WHOLE.items()}


@pytest.mark.parametrize("we_want", [True, False])
async def test_who_asks_gets_parts_and_who_does_not_gets_whole_messages(nodes: Nodes, we_want: bool) -> None:
    async with GoPeer(program=PEER_PUBSUB17) as go:
        await go_joined(go, wants=not we_want)
        program, topic, node = await joined(nodes, PartSupport.WANTS if we_want else PartSupport.SENDS)
        await meet(go, node, topic, True)
        reader = topic.subscribe()
        ours, theirs = halves()
        program.put(topic, GROUP, ours)
        await put(go, theirs)
        if we_want:
            await eventually(lambda: program.held[GROUP] == WHOLE, "the parts of Go")
            await topic.publish(b"whole")
            answer = await go.call("pubsub_received", topic=TOPIC, at_least=1, timeout_ms=10_000)
            assert answer["distinct"] == 1
        else:
            assert await parts_of(go, 8) == {str(number): part.hex() for number, part in WHOLE.items()}
            await go.call("pubsub_publish", topic=TOPIC, count=1)
            assert len(await take(reader, 1)) == 1
            assert program.held[GROUP] == ours


async def test_the_test_extension(nodes: Nodes) -> None:
    async with GoPeer(program=PEER_PUBSUB17) as go:
        await go.call("pubsub_start", params=QUICK, test_extension=True)
        node, heard = make_node(nodes), list[str]()
        node.pubsub.set_extensions(tested=lambda peer: heard.append(str(peer)))
        await node.start()
        await node.connect(go.address)
        answer = await go.call("pubsub_tested", at_least=1, timeout_ms=10_000)
        assert answer["peers"] == [str(node.peer_id)]
        await eventually(lambda: heard == [go.peer], "Go's RPC")
