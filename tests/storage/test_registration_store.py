"""Registrations: in order, bounded, expiring, and there again after a restart."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.errors import LimitError, StorageError
from mesh.identity.peer_id import PeerId
from mesh.storage.memory_datastore import MemoryDatastore
from mesh.storage.registration_store import (
    ENTRY_BYTES,
    PREFIX,
    RegistrationLimits,
    RegistrationStore,
)
from mesh.storage.sqlite_datastore import SqliteDatastore


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def peer(number: int) -> PeerId:
    return PeerId.from_bytes(b"\x12\x20" + number.to_bytes(32, "big"))


A, B, C = map(peer, range(3))


def held(store: RegistrationStore, namespace: str = "", after: int = 0) -> list[tuple[str, PeerId]]:
    return [(each.namespace, each.peer) for each in store.after(namespace, after)]


async def opened(
    datastore: MemoryDatastore | SqliteDatastore, clock: Clock, limits: RegistrationLimits | None = None
) -> RegistrationStore:
    store = RegistrationStore(datastore, clock, limits)
    await store.open()
    return store


async def test_registrations_come_in_order_and_go_on_after_a_number() -> None:
    store = await opened(MemoryDatastore(), Clock())
    numbers = [
        (await store.add(space, each, b"record", 7200)).seq for space, each in [("x", A), ("y", B), ("x", C)]
    ]
    assert numbers == sorted(numbers)
    assert held(store, "x") == [("x", A), ("x", C)]
    assert held(store) == [("x", A), ("y", B), ("x", C)]
    assert held(store, "x", numbers[0]) == [("x", C)]
    assert held(store, "x", numbers[2]) == held(store, "unknown") == []


async def test_registering_again_takes_the_place_of_before_and_is_news() -> None:
    store = await opened(MemoryDatastore(), Clock())
    await store.add("x", A, b"one", 7200)
    newest = (await store.add("x", B, b"two", 7200)).seq
    await store.add("x", A, b"three", 7200)
    assert held(store, "x") == [("x", B), ("x", A)]
    assert [each.envelope for each in store.after("x", newest)] == [b"three"]
    assert (len(store), store.usage.entries) == (2, 2)


async def test_they_are_removed_and_expire() -> None:
    clock = Clock()
    store = await opened(MemoryDatastore(), clock)
    await store.add("x", A, b"", 7200)
    await store.add("y", A, b"", 9000)
    await store.add("z", A, b"", 9000)
    assert await store.remove("z", A)
    assert not await store.remove("z", A)
    assert not await store.remove("y", B)
    clock.now += 7200
    assert held(store) == [("y", A)]
    assert (await store.sweep(), await store.sweep()) == (1, 0)
    assert (len(store), store.namespaces, store.usage.entries) == (1, 1, 1)


async def test_a_restart_forgets_nothing_but_what_expired(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "store.sqlite"
    async with SqliteDatastore(path) as datastore:
        store = await opened(datastore, clock)
        await store.add("ü", A, b"one", 7200)
        await store.add("x", B, b"two", 9000)
        newest = (await store.add("x", A, b"three", 9000)).seq
        await datastore.put(PREFIX + b"\x05ab", b"what is this")
    clock.now += 8000
    async with SqliteDatastore(path) as datastore:
        store = await opened(datastore, clock)
        assert held(store) == [("x", B), ("x", A)]
        assert [each.envelope for each in store.after("x", 0)] == [b"two", b"three"]
        assert (await store.add("x", C, b"", 7200)).seq > newest
        assert len([name async for name, _ in datastore.scan(PREFIX)]) == 3


async def test_a_peer_and_the_point_have_their_limits() -> None:
    limits = RegistrationLimits(entries=4, peer_entries=2)
    store = await opened(MemoryDatastore(), Clock(), limits)
    await store.add("x", A, b"", 7200)
    await store.add("y", A, b"", 7200)
    with pytest.raises(LimitError) as refusal:
        await store.add("z", A, b"", 7200)
    assert (refusal.value.scope, refusal.value.key) == ("peer", "rendezvous_peer_entries")
    await store.add("x", A, b"again", 7200)
    await store.add("x", B, b"", 7200)
    await store.add("x", C, b"", 7200)
    with pytest.raises(LimitError) as refusal:
        await store.add("x", peer(9), b"", 7200)
    assert refusal.value.scope == "node"
    assert held(store) == [("y", A), ("x", A), ("x", B), ("x", C)]


async def test_bytes_are_limited_too() -> None:
    store = await opened(MemoryDatastore(), Clock(), RegistrationLimits(bytes=2 * ENTRY_BYTES))
    await store.add("x", A, bytes(100), 7200)
    with pytest.raises(LimitError, match="bytes"):
        await store.add("x", B, bytes(200), 7200)


async def test_what_could_not_be_kept_is_not_told() -> None:
    class Broken(MemoryDatastore):
        async def put(self, key: bytes, value: bytes) -> None:
            raise StorageError("the disk is full")

    store = await opened(Broken(), Clock())
    with pytest.raises(StorageError):
        await store.add("x", A, b"", 7200)
    assert (held(store), store.usage.entries) == ([], 0)


async def test_coming_and_going_leaves_nothing_behind() -> None:
    store = await opened(MemoryDatastore(), Clock())
    for number, space in itertools.product(range(300), ("x", "y")):
        await store.add(space, peer(number % 7), b"record", 7200)
    assert len(store) == 14
    assert [each for _, each in held(store, "x")] == [peer(number % 7) for number in range(293, 300)]
    assert len(store._all._numbers) < 14 * 2 + 100
    for number, space in itertools.product(range(7), ("x", "y")):
        assert await store.remove(space, peer(number))
    assert (len(store), store.namespaces, store.usage.bytes) == (0, 0, 0)


KILLED = """
import asyncio, os, sys, time
from pathlib import Path
from mesh.identity.peer_id import PeerId
from mesh.storage.registration_store import RegistrationStore
from mesh.storage.sqlite_datastore import SqliteDatastore

async def main():
    datastore = SqliteDatastore(Path(sys.argv[1]))
    await datastore.open()
    store = RegistrationStore(datastore, time.time)
    await store.open()
    for number in range(100):
        await store.add("x", PeerId.from_bytes(b"\\x12\\x20" + number.to_bytes(32, "big")), b"record", 7200)
    print("kept", flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == ("kept\n", -signal.SIGKILL), done.stderr

    async def reopened() -> list[tuple[str, PeerId]]:
        clock = Clock()
        clock.now = 0.0
        async with SqliteDatastore(path) as datastore:
            return held(await opened(datastore, clock), "x")

    assert asyncio.run(reopened()) == [("x", peer(number)) for number in range(100)]
