"""The Go hosts with pubsub by themselves: what other tests and the benchmark stand on."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.interop.peers import GoPeer
from tests.network.live import PATIENCE_S
from tools.interop_peers.building import BINARY, PEER, GoProgram, ensure_built
from tools.interop_peers.process import Answer, CommandFailed
from tools.interop_peers.pubsub_network import PEER_PUBSUB17, GoPubsubNetwork

pytestmark = pytest.mark.interop

TOPIC = "news"
QUICK = {"HeartbeatInterval": "100ms", "HeartbeatInitialDelay": "10ms"}
SCORED = {"AppSpecificWeight": 1, "DecayInterval": "1s", "DecayToZero": 0.01}
THRESHOLDS = {"GossipThreshold": -10, "PublishThreshold": -20, "GraylistThreshold": -30}
POLL_S = 0.02
BUILD_S = 900
PROGRAMS = [
    pytest.param(PEER, "v0.15.0", id="0.15"),
    pytest.param(PEER_PUBSUB17, "v0.17.0", id="0.17", marks=[pytest.mark.long, pytest.mark.timeout(BUILD_S)]),
]


@pytest.fixture
async def pair(_nothing_left: None) -> AsyncIterator[tuple[GoPeer, GoPeer]]:
    """Two Go peers that are not yet connected; each starts pubsub when told."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(GoPeer()), await stack.enter_async_context(GoPeer())


async def start(peer: GoPeer, *, subscribe: Mapping[str, Any] | None = None, **settings: Any) -> Answer:
    """Start pubsub and subscribe. Before it is connected: else it may be met while it offers but the oldest protocol."""
    answer = await peer.call("pubsub_start", **settings)
    await peer.call("pubsub_subscribe", topic=TOPIC, **subscribe or {})
    return answer


async def meet(one: GoPeer, other: GoPeer, *, mesh: bool = True) -> None:
    """Connect, and wait until each sends messages to the other."""
    await one.call("connect", addr=other.address)
    for peer in (one, other):
        await peer.call("pubsub_mesh" if mesh else "pubsub_peers", topic=TOPIC, at_least=1)


async def publish(peer: GoPeer, data: bytes) -> None:
    await peer.call("pubsub_publish", topic=TOPIC, data=base64.b64encode(data).decode())


async def received(peer: GoPeer, count: int) -> list[bytes]:
    """The messages of a peer, once there are so many."""
    answer = await peer.call("pubsub_received", topic=TOPIC, at_least=count, list="data", timeout_ms=10_000)
    assert answer["distinct"] == answer["deliveries"] == len(answer["messages"])
    assert answer["duplicates"] == 0
    return [base64.b64decode(each["data"]) for each in answer["messages"]]


async def counted(peer: GoPeer, *names: str, at_least: int = 1) -> int:
    """A counter, once it has come so far."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found: Any = await peer.call("pubsub_counters")
            for name in names:
                found = found.get(name, 0)
            if found >= at_least:
                return int(found)
            await asyncio.sleep(POLL_S)


async def scored(peer: GoPeer, of: GoPeer, where: Callable[[Answer], bool]) -> Answer:
    """The parts of a score, once it is as ``where`` says."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            score = (await peer.call("pubsub_scores"))["scores"].get(of.peer)
            if score is not None and where(score):
                return dict(score)
            await asyncio.sleep(POLL_S)


# -- two peers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "protocols"),
    [
        ("1.0", ["/meshsub/1.0.0", "/floodsub/1.0.0"]),
        ("1.1", ["/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0"]),
        ("1.2", ["/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0"]),
        ("1.3", ["/meshsub/1.3.0", "/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0"]),
    ],
)
async def test_peer_offers_its_version_and_all_before(
    pair: tuple[GoPeer, GoPeer], version: str, protocols: list[str]
) -> None:
    one, other = pair
    answer = await start(one, version=version, params=QUICK)
    await start(other, params=QUICK)
    await meet(one, other)
    assert answer["protocols"] == protocols
    assert answer["pubsub"] == "v0.15.0"
    [neighbour] = (await one.call("pubsub_mesh", topic=TOPIC, at_least=1))["mesh"]
    assert neighbour == {"peer": other.peer, "protocol": protocols[0]}


