"""Live nodes that give each other blocks."""

from __future__ import annotations

import asyncio
import random

import pytest

from mesh.errors import Closed, UsageError
from mesh.ipld.block import Block
from mesh.multiformats.cid import DAG_PB, RAW, Cid
from mesh.multiformats.multihash import digest
from mesh.node import Node
from mesh.protocols.bitswap.version import PROTOCOLS, Version
from tests.network.live import PATIENCE_S, Nodes, eventually
from tests.services.bitswap.live import block, exchanging, join


async def test_a_block_comes_from_whoever_has_it(nodes: Nodes, listen: str) -> None:
    giver, empty, taker = [await exchanging(nodes, listen) for _ in range(3)]
    wanted = block("wanted", 5000)
    await giver.blocks.put(wanted)
    await join(taker, giver)
    await join(taker, empty)
    async with asyncio.timeout(PATIENCE_S):
        assert await taker.bitswap.get(wanted.cid) == wanted
    await eventually(lambda: taker.blocks.has(wanted.cid), "the block among our own")
    told = {each.peer: each for each in taker.bitswap.exchanged()}
    assert (told[giver.peer_id].received_blocks, told[giver.peer_id].received_bytes) == (1, 5000)
    assert told[empty.peer_id].received_blocks == 0
    sent = {each.peer: each for each in giver.bitswap.exchanged()}[taker.peer_id]
    assert (sent.sent_bytes, sent.asked, sent.version) == (5000, True, PROTOCOLS[0])

    def cancelled() -> bool:
        debtor = empty.bitswap._ledger.debtor(taker.peer_id)
        return debtor is not None and not debtor.wants

    await eventually(cancelled, "the cancel")


async def test_many_blocks_come_from_two(nodes: Nodes) -> None:
    left, right, taker = [await exchanging(nodes) for _ in range(3)]
    rng = random.Random(3)
    blocks = [Block.of(rng.randbytes(rng.choice([40, 3000, 70_000])), RAW) for _ in range(300)]
    await left.blocks.put(*blocks[:200])
    await right.blocks.put(*blocks[100:])
    await join(taker, left)
    await join(taker, right)
    async with asyncio.timeout(3 * PATIENCE_S), taker.bitswap.session() as session:
        found = [each async for each in session.get_many(each.cid for each in blocks)]
    assert set(found) == set(blocks)
    assert len(found) == len(blocks)
    assert taker.bitswap.wants() == []
    assert {each.cid: each.data for each in found} == {each.cid: each.data for each in blocks}


async def test_what_is_here_or_in_the_cid_needs_no_peer(nodes: Nodes) -> None:
    node = await exchanging(nodes)
    here = block("here")
    await node.blocks.put(here)
    inline = Cid(1, RAW, digest(b"inline", "identity"))
    assert await node.bitswap.get(here.cid) == here
    assert (await node.bitswap.get(inline)).data == b"inline"
    assert [each async for each in node.bitswap.get_many([])] == []


async def test_a_want_is_met_when_the_block_comes_into_being(nodes: Nodes) -> None:
    giver, taker = await exchanging(nodes), await exchanging(nodes)
    await join(taker, giver)
    late = block("late", 2000)
    task = asyncio.create_task(taker.bitswap.get(late.cid))
    await eventually(lambda: giver.bitswap._ledger.debtor(taker.peer_id), "the want")
    await giver.blocks.put(late)
    async with asyncio.timeout(PATIENCE_S):
        assert await task == late


async def test_a_block_that_is_put_here_meets_a_want(nodes: Nodes) -> None:
    node = await exchanging(nodes)
    own = block("own")
    task = asyncio.create_task(node.bitswap.get(own.cid))
    await eventually(node.bitswap.wants, "the want")
    await node.blocks.put(own)
    async with asyncio.timeout(PATIENCE_S):
        assert await task == own
    assert node.bitswap.wants() == []


async def test_a_peer_that_is_connected_later_is_asked(nodes: Nodes) -> None:
    giver, taker = await exchanging(nodes), await exchanging(nodes)
    wanted = block("wanted", 2000)
    await giver.blocks.put(wanted)
    task = asyncio.create_task(taker.bitswap.get(wanted.cid))
    await eventually(taker.bitswap.wants, "the want")
    await join(taker, giver)
    async with asyncio.timeout(PATIENCE_S):
        assert await task == wanted


async def test_blocks_pass_through_who_fetches_them(nodes: Nodes) -> None:
    giver, middle, end = [await exchanging(nodes) for _ in range(3)]
    wanted = block("wanted", 9000)
    await giver.blocks.put(wanted)
    await join(middle, giver)
    await join(end, middle)
    task = asyncio.create_task(end.bitswap.get(wanted.cid))
    await eventually(lambda: middle.bitswap._ledger.debtor(end.peer_id), "the want")
    await middle.bitswap.get(wanted.cid)
    async with asyncio.timeout(PATIENCE_S):
        assert await task == wanted


