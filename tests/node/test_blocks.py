"""The blocks of a node: where they are kept, and what says that they are off."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.config import BlocksSection, Config, NetworkSection, NodeSection
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
