"""The blocks of a node: where they are kept, and what says that they are off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.config import BlocksSection, Config, GossipSection, NetworkSection, NodeSection
from mesh.errors import LimitError, UsageError
from mesh.ipld.block import Block
from mesh.multiformats.cid import RAW
from mesh.node import Node

QUIET = NetworkSection(listen=())


async def test_blocks_outlast_the_node(tmp_path: Path) -> None:
    config = Config(network=QUIET, node=NodeSection(path=tmp_path), blocks=BlocksSection(enabled=True))
    block = Block.of(b"kept", RAW)
    async with Node(config) as node:
        await node.blocks.put(block, besides={b"/other/key": b"value"})
    async with Node(config) as node:
        assert node.blocks.get(block.cid) == block
        assert await node.blocks.datastore.get(b"/other/key") == b"value"
        assert (tmp_path / "blocks.sqlite").exists()


async def test_blocks_are_off_until_configured(tmp_path: Path) -> None:
    async with Node(Config(network=QUIET, node=NodeSection(path=tmp_path))) as node:
        with pytest.raises(UsageError, match=r"blocks\.enabled"):
            _ = node.blocks
    assert not (tmp_path / "blocks.sqlite").exists()


async def test_blocks_need_a_running_node() -> None:
    node = Node(Config(network=QUIET, blocks=BlocksSection(enabled=True, max_bytes=1024)))
    with pytest.raises(UsageError, match="not running"):
        _ = node.blocks
    async with node:
        with pytest.raises(LimitError, match="max_bytes"):
            await node.blocks.put(Block.of(bytes(1025), RAW))
    with pytest.raises(UsageError, match="not running"):
        _ = node.blocks


async def test_collection_spares_the_history_of_replicas_that_do_not_run(tmp_path: Path) -> None:
    config = Config(
        network=QUIET,
        node=NodeSection(path=tmp_path),
        blocks=BlocksSection(enabled=True, exchange=True),
        gossip=GossipSection(enabled=True),
    )
    async with Node(config) as node:
        prices = await node.crdt("prices")
        for number in range(5):
            await prices.put("/tea", b"%d" % number)
        await node.blocks.put(Block.of(b"loose", RAW))
    async with Node(config) as node:
        found = await node.collect_blocks()
        assert (found.removed, found.kept, found.missing) == (1, 5, 0)
        prices = await node.crdt("prices")
        await prices.put("/tea", b"5")
        assert (await node.collect_blocks()).removed == 0
        assert prices.get("/tea") == b"5"


async def test_a_pin_holds_a_file_until_it_is_let_go(tmp_path: Path) -> None:
    config = Config(network=QUIET, node=NodeSection(path=tmp_path), blocks=BlocksSection(enabled=True))

    async def content() -> AsyncIterator[bytes]:
        yield bytes(600_000)

    async with Node(config) as node:
        file = await node.files.add(content())
        assert (await node.collect_blocks()).removed == 0
        assert await node.files.unpin(file.cid)
        assert not await node.files.unpin(file.cid)
        assert (await node.collect_blocks()).kept == 0
