"""The nodes behind a snapshot, and those that are too old to keep.

A replica that took a snapshot has the state but not the blocks, which others may ask for: all of them are fetched, bit by
bit, in the background. Then they are merged again, beside the replica, and the rows that come of it are held against the
signed ones. A signer that lied is trusted no more, and what it said is replaced by what the nodes say. In topics whose
history is dropped there are no such nodes: there a snapshot is believed for good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from mesh.errors import MeshError
from mesh.ipld.block import Block, store_name
from mesh.multiformats.cid import DAG_PB, Cid
from mesh.protocols.crdt.layout import Layout, multihash_of
from mesh.protocols.crdt.replica import Replica, write_broadcast
from mesh.protocols.crdt.snapshot import KINDS, Digest
from mesh.services.crdt.pending import PendingState
from mesh.services.crdt.source import BlockSource
from mesh.storage.blockstore import Blockstore
from mesh.storage.datastore import LocalDatastore

log = logging.getLogger(__name__)

FETCHES_AT_ONCE: Final = 64
FETCH_S: Final = 60.0
STEPS_AT_ONCE: Final = 32
WRITTEN_AT: Final = 20_000
"""Rows of a second merge that are written at a time."""


async def merged_nodes(datastore: LocalDatastore, namespace: str) -> AsyncIterator[Cid]:
    """Every node that a replica merged, or took over as such."""
    start = len(Layout(namespace).processed("/")) - 1
    async for key, _ in datastore.scan(Layout(namespace).processed("/")):
        yield Cid(1, DAG_PB, multihash_of(key[start:].decode()))


async def fill(blocks: Blockstore, source: BlockSource, namespace: str) -> int:
    """Fetch every merged node's block that is not here; how many could not be had."""
    missing = 0
    absent: list[Cid] = []
    async for cid in merged_nodes(blocks.datastore, namespace):
        if not blocks.has(cid):
            absent.append(cid)
        if len(absent) == FETCHES_AT_ONCE:
            missing += await _fetch(blocks, source, absent)
            absent = []
    return missing + await _fetch(blocks, source, absent)


async def _fetch(blocks: Blockstore, source: BlockSource, cids: Iterable[Cid]) -> int:
    async def one(cid: Cid) -> Block | None:
        try:
            async with asyncio.timeout(FETCH_S):
                return await source.get(cid)
        except (MeshError, TimeoutError) as error:
            log.debug("block %s of a snapshot: %s", cid, error)
            return None

    found = await asyncio.gather(*map(one, cids))
    await blocks.put(*(each for each in found if each is not None))
    return found.count(None)


async def digest_of(datastore: LocalDatastore, namespace: str) -> bytes:
    """The digest that a snapshot of these rows has."""
    digest, start = Digest(), len(namespace.encode()) + 1
    for kind in KINDS:
        async for key, value in datastore.scan(f"{namespace}/{kind}/".encode()):
            digest.add(key[start:], value)
    return digest.value()


async def merge_again(
    blocks: Blockstore, heads: Iterable[Cid], namespace: str, now: Callable[[], float]
) -> bool:
    """Merge all nodes below these heads into an empty namespace; False when some cannot be merged."""
    state = PendingState(blocks.datastore)
    replica = Replica(state, blocks.get, namespace=namespace, random=lambda: 0.5, now=now())
    replica.watched = False
    replica.receive(write_broadcast(heads), b"", now())
    left: list[Cid] = []
    while True:
        left += replica.wanted()
        for _ in range(min(STEPS_AT_ONCE, len(left))):
            block = blocks.get(left[-1])
            if block is None:
                return False
            left.pop()
            replica.arrived(block, now(), kept=True)
            left += replica.wanted()
        merging = replica.merge(STEPS_AT_ONCE)
        whole = not (merging or left)
        if replica.unwritten >= WRITTEN_AT or whole:
            changes = replica.changes()
            state.pend(changes)
            await blocks.datastore.write(changes)
            state.settle()
        if whole:
            return not replica.behind and all(map(replica.is_merged, heads))
        await asyncio.sleep(0)


async def drop(blocks: Blockstore, heads: Iterable[Cid], namespace: str, kept: int) -> int:
    """Remove the blocks of merged nodes that are more than ``kept`` below the highest head; how many those were.

    Lets the loop go on between steps.
    """
    recent = set()
    level, depth = set(heads), 0
    while level and depth < kept:
        recent |= {store_name(each) for each in level}
        level = {link for each in level for link in blocks.links(each)}
        level = {each for each in level if store_name(each) not in recent}
        depth += 1
        await asyncio.sleep(0)
    doomed, dropped = [], 0
    async for cid in merged_nodes(blocks.datastore, namespace):
        if store_name(cid) not in recent and blocks.has(cid):
            doomed.append(cid)
        if len(doomed) == 256:
            dropped += await blocks.discard(doomed)
            doomed = []
    return dropped + await blocks.discard(doomed)
