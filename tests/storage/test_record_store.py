"""Value records of others and our own: bounds, expiry, restarts, and two writers of one key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from mesh.errors import LimitError, StorageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.kademlia.records import VALIDITY_S, StoredValue
from mesh.protocols.kademlia.validators import InvalidRecordError
from mesh.storage.datastore import Datastore
from mesh.storage.memory_datastore import MemoryDatastore
from mesh.storage.record_store import ENTRY_BYTES, PREFIX, RecordLimits, RecordStore
from mesh.storage.sqlite_datastore import SqliteDatastore

ALICE, BOB = (PeerId.from_public_key(PrivateKey.from_seed(bytes(31) + bytes([n])).public) for n in (1, 2))
LIMITS = RecordLimits(entries=10, bytes=10_000, peer_entries=4, peer_bytes=3000, value_bytes=1500)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
async def datastore(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Datastore]:
    if request.param == "memory":
        yield MemoryDatastore()
        return
    async with SqliteDatastore(tmp_path / "store.sqlite") as made:
        yield made


@pytest.fixture
async def store(datastore: Datastore, clock: Clock) -> RecordStore:
    return await opened(datastore, clock)


async def opened(datastore: Datastore, clock: Clock) -> RecordStore:
    store = RecordStore(datastore, clock, LIMITS)
    await store.open()
    return store


def record(name: str, clock: Clock, value: bytes = b"value") -> StoredValue:
    return StoredValue(f"/pk/{name}".encode(), value, clock.now)


async def test_put_and_get(store: RecordStore, clock: Clock) -> None:
    one = record("one", clock)
    assert await store.get(one.key) is None
    await store.put(one, ALICE)
    assert await store.get(one.key) == one
    newer = record("one", clock, b"newer")
    await store.put(newer)
    assert await store.get(one.key) == newer
    assert len(store) == 1
    await store.delete(one.key)
    await store.delete(one.key)
    assert await store.get(one.key) is None
    assert (store.strangers.entries, store.strangers.bytes) == (0, 0)


async def test_a_restart_keeps_records_and_who_sent_them(
    store: RecordStore, datastore: Datastore, clock: Clock
) -> None:
    kept = [record(str(number), clock) for number in range(4)]
    for each in kept:
        await store.put(each, ALICE)
    await store.put(record("own", clock))
    await datastore.put(b"/dht/other", b"not ours")
    again = await opened(datastore, clock)
    assert len(again) == 5
    assert [await again.get(each.key) for each in kept] == kept
    assert again.strangers == store.strangers
    with pytest.raises(LimitError):
        await again.put(record("five", clock), ALICE)
    assert await datastore.get(b"/dht/other") == b"not ours"


async def test_unreadable_rows_are_dropped(datastore: Datastore, clock: Clock) -> None:
    await datastore.write({PREFIX + b"/pk/a": b"short", PREFIX + b"/pk/b": bytes(8) + b"\xff"})
    assert len(await opened(datastore, clock)) == 0
    assert await datastore.get(PREFIX + b"/pk/a") is None


async def test_expiry(store: RecordStore, datastore: Datastore, clock: Clock) -> None:
    await store.put(record("old", clock), ALICE)
    clock.now += 10
    await store.put(record("new", clock), ALICE)
    clock.now += VALIDITY_S - 10
    assert await store.get(b"/pk/old") is not None
    clock.now += 5
    assert await store.get(b"/pk/old") is None
    assert len(store) == 2
    assert await store.sweep() == 1
    assert await store.sweep() == 0
    assert store.strangers.entries == len(store) == 1
    assert await datastore.get(PREFIX + b"/pk/old") is None
    clock.now += 10
    assert len(await opened(datastore, clock)) == 0
    assert [entry async for entry in datastore.scan(b"")] == []


async def test_bounds_of_a_peer(store: RecordStore, clock: Clock) -> None:
    for number in range(4):
        await store.put(record(str(number), clock), ALICE)
    with pytest.raises(LimitError) as raised:
        await store.put(record("5", clock), ALICE)
    error = raised.value
    assert (error.scope, error.value, error.key) == ("peer", 4, "kademlia.record_peer_entries")
    assert await store.get(b"/pk/5") is None
    await store.put(record("0", clock, b"replaced"), ALICE)
    await store.put(record("5", clock), BOB)
    with pytest.raises(LimitError, match="peer_entries"):
        await store.put(record("5", clock, b"taken over"), ALICE)
    await store.put(record("0", clock, b"taken over"), BOB)
    await store.put(record("6", clock), ALICE)
    await store.delete(b"/pk/6")
    await store.put(record("1", clock, bytes(1500)), ALICE)
    with pytest.raises(LimitError, match="peer_bytes"):
        await store.put(record("2", clock, bytes(1500)), ALICE)
    with pytest.raises(LimitError, match="value_bytes"):
        await store.put(record("0", clock, bytes(1501)))


async def test_bounds_of_the_node_do_not_bind_ourselves(store: RecordStore, clock: Clock) -> None:
    peers = [PeerId.from_bytes(b"\x12\x20" + bytes([number]) * 32) for number in range(11)]
    for number, peer in enumerate(peers[:10]):
        await store.put(record(str(number), clock), peer)
    with pytest.raises(LimitError) as raised:
        await store.put(record("10", clock), peers[10])
    assert (raised.value.scope, raised.value.key) == ("node", "kademlia.record_entries")
    for number in range(20):
        await store.put(record(f"own {number}", clock, bytes(1500)))
    assert len(store) == 30
    await store.put(record("0", clock), None)
    await store.put(record("10", clock), peers[10])


async def test_bytes_of_the_node(store: RecordStore, clock: Clock) -> None:
    size = 1500 + ENTRY_BYTES + 5
    room = LIMITS.bytes // size
    peers = [PeerId.from_bytes(b"\x12\x20" + bytes([number]) * 32) for number in range(room + 1)]
    for number, peer in enumerate(peers[:-1]):
        await store.put(record(str(number), clock, bytes(1500)), peer)
    assert store.strangers.bytes == room * size
    with pytest.raises(LimitError, match=r"kademlia\.record_bytes"):
        await store.put(record("x", clock, bytes(1500)), peers[-1])


async def test_updates_of_one_key_come_one_after_another(store: RecordStore, clock: Clock) -> None:
    """Many senders at once, in any order: the greatest number stays."""

    def admit(number: int) -> StoredValue | None:
        return record("key", clock, number.to_bytes(2, "big"))

    async def update(number: int) -> None:
        def choose(stored: StoredValue | None) -> StoredValue:
            if stored is not None and int.from_bytes(stored.value, "big") >= number:
                raise InvalidRecordError("worse")
            made = admit(number)
            assert made is not None
            return made

        await store.update(b"/pk/key", ALICE, choose)

    numbers = [(number * 37) % 101 for number in range(100)]
    await asyncio.gather(*map(update, numbers), return_exceptions=True)
    found = await store.get(b"/pk/key")
    assert found is not None
    assert int.from_bytes(found.value, "big") == max(numbers)
    assert store.strangers.entries == 1
    with pytest.raises(InvalidRecordError):
        await update(0)


class Failing(MemoryDatastore):
    failing = False

    async def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        await asyncio.sleep(0)
        if self.failing:
            raise StorageError("disk full")
        await super().write(changes)


async def test_a_write_that_fails_changes_nothing(clock: Clock) -> None:
    datastore = Failing()
    store = await opened(datastore, clock)
    before = record("key", clock)
    await store.put(before, ALICE)
    held = (store.strangers.entries, store.strangers.bytes)
    datastore.failing = True
    for name in ("key", "other"):
        with pytest.raises(StorageError):
            await store.put(record(name, clock, b"longer value"), BOB)
    with pytest.raises(StorageError):
        await store.delete(before.key)
    assert (store.strangers.entries, store.strangers.bytes) == held
    assert await store.get(before.key) == before
    assert len(store) == 1
