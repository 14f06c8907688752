"""What replicas keep in a store, whether they run now or not: where the rows of a topic are, and their history.

The rows of a topic are in one generation at a time, `/crdt/<topic>/<number>/...`; `/crdt/<topic>/current` says in which.
Another can thus be made bit by bit and take its place in one write.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from mesh.ipld.block import store_name
from mesh.multiformats.cid import DAG_PB, Cid
from mesh.protocols.crdt.layout import WANTED, Layout, multihash_of, read_number, write_number
from mesh.storage.datastore import LocalDatastore

REPLICAS: Final = b"/crdt/"
REMOVED_AT_ONCE: Final = 1000
FIRST_LAYOUT: Final = ("h", "w", "b", "s")
"""Kinds of rows of the layout before there were generations."""


async def kept_heads(datastore: LocalDatastore) -> list[Cid]:
    """The heads of every replica in a store, and those that it wants: all below them is what others may ask for."""
    found = []
    async for key, row in datastore.scan(REPLICAS):
        kind, _, name = key.rpartition(b"/")
        if key.count(b"/") in (4, 5) and kind.endswith((b"/h", b"/w")):
            found.append(_head(f"/{name.decode()}", row if kind.endswith(b"/w") else None))
    return found


def heads_in(datastore: LocalDatastore, namespace: str) -> list[Cid]:
    """The same of one generation."""
    layout = Layout(namespace)
    heads = [_head(_name(key), None) for key, _ in datastore.scan_now(layout.heads)]
    return heads + [_head("", row) for _, row in datastore.scan_now(layout.all_wanted)]


def topic_root(topic: str) -> str:
    """What all keys of a topic begin with."""
    return f"{REPLICAS.decode()}{quote(topic, safe='')}"


def current(datastore: LocalDatastore, topic: str) -> int:
    """The generation of a topic that is in use. Raises StorageError."""
    row = datastore.get_now(_pointer(topic))
    return 0 if row is None else read_number(row)


def becomes_current(topic: str, generation: int) -> dict[bytes, bytes | None]:
    """What has to be written for a generation to be in use."""
    return {_pointer(topic): write_number(generation)}


def namespace_of(topic: str, generation: int) -> str:
    """Where the rows of a generation are."""
    return f"{topic_root(topic)}/{generation}"


async def open_generation(datastore: LocalDatastore, topic: str) -> int:
    """The generation in use, after what others left behind has been removed.

    A store of the first layout, which had no generations, is merged anew from its blocks. Raises StorageError.
    """
    generation = current(datastore, topic)
    layout = Layout(namespace_of(topic, generation))
    old = [
        each
        for each in heads_in(datastore, topic_root(topic))
        if datastore.get_now(layout.processed(store_name(each))) is None
    ]
    if old:
        await datastore.write({layout.wanted(store_name(each)): WANTED + each.to_bytes() for each in old})
    for kind in FIRST_LAYOUT:
        await clear(datastore, f"{topic_root(topic)}/{kind}/")
    for other in {max(0, generation - 1), generation + 1} - {generation}:
        await clear(datastore, f"{namespace_of(topic, other)}/")
    return generation


async def clear(datastore: LocalDatastore, start: str) -> None:
    """Remove all rows whose keys begin so. Lets the loop go on between steps."""
    doomed: dict[bytes, bytes | None] = {}
    async for key, _ in datastore.scan(start.encode()):
        doomed[key] = None
        if len(doomed) == REMOVED_AT_ONCE:
            await datastore.write(doomed)
            doomed = {}
    if doomed:
        await datastore.write(doomed)


def _pointer(topic: str) -> bytes:
    return f"{topic_root(topic)}/current".encode()


def _name(key: bytes) -> str:
    return "/" + key.rpartition(b"/")[2].decode()


def _head(name: str, row: bytes | None) -> Cid:
    """The head of that name, or of a row that wants it."""
    return Cid(1, DAG_PB, multihash_of(name)) if row is None else Cid.from_bytes(row[1:])
