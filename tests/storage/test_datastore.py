"""Datastores: one contract for both; what is on disk after a close, a kill or damage."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import StorageError, UsageError
from mesh.storage import sqlite_datastore, sqlite_file
from mesh.storage.datastore import MAX_KEY_BYTES, MAX_VALUE_BYTES, Datastore, after_prefix
from mesh.storage.memory_datastore import MemoryDatastore
from mesh.storage.sqlite_datastore import SqliteDatastore

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX file modes and signals")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store.sqlite"


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Datastore]:
    made: Datastore
    if request.param == "memory":
        made = MemoryDatastore()
    else:
        made = SqliteDatastore(path)
        await made.open()
    yield made
    await made.close()


async def everything(store: Datastore, prefix: bytes = b"") -> list[tuple[bytes, bytes]]:
    return [entry async for entry in store.scan(prefix)]


# -- the contract ----------------------------------------------------------------------------------------------------


@pytest.mark.both_loops
async def test_put_get_delete(store: Datastore) -> None:
    assert await store.get(b"a") is None
    await store.put(b"a", b"1")
    assert await store.get(b"a") == b"1"
    await store.put(b"a", b"")
    assert await store.get(b"a") == b""
    await store.delete(b"a")
    await store.delete(b"a")
    assert await store.get(b"a") is None


async def test_scan_in_the_order_of_keys(store: Datastore) -> None:
    names = [bytes([first, second]) for first in (0, 1, 254, 255) for second in range(100)]
    await store.write({name: name * 2 for name in reversed(names)})
    assert await everything(store) == [(name, name * 2) for name in names]
    for prefix in (b"\x01", b"\xfe", b"\xff", b"\x01\x05", b"\xff\x63", b"\x02"):
        assert [key for key, _ in await everything(store, prefix)] == [
            name for name in names if name.startswith(prefix)
        ]


async def test_a_write_is_whole(store: Datastore) -> None:
    await store.put(b"old", b"1")
    await store.write({b"old": None, b"new": b"2", b"other": b"3"})
    assert await everything(store) == [(b"new", b"2"), (b"other", b"3")]
    with pytest.raises(UsageError):
        await store.write({b"new": None, b"": b"x"})
    assert await store.get(b"new") == b"2"
    await store.write({})


async def test_the_last_of_several_writes_stays(store: Datastore) -> None:
    await asyncio.gather(
        *(store.put(b"key", str(number).encode()) for number in range(200)),
        store.delete(b"key"),
        store.put(b"key", b"z"),
    )
    assert await store.get(b"key") == b"z"


@pytest.mark.parametrize(
    ("key", "value"), [(b"", b""), (bytes(MAX_KEY_BYTES + 1), b""), (b"k", bytes(MAX_VALUE_BYTES + 1))]
)
async def test_sizes(store: Datastore, key: bytes, value: bytes) -> None:
    with pytest.raises(UsageError):
        await store.put(key, value)


async def test_after_the_end(store: Datastore) -> None:
    await store.put(b"a", b"1")
    scan = store.scan(b"")
    await store.close()
    await store.close()
    for call in (store.get(b"a"), store.put(b"a", b""), store.delete(b"a"), anext(scan)):
        with pytest.raises(StorageError, match="closed"):
            await call


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_the_end_of_a_prefix(prefix: bytes, key: bytes) -> None:
    end = after_prefix(prefix)
    assert key.startswith(prefix) == (prefix <= key and (end is None or key < end))


# -- the file --------------------------------------------------------------------------------------------------------


async def test_a_restart_keeps_everything(path: Path) -> None:
    async with SqliteDatastore(path) as store:
        await store.put(b"a", bytes(100_000))
        await store.write({b"b": b"2", b"c": b"3"})
        await store.delete(b"b")
    assert [each.name for each in path.parent.iterdir() if "wal" in each.name] == []
    async with SqliteDatastore(path, power_safe=True) as store:
        assert await everything(store) == [(b"a", bytes(100_000)), (b"c", b"3")]
        await store.put(b"d", b"4")
    assert threading.active_count() == 1 or not any(
        thread.name == "datastore" for thread in threading.enumerate()
    )


async def test_writers_share_commits(path: Path) -> None:
    async with SqliteDatastore(path) as store:
        await asyncio.gather(*(store.put(str(number).encode(), b"") for number in range(640)))
        assert store.written == 640
        assert 10 <= store.commits <= 20


async def test_a_flood_waits_for_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_datastore, "MAX_WAITING_BYTES", 5000)
    async with SqliteDatastore(path) as store:
        order: list[int] = []

        async def put(number: int) -> None:
            await store.put(b"key", number.to_bytes(1000, "big"))
            order.append(number)

        writers = [asyncio.create_task(put(number)) for number in range(100)]
        await asyncio.sleep(0)
        assert store.waiting_bytes < 7000
        writers[50].cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        assert order == sorted(set(range(100)) - {50})
        assert await store.get(b"key") == (99).to_bytes(1000, "big")
        assert store.waiting_bytes == 0


async def test_closing_finishes_what_was_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_datastore, "MAX_WAITING_BYTES", 5000)
    store = SqliteDatastore(path)
    await store.open()
    writers = [asyncio.create_task(store.put(bytes([number]), bytes(1000))) for number in range(50)]
    await asyncio.sleep(0)
    await store.close()
    outcomes = await asyncio.gather(*writers, return_exceptions=True)
    kept = {bytes([number]) for number, outcome in enumerate(outcomes) if outcome is None}
    assert all(outcome is None or isinstance(outcome, StorageError) for outcome in outcomes)
    assert kept
    async with SqliteDatastore(path) as again:
        assert {key for key, _ in await everything(again)} == kept


async def test_one_program_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "LOCK_WAIT_S", 0.01)
    async with SqliteDatastore(path) as store:
        with pytest.raises(UsageError):
            await store.open()
        with pytest.raises(StorageError, match="another program has the entries open"):
            await SqliteDatastore(path).open()
        await store.put(b"a", b"1")
    async with SqliteDatastore(path) as store:
        assert await store.get(b"a") == b"1"


async def test_never_opened(path: Path) -> None:
    store = SqliteDatastore(path)
    for call in (store.get(b"a"), store.put(b"a", b"")):
        with pytest.raises(StorageError, match="not opened"):
            await call
    await store.close()


async def test_a_failed_commit_is_not_acknowledged(path: Path) -> None:
    async with SqliteDatastore(path) as store:
        await store.put(b"before", b"1")
        other = sqlite3.connect(path)
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
        other.commit()
        with pytest.raises(StorageError, match="disk is full"):
            await store.write({b"before": None, b"a": b"1"})
        assert (store.failures, store.waiting_bytes) == (1, 0)
        other.execute("DROP TRIGGER full")
        other.commit()
        other.close()
        await store.put(b"b", b"2")
        assert await everything(store) == [(b"b", b"2"), (b"before", b"1")]


def use(path: Path, changes: dict[bytes, bytes | None] | None = None) -> list[tuple[bytes, bytes]]:
    """Opens the file, writes, and returns all entries."""

    async def run() -> list[tuple[bytes, bytes]]:
        async with SqliteDatastore(path) as store:
            await store.write(changes or {})
            return await everything(store)

    return asyncio.run(run())


def test_damage_is_told_and_nothing_replaced(path: Path) -> None:
    use(path, {b"a": bytes(50_000)})
    whole = path.read_bytes()
    for damaged in (b"junk" * 1000, whole[:5000], whole[:4096] + b"\x55" * 4096 + whole[8192:]):
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match=r"the entries are damaged.*move it away"):
            use(path)
        assert path.read_bytes() == damaged


def test_other_databases_are_refused(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE entries (key BLOB, value BLOB)")
    with pytest.raises(StorageError, match="another database"):
        use(path)
    path.unlink()
    use(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="newer mesh"):
        use(path)


@posix
def test_modes_and_folders(path: Path) -> None:
    use(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(StorageError, match="entries"):
        use(path / "below")


WRITER = """
import asyncio, itertools, sys
from pathlib import Path
from mesh.storage.sqlite_datastore import SqliteDatastore

async def main():
    store = SqliteDatastore(Path(sys.argv[1]))
    await store.open()
    numbers = itertools.count()
    async def write():
        for number in numbers:
            key = str(number).encode()
            await store.put(key, key * 20)
            sys.stdout.write(f"{number}\\n")
            sys.stdout.flush()
    await asyncio.gather(*(write() for _ in range(20)))

asyncio.run(main())
"""


@posix
@pytest.mark.parametrize("acknowledged", [1, 200, 3000])
def test_a_killed_process_loses_nothing_acknowledged(path: Path, acknowledged: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(acknowledged)]
        process.kill()
        lines += process.stdout.readlines()
    assert process.returncode < 0
    told = {line.strip() for line in lines if line.endswith(b"\n")}
    assert len(told) >= acknowledged
    kept = dict(use(path, {b"after": b"1"}))
    assert all(kept[key] == key * 20 for key in told)
