"""The store's file: transactions of many writers, errors of one, death of the process."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.apps.agent.store import AgentStore, agent_store, schema
from mesh.apps.agent.store.message_log import add
from mesh.errors import StorageError, UsageError
from tests.apps.agent.store.messages import message


def rows(database: sqlite3.Connection) -> list[str]:
    return [content for (content,) in database.execute("SELECT content FROM messages ORDER BY id")]


async def test_what_was_written_is_read_after_a_new_start(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with AgentStore(path) as store:
        written = await store.write(lambda database: add(database, message("hello")))
        assert written.id == 1
    async with AgentStore(path) as store:
        assert await store.read(rows) == ["hello"]


async def test_writers_at_a_time_share_commits_and_keep_their_order(store: AgentStore) -> None:
    writes = [
        store.write(lambda database, number=number: add(database, message(str(number))))  # type: ignore[misc]
        for number in range(500)
    ]
    records = await asyncio.gather(*writes)
    assert [each.content for each in records] == [str(number) for number in range(500)]
    assert [each.id for each in records] == list(range(1, 501))
    assert store.works.written == 500
    assert store.works.commits < 500


async def test_what_one_work_raises_undoes_that_one_alone(store: AgentStore) -> None:
    def fails(database: sqlite3.Connection) -> None:
        add(database, message("undone"))
        raise UsageError("no")

    def breaks(database: sqlite3.Connection) -> None:
        add(database, message("undone too"))
        database.execute("INSERT INTO messages (peer_id) VALUES (NULL)")

    first = store.write(lambda database: add(database, message("first")))
    last = store.write(lambda database: add(database, message("last")))
    results = await asyncio.gather(
        first, store.write(fails), store.write(breaks), last, return_exceptions=True
    )
    assert isinstance(results[1], UsageError)
    assert isinstance(results[2], StorageError)
    assert await store.read(rows) == ["first", "last"]


async def test_a_bug_of_one_work_goes_to_its_caller(store: AgentStore) -> None:
    with pytest.raises(ZeroDivisionError):
        await store.write(lambda _database: 1 // 0)
    assert await store.write(lambda database: add(database, message("after"))) is not None


async def test_a_work_that_undoes_the_transaction_fails_all_of_it(store: AgentStore) -> None:
    def undoes(database: sqlite3.Connection) -> None:
        database.execute("ROLLBACK")
        raise UsageError("after a rollback")

    with pytest.raises(StorageError):
        await store.write(undoes)
    assert store.works.failures == 1
    await store.write(lambda database: add(database, message("after")))
    assert await store.read(rows) == ["after"]


async def test_a_reader_cannot_write(store: AgentStore) -> None:
    with pytest.raises(StorageError):
        await store.read(lambda database: add(database, message("no")))


async def test_reading_that_takes_too_long_is_broken_off(
    store: AgentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_store, "READ_LIMIT_S", 0.0)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(UsageError, match="takes longer"):
        await store.read(lambda database: database.execute(endless).fetchall())
    monkeypatch.undo()
    assert await store.read(rows) == []


async def test_another_process_is_kept_out(tmp_path: Path) -> None:
    async with AgentStore(tmp_path / "agent.db"):
        with pytest.raises(StorageError, match="another program"):
            await AgentStore(tmp_path / "agent.db").open()


async def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "agent.db")
    async with store:
        pass
    with pytest.raises(StorageError):
        await store.write(rows)
    with pytest.raises(StorageError):
        await store.read(rows)


async def test_a_foreign_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    path.write_bytes(b"not a database, and somebody's only copy" * 100)
    with pytest.raises(StorageError):
        await AgentStore(path).open()
    assert path.read_bytes().startswith(b"not a database")


async def test_tables_of_a_newer_mesh_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with AgentStore(path) as store:
        await store.write(lambda database: database.execute("UPDATE parts SET version = 99"))
    with pytest.raises(StorageError, match="newer mesh"):
        await AgentStore(path).open()


async def test_other_parts_have_tables_of_their_own(store: AgentStore) -> None:
    statements = ("CREATE TABLE errands (id INTEGER PRIMARY KEY)",)
    for _ in range(2):
        await store.write(lambda database: schema.prepare(database, "errands", 1, statements))
    assert await store.read(lambda database: database.execute("SELECT count(*) FROM errands").fetchone()) == (
        0,
    )


async def test_without_a_path_nothing_is_left_behind() -> None:
    async with AgentStore(None) as store:
        folder = store.path.parent
        await store.write(lambda database: add(database, message("gone soon")))
        assert await store.read(rows) == ["gone soon"]
    assert not folder.exists()


WRITER = """
import asyncio, sys
from pathlib import Path
from mesh.apps.agent.store import AgentStore
from mesh.apps.agent.store.message_log import add
from tests.apps.agent.store.messages import message

async def main():
    async with AgentStore(Path(sys.argv[1])) as store:
        for number in range(1_000_000):
            await store.write(lambda database: add(database, message(f"number {number}")))
            print(number, flush=True)

asyncio.run(main())
"""


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            acknowledged = [writer.stdout.readline() for _ in range(40)]
            writer.kill()
            acknowledged += writer.stdout.readlines()
        whole = sum(line.endswith("\n") for line in acknowledged)
        stored, words = asyncio.run(left_behind(path))
        assert stored in (whole, whole + 1)
        assert words == stored


async def left_behind(path: Path) -> tuple[int, int]:
    """How many messages there are, and how many the words find; then none."""
    query = "SELECT count(*) FROM message_words WHERE message_words MATCH 'number'"
    async with AgentStore(path) as store:
        stored = await store.read(rows)
        words = await store.read(lambda database: database.execute(query).fetchone()[0])
        await store.write(lambda database: database.execute("DELETE FROM messages"))
    return len(stored), words