@pytest.mark.parametrize("router", ["gossipsub", "floodsub"])
async def test_messages_arrive_once_with_author_and_number(pair: tuple[GoPeer, GoPeer], router: str) -> None:
    one, other = pair
    settings: dict[str, Any] = {"params": QUICK} if router == "gossipsub" else {}
    for peer in pair:
        await start(peer, router=router, **settings)
    await meet(one, other, mesh=router == "gossipsub")
    await publish(one, b"first")
    sent = await one.call("pubsub_publish", topic=TOPIC, count=50, size=64, rate=500, seed=7)
    assert sent["sent"] == 50
    assert sent["seconds"] > 0
    data = await received(other, 51)
    data.remove(b"first")
    assert {(each[:8], len(each)) for each in data} == {((7).to_bytes(8, "big"), 64)}
    assert {int.from_bytes(each[8:16], "big") for each in data} == set(range(50))
    answer = await other.call("pubsub_received", topic=TOPIC, list="sha256")
    assert answer["senders"] == {one.peer: 51}
    assert {each["from"] for each in answer["messages"]} == {one.peer}
    assert len({each["seqno"] for each in answer["messages"]}) == 51
    assert (await one.call("pubsub_received", topic=TOPIC))["own"] == 51


async def test_strict_no_sign_sends_neither_author_nor_number(pair: tuple[GoPeer, GoPeer]) -> None:
    one, other = pair
    for peer in pair:
        await start(peer, signing="strict_no_sign", params=QUICK)
    await meet(one, other)
    for data in (b"a", b"b"):
        await publish(one, data)
    assert sorted(await received(other, 2)) == [b"a", b"b"]
    answer = await other.call("pubsub_received", topic=TOPIC, list="data")
    assert {(each["from"], each["seqno"]) for each in answer["messages"]} == {("", "")}


async def test_unsigned_messages_are_rejected_and_the_reason_counted(pair: tuple[GoPeer, GoPeer]) -> None:
    one, other = pair
    await start(one, signing="strict_no_sign", params=QUICK)
    await start(other, params=QUICK)
    await meet(one, other)
    await publish(one, b"unsigned")
    assert await counted(other, "rejected", "missing signature") == 1
    assert (await other.call("pubsub_received", topic=TOPIC))["deliveries"] == 0


async def test_rejected_messages_count_against_the_sender(pair: tuple[GoPeer, GoPeer]) -> None:
    one, other = pair
    topics = {
        TOPIC: {"TopicWeight": 1, "InvalidMessageDeliveriesWeight": -1, "InvalidMessageDeliveriesDecay": 0.99}
    }
    scoring = {"score": {**SCORED, "Topics": topics}, "thresholds": THRESHOLDS}
    verdicts = {"reject_hex": b"bad".hex(), "ignore_hex": b"dull".hex()}
    await start(other, subscribe=verdicts, params=QUICK, **scoring)
    await start(one, flood_publish=True, params=QUICK)
    await meet(one, other)
    for data in (b"bad news", b"dull news", b"good news"):
        await publish(one, data)
    assert await received(other, 1) == [b"good news"]
    assert await counted(other, "rejected", "validation failed") == 1
    assert await counted(other, "rejected", "validation ignored") == 1
    score = await scored(other, one, lambda score: score["score"] < 0)
    assert 0 < score["topics"][TOPIC]["invalid_deliveries"] <= 1


async def test_graylisted_peer_is_not_listened_to(pair: tuple[GoPeer, GoPeer]) -> None:
    one, other = pair
    await start(other, params=QUICK, score=SCORED, thresholds=THRESHOLDS)
    await start(one, flood_publish=True, params={**QUICK, "Dlazy": 0, "GossipFactor": 0})
    await meet(one, other)
    await publish(one, b"heard")
    assert await received(other, 1) == [b"heard"]

    await other.call("pubsub_grant", peer=one.peer, score=-40)
    await scored(other, one, lambda score: score["score"] < -30)
    before = await counted(other, "received", "messages")
    await publish(one, b"not heard")
    await counted(other, "received", "messages", at_least=before + 1)

    await other.call("pubsub_grant", peer=one.peer, score=0)
    await scored(other, one, lambda score: score["score"] == 0)
    await publish(one, b"heard again")
    assert await received(other, 2) == [b"heard", b"heard again"]