async def test_a_get_that_is_given_up_leaves_no_want(nodes: Nodes) -> None:
    giver, taker = await exchanging(nodes), await exchanging(nodes)
    await join(taker, giver)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await taker.bitswap.get(block("nobody has it").cid)
    assert taker.bitswap.wants() == []
    assert not taker.bitswap._waiting
    debtor = giver.bitswap._ledger.debtor(taker.peer_id)
    await eventually(lambda: debtor is not None and not debtor.wants, "the cancel")


async def test_two_that_wait_for_one_block_have_one_want(nodes: Nodes) -> None:
    node = await exchanging(nodes)
    wanted = block("wanted")
    tasks = [asyncio.create_task(node.bitswap.get(wanted.cid)) for _ in range(3)]
    await eventually(lambda: sum(map(len, node.bitswap._waiting.values())) == 3, "the wants")
    assert len(node.bitswap.wants()) == 1
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    await node.blocks.put(wanted)
    async with asyncio.timeout(PATIENCE_S):
        assert await asyncio.gather(*tasks[1:]) == [wanted, wanted]


async def test_who_waits_hears_that_the_node_stops(nodes: Nodes) -> None:
    node = await exchanging(nodes)
    bitswap = node.bitswap
    task = asyncio.create_task(bitswap.get(block("never").cid))
    await eventually(bitswap.wants, "the want")
    await node.stop()
    with pytest.raises(Closed, match="stopped"):
        await task
    with pytest.raises(UsageError, match="while the node runs"):
        bitswap.begin(1, [], None)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", Version)
async def test_every_version_is_spoken(nodes: Nodes, version: Version) -> None:
    giver, taker = await exchanging(nodes), await exchanging(nodes)
    for protocol in PROTOCOLS:
        if protocol != version.value:
            giver.unhandle(protocol)
    data = b"node".ljust(3000, b".")
    cid = Cid(1, DAG_PB, digest(data)) if version.has_prefixes else Cid(0, DAG_PB, digest(data))
    await giver.blocks.put(Block(cid, data))
    await join(taker, giver)
    (told,) = taker.bitswap.exchanged()
    assert told.version == version.value
    async with asyncio.timeout(PATIENCE_S):
        assert (await taker.bitswap.get(cid)).data == data
        small = block("small")
        await taker.blocks.put(small)
        assert await giver.bitswap.get(small.cid) == small
    for protocol in PROTOCOLS:
        if protocol != version.value:
            giver.handle(protocol, giver.bitswap._serve)


async def test_a_full_store_still_passes_blocks_on(nodes: Nodes) -> None:
    giver = await exchanging(nodes)
    taker = await exchanging(nodes, max_bytes=1024)
    large = block("large", 5000)
    await giver.blocks.put(large)
    await join(taker, giver)
    async with asyncio.timeout(PATIENCE_S):
        assert await taker.bitswap.get(large.cid) == large
    await eventually(lambda: taker.counters["bitswap.not_kept"] == 1, "the refusal")


async def test_reconnecting_lets_a_deaf_peer_ask(nodes: Nodes) -> None:
    """A peer whose bitswap looks at new connections alone never asks over one that was there before."""
    ours, deaf = await exchanging(nodes), await exchanging(nodes)
    wanted = block("wanted", 2000)
    await ours.blocks.put(wanted)
    await join(ours, deaf)
    deaf.bitswap._client.disconnected(ours.peer_id, 0.0)
    task = asyncio.create_task(deaf.bitswap.get(wanted.cid))
    await eventually(deaf.bitswap.wants, "the want")
    (told,) = ours.bitswap.exchanged()
    assert not told.asked
    async with asyncio.timeout(PATIENCE_S):
        await ours.bitswap.reconnect(deaf.peer_id)
        assert await task == wanted


async def test_providers_are_found_through_the_dht(nodes: Nodes) -> None:
    hub = await nodes.start(mode="server", prefix="/test")
    giver, taker = [
        await exchanging(nodes, announce_blocks="all", mode="client", prefix="/test") for _ in range(2)
    ]
    for node in (giver, taker):
        await node.connect(hub.listen_addrs[0])
        await node.dht.check(hub.peer_id)
    wanted = block("wanted", 2000)
    await giver.blocks.put(wanted)
    await eventually(lambda: giver.counters["bitswap.announced"] == 1, "the announcement")
    assert taker.swarm.connection_to(giver.peer_id) is None
    async with asyncio.timeout(2 * PATIENCE_S):
        assert await taker.bitswap.get(wanted.cid) == wanted
    assert taker.counters["bitswap.found"] >= 1


async def test_it_is_off_until_configured(nodes: Nodes) -> None:
    node = await nodes.start(blocks=True)
    with pytest.raises(UsageError, match=r"blocks\.exchange"):
        _ = node.bitswap
    assert not set(PROTOCOLS) & set(node.protocols)


def served(node: Node) -> set[str]:
    return set(PROTOCOLS) & set(node.protocols)


async def test_stopping_serves_nothing_more(nodes: Nodes) -> None:
    node = await exchanging(nodes)
    assert served(node) == set(PROTOCOLS)
    await node.bitswap.stop()
    await node.bitswap.stop()
    assert not served(node)
