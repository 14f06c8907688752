"""Blocks and files between this node and boxo's bitswap, in both directions and in every version that it speaks."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from mesh.ipld.block import Block
from mesh.multiformats.cid import DAG_PB, RAW, Cid
from mesh.multiformats.multihash import digest
from mesh.node import Node
from mesh.protocols.bitswap.version import Version
from tests.network.live import PATIENCE_S, Nodes, eventually, identified
from tests.services.bitswap.live import exchanging
from tests.services.test_files import pieces
from tools.interop_peers.building import ensure_built
from tools.interop_peers.process import CommandFailed, PeerProcess

pytestmark = pytest.mark.interop

SIZES = (20, 1024, 1025, 300_000, 1024 * 1024)
"""Around what is sent in place of HAVE, more than a reply aims at, as large as boxo's own importer makes blocks."""


@pytest.fixture(params=Version, ids=lambda each: each.value.rsplit("/", 1)[-1])
async def go(request: pytest.FixtureRequest, _nothing_left: None) -> AsyncIterator[PeerProcess]:
    async with PeerProcess(str(ensure_built()), "bitswap", "--protocols", request.param.value) as started:
        yield started


@pytest.fixture
async def newest(_nothing_left: None) -> AsyncIterator[PeerProcess]:
    async with PeerProcess(str(ensure_built()), "bitswap") as started:
        yield started


async def join(node: Node, go: PeerProcess) -> None:
    """Connect the two, the one that dials as good as the other."""
    await identified(await node.connect(go.address))
    await eventually(lambda: node.bitswap.exchanged(), "the exchange")


def blocks(version: Version, seed: int) -> list[Block]:
    """Of each size; of CID version 0 where the protocol knows no other."""
    rng = random.Random(seed)
    found = []
    for size in SIZES:
        data = rng.randbytes(size)
        cid = Cid(1, RAW, digest(data)) if version.has_prefixes else Cid(0, DAG_PB, digest(data))
        found.append(Block(cid, data))
    return found


async def keep(go: PeerProcess, block: Block) -> None:
    told = await go.call("put", data=block.data.hex(), version=block.cid.version, codec=block.cid.codec)
    assert told["cid"] == str(block.cid)


def version_of(node: Node) -> Version:
    (told,) = node.bitswap.exchanged()
    return Version(told.version)


async def test_go_gives_us_blocks(go: PeerProcess, nodes: Nodes) -> None:
    node = await exchanging(nodes)
    await join(node, go)
    for block in blocks(version_of(node), 1):
        await keep(go, block)
        async with asyncio.timeout(PATIENCE_S):
            assert (await node.bitswap.get(block.cid)).data == block.data


async def test_we_give_go_blocks(go: PeerProcess, nodes: Nodes) -> None:
    node = await exchanging(nodes)
    await join(node, go)
    for block in blocks(version_of(node), 2):
        await node.blocks.put(block)
        told = await go.call("get", cid=str(block.cid))
        assert bytes.fromhex(told["data"]) == block.data


async def test_go_dials_and_asks(go: PeerProcess, nodes: Nodes) -> None:
    node = await exchanging(nodes)
    await go.call("connect", addr=str(node.listen_addrs[0]))
    await eventually(lambda: node.bitswap.exchanged(), "the exchange")
    block = blocks(version_of(node), 3)[3]
    await node.blocks.put(block)
    assert bytes.fromhex((await go.call("get", cid=str(block.cid)))["data"]) == block.data


async def test_wants_are_met_when_the_block_comes_into_being(newest: PeerProcess, nodes: Nodes) -> None:
    node = await exchanging(nodes)
    await join(node, newest)
    mine, theirs = blocks(Version.V1_2, 4)[2:4]
    ours_waits = asyncio.create_task(node.bitswap.get(theirs.cid))
    go_waits = asyncio.create_task(newest.call("get", cid=str(mine.cid)))
    await eventually(lambda: node.bitswap.exchanged()[0].asked, "the want of go")
    await keep(newest, theirs)
    await node.blocks.put(mine)
    async with asyncio.timeout(PATIENCE_S):
        assert (await ours_waits).data == theirs.data
        assert bytes.fromhex((await go_waits)["data"]) == mine.data


async def test_cancels_reach_go_and_us(newest: PeerProcess, nodes: Nodes) -> None:
    node = await exchanging(nodes)
    await join(node, newest)
    absent = blocks(Version.V1_2, 5)[0]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await node.bitswap.get(absent.cid)
    go_waits = asyncio.create_task(newest.call("get", cid=str(absent.cid), within_s=0.5))
    with pytest.raises(CommandFailed):
        await go_waits
    peer = next(iter(node.bitswap._links))
    debtor = node.bitswap._ledger.debtor(peer)
    await eventually(lambda: debtor is not None and debtor.wanted and not debtor.wants, "the cancel of go")


FILE_BYTES = 100 * 1024 * 1024


async def go_takes(node: Node, go: PeerProcess) -> None:
    content = random.Random(6).randbytes(FILE_BYTES)
    file = await node.files.add(pieces(content))
    told = await go.call("get_file", cid=str(file.cid))
    assert (told["bytes"], told["sha256"]) == (FILE_BYTES, hashlib.sha256(content).hexdigest())


async def we_take(node: Node, go: PeerProcess) -> None:
    made = await go.call("add_file", bytes=FILE_BYTES, seed=7)
    hashed = hashlib.sha256()
    async with asyncio.timeout(12 * PATIENCE_S):
        async for piece in node.files.read(Cid.parse(made["cid"])):
            hashed.update(piece)
    assert hashed.hexdigest() == made["sha256"]


@pytest.mark.parametrize("take", [go_takes, we_take])
async def test_a_file_of_100_mib(
    newest: PeerProcess, nodes: Nodes, take: Callable[[Node, PeerProcess], Awaitable[None]]
) -> None:
    node = await exchanging(nodes)
    await join(node, newest)
    await take(node, newest)


async def test_go_and_we_make_the_same_tree(newest: PeerProcess, nodes: Nodes) -> None:
    node = await exchanging(nodes)
    await join(node, newest)
    made = await newest.call("add_file", bytes=60 * 1024 * 1024 + 1, seed=8)
    content = b"".join([each async for each in node.files.read(Cid.parse(made["cid"]))])
    assert str((await node.files.add(pieces(content))).cid) == made["cid"]