async def test_mesh_follows_leaving_and_disconnecting(pair: tuple[GoPeer, GoPeer]) -> None:
    one, other = pair
    for peer in pair:
        await start(peer, params={**QUICK, "UnsubscribeBackoff": "1s"})
    await meet(one, other)
    await other.call("pubsub_unsubscribe", topic=TOPIC)
    assert await counted(one, "pruned") >= 1
    assert (await one.call("pubsub_mesh", topic=TOPIC))["mesh"] == []
    await other.call("pubsub_subscribe", topic=TOPIC)
    await one.call("pubsub_mesh", topic=TOPIC, at_least=1)
    await one.call("close", peer=other.peer)
    async with asyncio.timeout(PATIENCE_S):
        while (await one.call("pubsub_mesh", topic=TOPIC))["mesh"]:  # noqa: ASYNC110 - the other side is a process
            await asyncio.sleep(POLL_S)


async def test_messages_come_as_events_when_asked_for(pair: tuple[GoPeer, GoPeer]) -> None:
    one, other = pair
    await start(one, params=QUICK)
    await start(other, subscribe={"events": True, "keep": False}, params=QUICK)
    await meet(one, other)
    await publish(one, b"now")
    event = await other.event("message")
    assert (event["topic"], event["from"], base64.b64decode(event["data"])) == (TOPIC, one.peer, b"now")


async def test_mistakes_are_answered(go: GoPeer) -> None:
    with pytest.raises(CommandFailed, match="pubsub was not started"):
        await go.call("pubsub_join", topic=TOPIC)
    for settings, said in (
        ({"router": "gossip"}, "unknown router"),
        ({"version": "2.0"}, "unknown version"),
        ({"signing": "sign"}, "unknown policy"),
        ({"params": {"E": 6}}, "unknown field"),
        ({"params": {"HeartbeatInterval": "soon"}}, "HeartbeatInterval: time: invalid duration"),
        ({"router": "floodsub", "params": QUICK}, "are for gossipsub"),
        ({"params": {"D": 1}}, "must be between"),
    ):
        with pytest.raises(CommandFailed, match=said):
            await go.call("pubsub_start", **settings)
    await go.call("pubsub_start")
    with pytest.raises(CommandFailed, match="started already"):
        await go.call("pubsub_start")
    with pytest.raises(CommandFailed, match='without "score"'):
        await go.call("pubsub_scores")
    with pytest.raises(CommandFailed, match="either"):
        await go.call("pubsub_publish", topic=TOPIC)
    with pytest.raises(CommandFailed, match="not joined"):
        await go.call("pubsub_received", topic=TOPIC)


# -- a network -------------------------------------------------------------------------------------------------------

NODES = 8


