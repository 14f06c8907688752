"""Where replicas get blocks from."""

from __future__ import annotations

from typing import Protocol

from mesh.ipld.block import Block
from mesh.multiformats.cid import Cid


class BlockSource(Protocol):
    """Where blocks come from that are not in the own store."""

    async def get(self, cid: Cid) -> Block:
        """A block, verified, however long it takes. Raises a `MeshError` when it cannot be had."""
        ...
