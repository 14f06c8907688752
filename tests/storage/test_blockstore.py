"""Blocks, pins and garbage collection, in memory and in a file; sudden death; puts while collecting."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.errors import LimitError, StorageError, UsageError
from mesh.ipld.block import Block, store_name
from mesh.ipld.dag_pb import Link, Node
from mesh.multiformats.cid import RAW, Cid
from mesh.storage import blockstore
from mesh.storage.blockstore import Blockstore, Collected, Pin, Usage
from mesh.storage.datastore import LocalDatastore
from mesh.storage.memory_datastore import MemoryDatastore
from mesh.storage.sqlite_datastore import SqliteDatastore
from tests.vectors import load

LIMIT = 10_000_000


@pytest.fixture(params=["sqlite", "memory"])
async def datastore(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LocalDatastore]:
    made: LocalDatastore
    if request.param == "memory":
        made = MemoryDatastore()
    else:
        made = SqliteDatastore(tmp_path / "blocks.sqlite")
        await made.open()
    yield made
    await made.close()


@pytest.fixture
def store(datastore: LocalDatastore) -> Blockstore:
    return Blockstore(datastore, LIMIT)


def raw(number: int) -> Block:
    return Block.of(b"leaf %d" % number, RAW)


def node(*children: Block) -> Block:
    return Block.of(Node(b"", tuple(Link(each.cid) for each in children)).encode())


async def test_put_get_delete(store: Blockstore) -> None:
    block = raw(1)
    assert store.get(block.cid) is None
    await store.put(block)
    await store.put(block)
    found = store.get(Cid(1, 0x70, block.cid.multihash))
    assert found is not None
    assert found.data == block.data
    assert store.usage == Usage(1, 6, LIMIT)
    assert await store.delete(block.cid)
    assert not await store.delete(block.cid)
    assert store.usage == Usage(0, 0, LIMIT)


async def test_the_keys_are_those_of_others(store: Blockstore, datastore: LocalDatastore) -> None:
    recorded = load("dag_pb", "betar")["unixfs"]
    root = bytes.fromhex(recorded[0]["root_block_hex"])
    await store.put(Block.verified(Cid.parse(recorded[0]["cid"]), root))
    ((key, value),) = datastore.scan_now(b"")
    assert (key.decode() in recorded[-1]["keys"], value) == (True, root)


async def test_a_block_and_what_belongs_to_it_are_one_write(
    store: Blockstore, datastore: LocalDatastore
) -> None:
    writing = asyncio.ensure_future(store.put(raw(1), besides={b"/state": b"1"}))
    await asyncio.sleep(0)
    assert store.has(raw(1).cid)
    await writing
    assert datastore.get_now(b"/state") == b"1"
    with pytest.raises(UsageError):
        await store.put(raw(2), besides={b"": b"x"})
    assert (store.has(raw(2).cid), store.usage.blocks) == (False, 1)


async def test_a_full_store_refuses_and_says_which_setting(datastore: LocalDatastore) -> None:
    store = Blockstore(datastore, 20)
    await store.put(raw(1), raw(2), raw(3))
    with pytest.raises(LimitError, match=r"blocks\.max_bytes"):
        await store.put(raw(4))
    await store.put(raw(1))
    await store.delete(raw(1).cid)
    await store.put(raw(4))
    assert Blockstore(datastore, 20).usage == store.usage == Usage(3, 18, 20)


async def test_pins(store: Blockstore) -> None:
    leaf, other = raw(1), raw(2)
    tree = node(leaf, other)
    await store.put(leaf, tree)
    with pytest.raises(StorageError, match=str(other.cid)):
        await store.pin(tree.cid)
    await store.put(other)
    await store.pin(tree.cid, name="tree")
    await store.pin(other.cid, recursive=False)
    assert sorted(store.pins(), key=lambda each: each.name) == [
        Pin(other.cid, False, ""),
        Pin(tree.cid, True, "tree"),
    ]
    with pytest.raises(UsageError, match="unpin"):
        await store.delete(tree.cid)
    with pytest.raises(UsageError, match="name"):
        await store.pin(leaf.cid, name="n" * 5000)
    assert await store.unpin(tree.cid)
    assert not await store.unpin(tree.cid)
    assert [each.cid for each in store.pins()] == [other.cid]


async def test_collect(store: Blockstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockstore, "REMOVED_AT_ONCE", 4)
    leaves = [raw(number) for number in range(20)]
    tree, kept = node(*leaves[:5]), node(leaves[5], leaves[6])
    absent = node(raw(99))
    await store.put(*leaves, tree, kept, absent)
    await store.pin(tree.cid)
    await store.pin(leaves[10].cid, recursive=False)
    done = await store.collect(lambda: [kept.cid, absent.cid])
    size = sum(len(each.data) for each in [*leaves[7:10], *leaves[11:]])
    assert done == Collected(12, size, 11, 1)
    assert store.usage.blocks == 11
    assert [number for number in range(20) if store.has(leaves[number].cid)] == [*range(7), 10]
    assert next(iter(store.walk(tree.cid))) == tree.cid
    assert (await store.collect()).removed == 4


async def test_what_is_put_while_collecting_stays(store: Blockstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockstore, "REMOVED_AT_ONCE", 2)
    blocks = [raw(number) for number in range(50)]
    await store.put(*blocks)

    async def putting() -> None:
        for each in blocks:
            await store.put(each)

    await asyncio.gather(store.collect(), putting())
    assert all(store.has(each.cid) for each in blocks)
    assert store.usage.blocks == 50


async def test_what_is_read_while_collecting_stays(store: Blockstore) -> None:
    """A replica that has just read a node must not find it gone once it has merged it."""
    blocks = [raw(number) for number in range(10)]
    await store.put(*blocks)

    def keep() -> list[Cid]:
        assert store.get(blocks[3].cid) == blocks[3]
        return []

    assert (await store.collect(keep)).removed == 9
    assert [each for each in blocks if store.has(each.cid)] == [blocks[3]]


async def test_what_was_acknowledged_survives_sudden_death(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from mesh.ipld.block import Block
from mesh.storage.blockstore import Blockstore
from mesh.storage.sqlite_datastore import SqliteDatastore

async def main():
    async with SqliteDatastore(Path(sys.argv[1])) as datastore:
        store = Blockstore(datastore, 10**9)
        for number in range(10**6):
            await store.put(Block.of(b"%d" % number, 0x55), besides={b"/last": b"%d" % number})
            print(number, flush=True)

asyncio.run(main())
"""
    path = tmp_path / "blocks.sqlite"
    said = await asyncio.to_thread(killed_after, 50, program, str(path))
    last = int([each for each in said if each.endswith("\n")][-1])
    async with SqliteDatastore(path) as datastore:
        store = Blockstore(datastore, LIMIT)
        assert all(store.has(Block.of(b"%d" % number, RAW).cid) for number in range(last + 1))
        kept = datastore.get_now(b"/last")
        assert kept is not None
        assert store.usage.blocks == int(kept) + 1


def killed_after(lines: int, program: str, *arguments: str) -> list[str]:
    """What a program said until it was killed, so many lines or a few more."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        said = [run.stdout.readline() for _ in range(lines)]
        run.kill()
        return said + run.stdout.readlines()


def test_the_name_of_a_hash() -> None:
    assert store_name(Cid.parse("bafybeiaofvr5uar4fdwgk73nzdn25yfvgwvft2cuwnoygi5uafocdtckrm")).startswith(
        "/CIQ"
    )
