"""Files and directories among a node's blocks, its own and others'."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from mesh.codecs.unixfs import DataType
from mesh.errors import DecodeError, RecordNotFound, UsageError
from mesh.ipld.block import Block
from mesh.multiformats.cid import DAG_CBOR, RAW
from mesh.node import Node
from mesh.services.files import AHEAD
from tests.network.live import PATIENCE_S, Nodes
from tests.services.bitswap.live import exchanging, join

CONTENT = random.Random(1).randbytes((AHEAD + 10) * 20_000)


async def pieces(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def read(node: Node, cid: object, start: int = 0) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        return b"".join([each async for each in node.files.read(cid, start)])  # type: ignore[arg-type]


async def test_a_file_comes_back_from_its_root(nodes: Nodes) -> None:
    node = await nodes.start(blocks=True)
    file = await node.files.add(pieces(CONTENT))
    assert file.size == len(CONTENT)
    assert await read(node, file.cid) == CONTENT
    assert await read(node, file.cid, 300_000) == CONTENT[300_000:]
    assert [each.cid for each in node.blocks.pins()] == [file.cid]
    assert await node.files.kind(file.cid) is DataType.FILE


async def test_a_file_is_got_from_a_peer(nodes: Nodes) -> None:
    giver, taker = await exchanging(nodes), await exchanging(nodes)
    content = random.Random(2).randbytes(20 * 1024 * 1024)
    file = await giver.files.add(pieces(content))
    await join(taker, giver)
    assert await read(taker, file.cid) == content
    assert not taker.bitswap.wants()


async def test_directories(nodes: Nodes) -> None:
    giver, taker = await exchanging(nodes), await exchanging(nodes)
    one, two = [await giver.files.add(pieces(each), pin=False) for each in (b"one", b"two")]
    inner = await giver.files.add_directory({"one": one}, pin=False)
    outer = await giver.files.add_directory({"two": two, "inner": inner})
    await join(taker, giver)
    async with asyncio.timeout(PATIENCE_S):
        found = await taker.files.entries(outer.cid)
        assert [(each.name, each.cid) for each in found] == [("inner", inner.cid), ("two", two.cid)]
        assert found[0].total_bytes == inner.total_bytes
        assert await taker.files.resolve(f"/ipfs/{outer.cid}/inner/one") == one.cid
        assert await taker.files.kind(outer.cid) is DataType.DIRECTORY
        with pytest.raises(RecordNotFound, match="names no 'three'"):
            await taker.files.resolve(f"{outer.cid}/three")
    assert await read(taker, one.cid) == b"one"


async def test_a_large_directory_is_a_trie(nodes: Nodes) -> None:
    node = await nodes.start(blocks=True)
    file = await node.files.add(pieces(b"content"), pin=False)
    names = {f"a rather long name for a file, number {each}": file for each in range(4000)}
    root = await node.files.add_directory(names)
    assert await node.files.kind(root.cid) is DataType.HAMT_SHARD
    assert [each.name for each in await node.files.entries(root.cid)] == sorted(names)


async def test_without_peers_what_is_missing_is_named(nodes: Nodes) -> None:
    node = await nodes.start(blocks=True)
    absent = Block.of(b"absent", RAW)
    with pytest.raises(RecordNotFound, match=str(absent.cid)):
        await read(node, absent.cid)
    with pytest.raises(RecordNotFound):
        await node.files.entries(absent.cid)


async def test_what_is_no_file_is_refused(nodes: Nodes) -> None:
    node = await nodes.start(blocks=True)
    other = Block.of(b"\xa0", DAG_CBOR)
    await node.blocks.put(other)
    with pytest.raises(DecodeError):
        await node.files.kind(other.cid)
    with pytest.raises(DecodeError):
        await read(node, other.cid)
    for path in ("/ipfs/nonsense", "", "/ipfs/"):
        with pytest.raises(UsageError):
            await node.files.resolve(path)