@pytest.mark.parametrize(("program", "pubsub"), PROGRAMS)
async def test_every_message_reaches_everyone_once_in_a_mixed_network(
    program: GoProgram, pubsub: str
) -> None:
    ensure_built(program)
    settings = {"params": QUICK}
    async with GoPubsubNetwork(
        NODES, TOPIC, versions=("1.1", "1.2"), settings=settings, program=program
    ) as network:
        assert network.pubsub == pubsub
        assert [each.version for each in network.nodes] == ["1.1", "1.2"] * (NODES // 2)
        assert await network.link(4) >= NODES * 4 // 2
        meshes = await network.meshes(TOPIC, at_least=4)
        version = {each.peer: each.version for each in network.nodes}
        for peer, mesh in meshes.items():
            for neighbour, protocol in mesh.items():
                assert protocol == f"/meshsub/{min(version[peer], version[neighbour])}.0"
        count = NODES * 10
        assert await network.publish_all(TOPIC, count, rate=400) == count
        for each in await network.received_all(TOPIC, at_least=count - 10):
            assert (each.deliveries, each.distinct, each.duplicates) == (count - 10, count - 10, 0)
            assert each.senders == {one.peer: 10 for one in network.nodes if one.peer != each.peer}


async def test_only_peers_of_version_1_2_are_told_what_is_not_wanted() -> None:
    async with GoPubsubNetwork(4, TOPIC, versions=("1.1", "1.2"), settings={"params": QUICK}) as network:
        await network.link(3)
        await network.meshes(TOPIC, at_least=3)
        await network.publish_all(TOPIC, 40, rate=400, size=2048)
        await network.received_all(TOPIC, at_least=30)
        counters = [await network.counters(node) for node in range(4)]
        assert [each["sent"]["idontwant_ids"] > 0 for each in counters] == [False, True] * 2
        assert [each["received"]["idontwant_ids"] > 0 for each in counters] == [False, True] * 2


async def test_killed_host_comes_back_with_its_key_and_address() -> None:
    async with GoPubsubNetwork(3, TOPIC, settings={"params": QUICK}) as network:
        await network.link(2)
        await network.meshes(TOPIC, at_least=2)
        await network.publish(0, TOPIC, b"before")
        assert (await network.received(2, TOPIC, at_least=1)).messages == [b"before"]
        await network.kill(2)
        with pytest.raises(CommandFailed, match="node 2 was killed"):
            await network.mesh(2, TOPIC)
        await network.publish(0, TOPIC, b"meanwhile")
        assert {each.peer for each in await network.received_all(TOPIC)} == {
            one.peer for one in network.nodes[:2]
        }
        await network.restart(2, *(network.nodes[node].addresses[0] for node in (0, 1)))
        assert set(await network.peers(0, TOPIC, at_least=2)) == {
            network.nodes[1].peer,
            network.nodes[2].peer,
        }
        await network.mesh(2, TOPIC, at_least=2)
        await network.publish(1, TOPIC, b"after")
        async with asyncio.timeout(PATIENCE_S):
            while b"after" not in (await network.received(2, TOPIC)).messages:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        with pytest.raises(CommandFailed, match="node 2 was not killed"):
            await network.restart(2)


# -- the benchmark ---------------------------------------------------------------------------------------------------


async def test_benchmark_of_two_processes_counts_what_was_sent() -> None:
    async with AsyncExitStack() as stack:
        sub = await bench(stack, "sub", "--idle", "500ms")
        ready = await line(sub)
        pub = await bench(
            stack, "pub", "--to", ready["addrs"][0], "--rate", "200", "--seconds", "1", "--drain", "1s"
        )
        sent, got = await line(pub), await line(sub)
        assert sent["role"] == "pub"
        assert got["role"] == "sub"
        assert sent["sent"] == got["received"] == 200
        assert not any([*sent["lost"].values(), *got["lost"].values()])
        assert min(sent["cpu_seconds"], got["cpu_seconds"]) > 0


@pytest.mark.parametrize("rate", ["100", "0"])
async def test_benchmark_of_a_network_counts_all_deliveries(rate: str) -> None:
    async with AsyncExitStack() as stack:
        flags = ("--nodes", "6", "--links", "5", "--seconds", "1", "--warm-up", "0.1", "--rate", rate)
        report = await line(await bench(stack, "network", *flags))
        assert report["delivered"] == report["expected"] == report["sent"] * 5 > 0
        assert report["smallest_mesh"] == report["largest_mesh"] == 5
        assert report["cpu_seconds"] > 0


async def bench(stack: AsyncExitStack, *flags: str) -> asyncio.subprocess.Process:
    """`peer pubsub-bench`, ended for certain with the stack."""
    process = await asyncio.create_subprocess_exec(
        *(str(BINARY), "pubsub-bench", *flags, "--timeout", "60s"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.communicate()

    stack.push_async_callback(end)
    return process


async def line(process: asyncio.subprocess.Process) -> Answer:
    assert process.stdout is not None
    async with asyncio.timeout(30.0):
        found: Answer = json.loads(await process.stdout.readline())
    return found
