"""Replicated mappings: their entries, changes as they come, and how far the replica of this node is."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from mesh.api import crdt_shapes as shapes
from mesh.api.desk import AtDesk
from mesh.api.streaming import streamed
from mesh.errors import RecordNotFound, UsageError
from mesh.protocols.crdt.delta import clean_key
from mesh.services.crdt import Crdt

router = APIRouter(prefix="/crdt", tags=["crdt"])

IDLE_S: Final = 15.0
"""A line says that nothing came for so long, so that a caller that left is noticed."""
ENTRIES_AT_ONCE: Final = 256


@router.post("/get")
async def get_entry(desk: AtDesk, asked: shapes.KeyAsked) -> shapes.ValueShown:
    """The value of a key, in base64, as far as this replica is."""
    key = clean_key(asked.key)
    value = (await desk.node.crdt(asked.topic)).get(key)
    if value is None:
        raise RecordNotFound(f"{key} has no value in {asked.topic!r}")
    return shapes.ValueShown(topic=asked.topic, key=key, value=base64.b64encode(value).decode())


@router.post("/put")
async def put_entry(desk: AtDesk, asked: shapes.ValueAsked) -> shapes.EntryPut:
    """Set a key; answers once that is safe."""
    try:
        value = base64.b64decode(asked.value, validate=True)
    except binascii.Error:
        raise UsageError("value: not in base64") from None
    crdt, key = await desk.node.crdt(asked.topic), clean_key(asked.key)
    changed = crdt.get(key) != value
    await crdt.put(key, value)
    return shapes.EntryPut(topic=asked.topic, key=key, changed=changed)


@router.post("/delete")
async def delete_entry(desk: AtDesk, asked: shapes.KeyAsked) -> shapes.EntryDeleted:
    """Remove a key; answers once that is safe. Concurrent puts of others survive it."""
    crdt, key = await desk.node.crdt(asked.topic), clean_key(asked.key)
    deleted = crdt.get(key) is not None
    await crdt.delete(key)
    return shapes.EntryDeleted(topic=asked.topic, key=key, deleted=deleted)


@router.post("/entries", response_class=StreamingResponse)
async def list_entries(desk: AtDesk, asked: shapes.PrefixAsked) -> StreamingResponse:
    """Entries in the order of their keys, a line of type `entry` for each, with the value in base64."""
    return streamed(_entries(await desk.node.crdt(asked.topic), asked.prefix))


@router.post("/watch", response_class=StreamingResponse)
async def watch_entries(desk: AtDesk, asked: shapes.WatchAsked) -> StreamingResponse:
    """Changes of whoever made them, as they come. The first line is of type `watching`, then lines of type `changed`
    with the value in base64, or null for a key that has none any more. `missed` counts older changes that a slow reader
    lost; `idle` comes when nothing else did for 15 seconds."""
    return streamed(_changes(await desk.node.crdt(asked.topic), asked.prefix, asked.count))


@router.post("/heads")
async def show_mapping(desk: AtDesk, asked: shapes.MappingAsked) -> shapes.MappingShown:
    """The heads of this node's replica and how far it is."""
    status = (await desk.node.crdt(asked.topic)).status()
    heads = sorted((str(cid), height) for cid, height in status.heads.items())
    return shapes.MappingShown(
        topic=asked.topic,
        heads=[shapes.HeadShown(cid=cid, height=height) for cid, height in heads],
        behind=status.behind,
        peers=status.peers,
        counts=status.counts,
    )


async def _entries(crdt: Crdt, prefix: str) -> AsyncGenerator[dict[str, Any], None]:
    for number, (key, value) in enumerate(crdt.below(prefix)):
        if not (number + 1) % ENTRIES_AT_ONCE:
            await asyncio.sleep(0)
        yield {"type": "entry", "key": key, "value": base64.b64encode(value).decode()}


async def _changes(crdt: Crdt, prefix: str, count: int) -> AsyncGenerator[dict[str, Any], None]:
    told = missed = 0
    with crdt.watch(prefix) as changes:
        yield {"type": "watching", "topic": crdt.topic, "prefix": clean_key(prefix)}
        while not count or told < count:
            change = None
            with suppress(TimeoutError, StopAsyncIteration):
                async with asyncio.timeout(IDLE_S):
                    change = await anext(changes)
            if changes.missed > missed:
                yield {"type": "missed", "changes": changes.missed - missed}
                missed = changes.missed
            if change is None:
                if changes.ended:
                    return
                yield {"type": "idle"}
                continue
            value = None if change.value is None else base64.b64encode(change.value).decode()
            yield {"type": "changed", "key": change.key, "value": value}
            told += 1
