"""A datastore in one SQLite file: one thread writes, the loop reads.

Writes that come while another commit is under way share the next one, up to 64 at once: many writers at a time cost
little more than one, and a lone writer does not wait. What was acknowledged survives `kill -9`, since the write-ahead
log is with the operating system by then; a power failure may cost the last commits unless `power_safe` is set, which
makes each commit wait for the disk. Reads go straight to the file on a connection of their own, which no commit holds up.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from mesh.errors import StorageError, UsageError
from mesh.storage.datastore import MAX_KEY_BYTES, MAX_VALUE_BYTES, Scan, after_prefix, check_change
from mesh.storage.sqlite_file import SqliteFile

WRITES_AT_ONCE: Final = 64
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Of writes not yet committed; beyond it a new one waits for its turn to be queued."""
ROWS_AT_ONCE: Final = 64
KEYS_AT_ONCE: Final = 500
"""In one query."""
_ENTRY_BYTES: Final = 256
"""What a waiting change takes besides key and value."""
_APPLICATION: Final = int.from_bytes(b"mshd", "big")
_VERSION: Final = 1
_SCHEMA: Final = "CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL)"
CHANGED_AT_ONCE: Final = 200
"""Rows in one statement, which holds up Python only while it is prepared."""
_SIZE: Final = "SELECT length(value) FROM entries WHERE key = ?"
_GET: Final = "SELECT value FROM entries WHERE key = ?"

Changes = Mapping[bytes, bytes | None]


class _Write(NamedTuple):
    changes: Changes
    size: int
    done: asyncio.Future[None]


