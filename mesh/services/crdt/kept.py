"""What replicas keep of their history in a store, whether they run now or not."""

from __future__ import annotations

from base64 import b32decode
from typing import Final

from mesh.multiformats.cid import DAG_PB, Cid
from mesh.multiformats.multihash import Multihash
from mesh.storage.datastore import LocalDatastore

REPLICAS: Final = b"/crdt/"
_HEAD: Final = b"h"


async def kept_heads(datastore: LocalDatastore) -> list[Cid]:
    """The heads of every replica in a store: all below them is what others may ask for."""
    found = []
    async for key, _ in datastore.scan(REPLICAS):
        parts = key.split(b"/")
        if len(parts) == 5 and parts[3] == _HEAD:
            name = parts[4]
            found.append(Cid(1, DAG_PB, Multihash.from_bytes(b32decode(name + b"=" * (-len(name) % 8)))))
    return found
