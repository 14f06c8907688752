"""Peers that misuse bitswap: each costs its own stream or connection, within bounds, and is counted."""

from __future__ import annotations

import asyncio

import pytest

from mesh.codecs.bitswap import Block as WireBlock
from mesh.codecs.bitswap import Entry, Message, Wantlist, WantType
from mesh.errors import MeshError, StreamReset
from mesh.ipld.block import Block
from mesh.multiformats import varint
from mesh.multiformats.cid import RAW, Cid
from mesh.multiformats.multihash import Multihash, digest
from mesh.node import Node
from mesh.protocols.bitswap.debtor import MAX_WANTS
from mesh.protocols.bitswap.version import PROTOCOLS
from tests.network.live import PATIENCE_S, Nodes, connected, eventually, identified, round_trip
from tests.services.bitswap.live import block, exchanging, join

RAW_PREFIX = b"\x01\x55\x12\x20"


async def attacked(nodes: Nodes) -> tuple[Node, Node]:
    """A node, and one without bitswap that is connected to it and says what a test wants."""
    victim = await exchanging(nodes)
    attacker = await nodes.start()
    await identified(await attacker.connect(victim.listen_addrs[0]))
    await identified(await connected(victim, attacker))
    return victim, attacker


async def say(attacker: Node, victim: Node, *messages: Message) -> None:
    stream = await attacker.open(victim.peer_id, PROTOCOLS[0])
    for each in messages:
        await stream.write_message(each.encode())
    await stream.close_write()


def wants(count: int, start: int = 0) -> Message:
    """Of as many CIDs, none of which anybody has."""
    cids = [Cid(1, RAW, Multihash(0x12, (start + each).to_bytes(32, "big"))) for each in range(count)]
    return Message(Wantlist([Entry(each.to_bytes(), 1 + start + at) for at, each in enumerate(cids)]))


@pytest.mark.parametrize(
    "garbage",
    [
        varint.encode(4 * 1024 * 1024 + 1),
        varint.encode(5) + b"\xff" * 5,
        b"\xff" * 12,
        varint.encode(3) + b"\x0a\x05a",
    ],
    ids=["too long", "no message", "no length", "past its end"],
)
async def test_garbage_resets_the_stream_alone(nodes: Nodes, garbage: bytes) -> None:
    victim, attacker = await attacked(nodes)
    stream = await attacker.open(victim.peer_id, PROTOCOLS[0])
    await stream.write(garbage)
    with pytest.raises(StreamReset):
        async with asyncio.timeout(PATIENCE_S):
            await stream.read()
    assert victim.counters["bitswap.malformed"] == 1
    await round_trip(attacker, victim)


async def test_a_stream_that_stops_in_a_message_holds_up_nobody(nodes: Nodes) -> None:
    victim, attacker = await attacked(nodes)
    stream = await attacker.open(victim.peer_id, PROTOCOLS[0])
    await stream.write(varint.encode(1000) + b"\x0a")
    await round_trip(attacker, victim)
    stream.reset()


@pytest.mark.parametrize("cancel", [False, True])
async def test_a_want_of_an_identity_cid_ends_the_connection(nodes: Nodes, cancel: bool) -> None:
    victim, attacker = await attacked(nodes)
    inline = Cid(1, RAW, digest(b"inline", "identity")).to_bytes()
    await say(attacker, victim, Message(Wantlist([Entry(inline, 1, cancel=cancel)])))
    await eventually(lambda: not victim.connections, "the end of the connection")
    assert victim.counters["bitswap.disconnected"] == 1


async def test_a_flood_of_wants_is_bounded_and_slowed(nodes: Nodes) -> None:
    victim, attacker = await attacked(nodes)
    flood = asyncio.create_task(
        say(attacker, victim, *(wants(16_000, start) for start in range(0, 48_000, 16_000)))
    )
    await eventually(lambda: victim.counters["bitswap.slowed"] >= 1, "the pause")
    debtor = victim.bitswap._ledger.debtor(attacker.peer_id)
    assert debtor is not None
    assert len(debtor.wants) == MAX_WANTS
    assert len(victim.bitswap._ledger._wanting) == MAX_WANTS
    await round_trip(attacker, victim)
    await flood


async def test_a_flood_does_not_keep_others_from_their_blocks(nodes: Nodes) -> None:
    victim, attacker = await attacked(nodes)
    friend = await exchanging(nodes)
    wanted = block("wanted", 5000)
    await victim.blocks.put(wanted)
    await join(friend, victim)
    flood = asyncio.create_task(say(attacker, victim, *(wants(16_000, at) for at in (0, 16_000))))
    async with asyncio.timeout(PATIENCE_S):
        assert await friend.bitswap.get(wanted.cid) == wanted
    await flood


