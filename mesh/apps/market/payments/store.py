"""``payments.db`` of the data folder: one thread writes and reads, and many writers share a commit.

A piece of work is a function of the connection, from `sales` or `purchases`. Works that come while a commit is under way
share the next one, each within a savepoint of its own. What `run` has answered survives `kill -9`; with ``on_disk`` it
survives a power failure too, since the commit waits for the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from mesh.apps.market.payments import purchases, sales
from mesh.errors import StorageError
from mesh.storage.sqlite_file import SqliteFile

FILE_NAME: Final = "payments.db"
WORKS_AT_ONCE: Final = 64
MAX_WAITING_WORKS: Final = 2048
_APPLICATION: Final = int.from_bytes(b"mshp", "big")
_VERSION: Final = 1
_FORMAT_TABLE: Final = "CREATE TABLE payments_format (version INTEGER NOT NULL) STRICT"

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class _Waiting(NamedTuple):
    work: Work[Any]
    on_disk: bool
    done: asyncio.Future[Any]


def make_tables(database: sqlite3.Connection) -> None:
    """The tables of an empty database, or of one that has them."""
    for statement in (*sales.STATEMENTS, *purchases.STATEMENTS):
        database.execute(statement)


class PaymentStore:
    """The open file, for the length of an `async with`."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(
            path, "payments", "any record of what was paid", _APPLICATION, _VERSION, _FORMAT_TABLE
        )
        self._changed = threading.Condition(threading.Lock())
        self._pending: deque[_Waiting] = deque()
        self._closing = False
        self._taking = False
        self._thread: threading.Thread | None = None
        self._turns = asyncio.Semaphore(MAX_WAITING_WORKS)
        self.commits = 0

    @property
    def path(self) -> Path:
        return self._file.path

    async def __aenter__(self) -> Self:
        """Opens the file, making it when there is none. Raises `StorageError` when it is damaged, foreign, newer or in
        use, and never replaces it then."""
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="payments", daemon=True)
        self._thread.start()
        try:
            await asyncio.shield(self._opened)
        except BaseException:
            await self._close()
            raise
        self._taking = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        self._taking = False
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.shield(self._ended)
        if self._thread is not None:
            self._thread.join()

    async def run(self, work: Work[T], on_disk: bool = False) -> T:
        """Run ``work(connection)`` in a transaction and give what it returned, once that is committed.

        What it raises is raised here, and nothing of it stays. Raises `StorageError` when the commit failed.
        """
        async with self._turns:
            waiting = _Waiting(work, on_disk, asyncio.get_running_loop().create_future())
            with self._changed:
                if not self._taking:
                    raise StorageError(f"{self.path}: the payments are not open")
                self._pending.append(waiting)
                self._changed.notify()
            result: T = await waiting.done
            return result

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with contextlib.ExitStack() as files:
                files.enter_context(contextlib.closing(self._file.hold()))
                database = self._file.open(exclusive=False)
                files.enter_context(contextlib.closing(database))
                database.isolation_level = None
                self._prepare(database)
                self._tell(self._opened.set_result, None)
                self._serve(database)
        except StorageError as error:
            self._tell(self._opened.set_exception, error)
        finally:
            self._tell(self._ended.set_result, None)

    def _prepare(self, database: sqlite3.Connection) -> None:
        try:
            database.execute("BEGIN IMMEDIATE")
            make_tables(database)
            database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._file.opened_badly(error) from None

    def _serve(self, database: sqlite3.Connection) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                if not self._pending:
                    return
                works = [self._pending.popleft() for _ in range(min(len(self._pending), WORKS_AT_ONCE))]
            self._tell(_settle, works, self._commit(database, works))

    def _commit(self, database: sqlite3.Connection, works: list[_Waiting]) -> list[_Outcome]:
        outcomes = []
        try:
            level = "FULL" if any(each.on_disk for each in works) else "NORMAL"
            database.execute(f"PRAGMA synchronous = {level}")
            database.execute("BEGIN IMMEDIATE")
            for each in works:
                with _Outcome(database, self._file) as outcome:
                    outcome.result = each.work(database)
                outcomes.append(outcome)
            database.execute("COMMIT")
        except sqlite3.Error as cause:
            if database.in_transaction:
                database.execute("ROLLBACK")
            failed = _Outcome(database, self._file)
            failed.error = self._file.unwritable(cause)
            return [failed] * len(works)
        self.commits += 1
        return outcomes

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        """Have the loop call something; a loop that was closed first hears nothing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)


class _Outcome:
    """A savepoint around one work; what the work raises undoes it and goes to whoever awaits it, not to the thread."""

    def __init__(self, database: sqlite3.Connection, file: SqliteFile) -> None:
        self._database = database
        self._file = file
        self.result: Any = None
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._database.execute("SAVEPOINT work")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self.error = self._file.unwritable(error) if isinstance(error, sqlite3.Error) else error
            if not self._database.in_transaction:
                raise sqlite3.OperationalError(f"the transaction was undone: {error}")
            self._database.execute("ROLLBACK TO work")
        self._database.execute("RELEASE work")
        return True


def _settle(works: list[_Waiting], outcomes: list[_Outcome]) -> None:
    """Runs in the loop after each transaction."""
    for (_, _, done), outcome in zip(works, outcomes, strict=True):
        if done.done():
            continue
        if outcome.error is None:
            done.set_result(outcome.result)
        else:
            done.set_exception(outcome.error)