class SqliteDatastore:
    """See `datastore.LocalDatastore`.

    ``written`` counts writes, ``commits`` transactions, ``failures`` those that did not happen; ``waiting_bytes`` is what
    is not committed yet.
    """

    def __init__(self, path: Path, *, power_safe: bool = False) -> None:
        self._file = SqliteFile(path, "entries", "them", _APPLICATION, _VERSION, _SCHEMA)
        self._power_safe = power_safe
        self._changed = threading.Condition(threading.Lock())
        self._pending: deque[_Write] = deque()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._reader: sqlite3.Connection | None = None
        self._turns = asyncio.Lock()
        self._room = asyncio.Event()
        self.written = self.commits = self.failures = self.waiting_bytes = 0

    # -- life --------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the file, making it when there is none.

        Raises StorageError when it is damaged, foreign or in use; it is never replaced. UsageError the second time.
        """
        if self._thread is not None:
            raise UsageError("the datastore was opened before")
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[sqlite3.Connection] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="datastore", daemon=True)
        self._thread.start()
        try:
            self._reader = await asyncio.shield(self._opened)
        except BaseException:
            await self._end()
            raise

    async def close(self) -> None:
        """See `Datastore.close`; the file's log is emptied into it."""
        if self._thread is not None:
            await self._end()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _end(self) -> None:
        self._reader = None
        self._room.set()
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.shield(self._ended)
        if self._thread is not None:
            self._thread.join()

    # -- reading -----------------------------------------------------------------------------------------------------

    async def get(self, key: bytes) -> bytes | None:
        """See `Datastore.get`. Takes some microseconds and does not leave the loop."""
        return self.get_now(key)

    def get_now(self, key: bytes) -> bytes | None:
        """See `LocalDatastore.get_now`."""
        rows = self._read(_GET, (key,))
        return rows[0][0] if rows else None

    def size_now(self, key: bytes) -> int | None:
        """See `LocalDatastore.size_now`."""
        rows = self._read(_SIZE, (key,))
        return rows[0][0] if rows else None

    def get_many_now(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """See `LocalDatastore.get_many_now`."""
        wanted = list(keys)
        found: dict[bytes, bytes] = {}
        for start in range(0, len(wanted), KEYS_AT_ONCE):
            some = wanted[start : start + KEYS_AT_ONCE]
            query = f"SELECT key, value FROM entries WHERE key IN ({','.join('?' * len(some))})"
            found.update(self._read(query, tuple(some)))
        return found

    def scan_now(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `LocalDatastore.scan_now`."""
        bound, above = _bound(prefix)
        rows = self._read(
            f"SELECT key, value FROM entries WHERE key >= ? {bound} ORDER BY key", (prefix, *above)
        )
        return ((key, value) for key, value in rows)

    def measure(self, prefix: bytes) -> tuple[int, int]:
        """See `LocalDatastore.measure`."""
        bound, above = _bound(prefix)
        query = f"SELECT count(*), coalesce(sum(length(value)), 0) FROM entries WHERE key >= ? {bound}"
        ((count, size),) = self._read(query, (prefix, *above))
        return count, size

    async def scan(self, prefix: bytes) -> AsyncIterator[tuple[bytes, bytes]]:
        """See `Datastore.scan`. Lets the loop go on after every 64 rows, and holds no lock meanwhile."""
        async for each in _scan(self._read, prefix):
            yield each

    @contextlib.contextmanager
    def frozen(self) -> Iterator[Scan]:
        """See `LocalDatastore.frozen`. The file's log grows meanwhile."""
        self._read(_GET, (b"\0",))
        with contextlib.closing(self._file.reader()) as reader:
            reader.execute("BEGIN")

            def read(query: str, parameters: tuple[bytes, ...]) -> list[tuple[Any, ...]]:
                try:
                    return reader.execute(query, parameters).fetchall()
                except sqlite3.Error as error:
                    raise self._file.damaged(str(error)) from None

            read(_GET, (b"\0",))
            yield lambda prefix: _scan(read, prefix)

    def _read(self, query: str, parameters: tuple[bytes, ...]) -> list[tuple[Any, ...]]:
        if self._reader is None:
            raise self._closed()
        try:
            return self._reader.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._file.damaged(str(error)) from None

    # -- writing -----------------------------------------------------------------------------------------------------

    async def put(self, key: bytes, value: bytes) -> None:
        """See `Datastore.put`."""
        await self.write({key: bytes(value)})

    async def delete(self, key: bytes) -> None:
        """See `Datastore.delete`."""
        await self.write({key: None})

    async def write(self, changes: Changes) -> None:
        """See `Datastore.write`. Writes are committed in the order in which they were asked for."""
        size = 0
        for key, value in changes.items():
            length = 0 if value is None else len(value)
            if not 1 <= len(key) <= MAX_KEY_BYTES or length > MAX_VALUE_BYTES:
                check_change(key, value)
            size += len(key) + length + _ENTRY_BYTES
        async with self._turns:
            while self._reader is not None and self.waiting_bytes >= MAX_WAITING_BYTES:
                self._room.clear()
                await self._room.wait()
            if self._reader is None:
                raise self._closed()
            write = _Write(changes, size, self._loop.create_future())
            self.waiting_bytes += size
            with self._changed:
                self._pending.append(write)
                if len(self._pending) == 1:
                    self._changed.notify()
        await write.done

    def _settle(self, writes: list[_Write], error: StorageError | None) -> None:
        """Runs in the loop after each transaction."""
        for _, size, done in writes:
            self.waiting_bytes -= size
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
        if self.waiting_bytes < MAX_WAITING_BYTES:
            self._room.set()

    def _closed(self) -> StorageError:
        state = "was not opened" if self._thread is None else "is closed"
        return StorageError(f"{self._file.path}: the datastore {state}")

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with contextlib.ExitStack() as files:
                files.enter_context(contextlib.closing(self._file.hold()))
                writer = self._file.open(exclusive=False, power_safe=self._power_safe)
                files.enter_context(contextlib.closing(writer))
                reader = files.enter_context(contextlib.closing(self._file.reader()))
                self._tell(self._opened.set_result, reader)
                self._serve(writer)
        except StorageError as error:
            self._tell(self._opened.set_exception, error)
        finally:
            self._tell(self._ended.set_result, None)

    def _serve(self, writer: sqlite3.Connection) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                if not self._pending:
                    return
                count = min(len(self._pending), WRITES_AT_ONCE)
                writes = [self._pending.popleft() for _ in range(count)]
            error = self._commit(writer, writes)
            self._tell(self._settle, writes, error)

    def _commit(self, writer: sqlite3.Connection, writes: list[_Write]) -> StorageError | None:
        changes = writes[0].changes
        if len(writes) > 1:
            changes = {key: value for write in writes for key, value in write.changes.items()}
        try:
            with writer:
                writer.execute("BEGIN IMMEDIATE")
                _put(writer, [each for each in changes.items() if each[1] is not None])
                _delete(writer, [key for key, value in changes.items() if value is None])
        except sqlite3.Error as cause:
            self.failures += 1
            return self._file.unwritable(cause)
        self.written += len(writes)
        self.commits += 1
        return None

    def _tell(self, call: object, *arguments: object) -> None:
        """Have the loop call something; a loop that was closed first hears nothing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)  # type: ignore[arg-type]


async def _scan(
    read: Callable[[str, tuple[bytes, ...]], list[tuple[Any, ...]]], prefix: bytes
) -> AsyncIterator[tuple[bytes, bytes]]:
    bound, above = _bound(prefix)
    start, order = prefix, ">="
    while True:
        query = (
            f"SELECT key, value FROM entries WHERE key {order} ? {bound} ORDER BY key LIMIT {ROWS_AT_ONCE}"
        )
        rows = read(query, (start, *above))
        for key, value in rows:
            yield key, value
        if len(rows) < ROWS_AT_ONCE:
            return
        start, order = rows[-1][0], ">"
        await asyncio.sleep(0)


def _put(writer: sqlite3.Connection, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
    for start in range(0, len(rows), CHANGED_AT_ONCE):
        some = rows[start : start + CHANGED_AT_ONCE]
        places = ",".join(["(?,?)"] * len(some))
        statement = (
            f"INSERT INTO entries VALUES {places} ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        )
        writer.execute(statement, [part for row in some for part in row])


def _delete(writer: sqlite3.Connection, keys: Sequence[bytes]) -> None:
    for start in range(0, len(keys), CHANGED_AT_ONCE):
        some = keys[start : start + CHANGED_AT_ONCE]
        writer.execute(f"DELETE FROM entries WHERE key IN ({','.join('?' * len(some))})", some)


def _bound(prefix: bytes) -> tuple[str, tuple[bytes, ...]]:
    """The condition, with its parameter, that ends a query at the last key beginning with `prefix`."""
    end = after_prefix(prefix)
    return ("", ()) if end is None else ("AND key < ?", (end,))
