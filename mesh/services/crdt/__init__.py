"""The Merkle-CRDT on a live node: a mapping that every node in a pubsub topic has, and keeps.

    async with await node.crdt("prices") as prices:
        await prices.put("/tea", b"3")
        with prices.watch("/") as changes:
            async for change in changes: ...

Broadcasts go over pubsub, missing blocks come from a `BlockSource`. A change has been acknowledged when it is on disk;
it is told to others after that. The machine is `mesh.protocols.crdt`.
"""

from mesh.services.crdt.service import Crdt, Status
from mesh.services.crdt.source import BlockSource
from mesh.services.crdt.watch import Watch

__all__ = ["BlockSource", "Crdt", "Status", "Watch"]