async def test_blocks_that_nobody_asked_for_are_not_kept(nodes: Nodes) -> None:
    victim, attacker = await attacked(nodes)
    pushed = block("pushed", 2000)
    await say(attacker, victim, Message(payload=[WireBlock(RAW_PREFIX, pushed.data)]))
    await eventually(lambda: victim.counters["bitswap.unwanted_blocks"] == 1, "the block")
    assert not victim.blocks.has(pushed.cid)
    assert victim.blocks.usage.blocks == 0
    await round_trip(attacker, victim)


async def test_a_flood_of_them_ends_the_connection(nodes: Nodes) -> None:
    victim, _ = await attacked(nodes)
    attacker = await exchanging(nodes)
    await join(attacker, victim)
    big = Message(payload=[WireBlock(RAW_PREFIX, bytes(1024 * 1024))])
    with pytest.raises(MeshError):
        await say(attacker, victim, *[big] * 64)
    await eventually(lambda: victim.counters["bitswap.disconnected"] == 1, "the end of the connection")


async def test_a_wrong_block_does_not_meet_a_want(nodes: Nodes) -> None:
    """Its CID is that of its bytes: it is another block, and nobody wants that."""
    victim, attacker = await attacked(nodes)
    giver = await exchanging(nodes)
    wanted = block("wanted", 2000)
    task = asyncio.create_task(victim.bitswap.get(wanted.cid))
    await eventually(victim.bitswap.wants, "the want")
    await say(attacker, victim, Message(payload=[WireBlock(RAW_PREFIX, b"forged")]))
    await eventually(lambda: victim.counters["bitswap.unwanted_blocks"] == 1, "the forgery")
    assert not task.done()
    await giver.blocks.put(wanted)
    await join(victim, giver)
    async with asyncio.timeout(PATIENCE_S):
        assert await task == wanted


async def test_a_pushed_block_that_is_wanted_is_taken_from_anyone(nodes: Nodes) -> None:
    victim, attacker = await attacked(nodes)
    wanted = block("wanted", 2000)
    task = asyncio.create_task(victim.bitswap.get(wanted.cid))
    await eventually(victim.bitswap.wants, "the want")
    await say(attacker, victim, Message(payload=[WireBlock(RAW_PREFIX, wanted.data)]))
    async with asyncio.timeout(PATIENCE_S):
        assert await task == wanted


async def test_one_that_says_it_has_all_and_gives_nothing_is_passed_over(nodes: Nodes) -> None:
    liar, giver, taker = [await exchanging(nodes) for _ in range(3)]
    wanted = block("wanted", 2000)
    liar.bitswap._ledger._size_of = lambda cid: 2000  # it will find no block to send
    await giver.blocks.put(wanted)
    await join(taker, liar)
    task = asyncio.create_task(taker.bitswap.get(wanted.cid))
    await eventually(lambda: liar.bitswap._ledger.debtor(taker.peer_id), "the want")
    await join(taker, giver)
    async with asyncio.timeout(PATIENCE_S):
        assert await task == wanted


async def test_one_that_takes_no_answers_holds_up_nobody(nodes: Nodes) -> None:
    """It wants much and never reads: what waits for it is bounded, and others get theirs."""
    victim, attacker = await attacked(nodes)
    friend = await exchanging(nodes)
    blocks = [block(f"{each}", 256 * 1024) for each in range(40)]
    await victim.blocks.put(*blocks)
    held = asyncio.Event()

    async def sit(stream: object) -> None:
        await held.wait()

    attacker.handle(PROTOCOLS[0], sit)
    entries = [Entry(each.cid.to_bytes(), 1, want_type=WantType.BLOCK) for each in blocks]
    await say(attacker, victim, Message(Wantlist(entries)))
    await join(friend, victim)
    async with asyncio.timeout(2 * PATIENCE_S):
        found = [each async for each in friend.bitswap.get_many(each.cid for each in blocks[:8])]
    assert set(found) == set(blocks[:8])
    debtor = victim.bitswap._ledger.debtor(attacker.peer_id)
    assert debtor is not None
    assert len(debtor.wants) > 20
    held.set()


async def test_a_large_block_passes(nodes: Nodes) -> None:
    giver, taker = await exchanging(nodes), await exchanging(nodes)
    largest = Block.of(bytes(2 * 1024 * 1024), RAW)
    await giver.blocks.put(largest)
    await join(taker, giver)
    async with asyncio.timeout(PATIENCE_S):
        assert await taker.bitswap.get(largest.cid) == largest
