"""One thread that owns a file's writing connection, and works that share its transactions.

A piece of work is a function of the connection. Works that come while a commit is under way share the next one, each
within a savepoint of its own: what one of them raises undoes that one alone. What `run` has answered survives
`kill -9`, since the write-ahead log is with the operating system by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from mesh.errors import StorageError, UsageError
from mesh.storage.sqlite_file import SqliteFile

WORKS_AT_ONCE: Final = 64
MAX_WAITING_WORKS: Final = 2048
"""Not yet committed; beyond it a new one waits for its turn to be queued."""

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class _Waiting(NamedTuple):
    work: Work[Any]
    on_disk: bool
    done: asyncio.Future[Any]


class WorkQueue:
    """An open file, from `open` to `close`.

    ``prepare`` makes the tables that are missing, in a transaction of its own. ``written`` counts works, ``commits``
    transactions, ``failures`` those that did not happen; ``problem`` says why the last one did not, and is empty once
    one did again.
    """

    def __init__(self, file: SqliteFile, prepare: Work[None]) -> None:
        self._file = file
        self._prepare = prepare
        self._changed = threading.Condition(threading.Lock())
        self._pending: deque[_Waiting] = deque()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._turns = asyncio.Semaphore(MAX_WAITING_WORKS)
        self.taking = False
        self.written = self.commits = self.failures = 0
        self.problem = ""

    # -- life --------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the file, making it when there is none. Raises `StorageError` when it is damaged, foreign, newer or in
        use, and never replaces it then; `UsageError` the second time."""
        if self._thread is not None:
            raise UsageError(f"{self._file.path} was opened before")
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=self._file.path.name, daemon=True)
        self._thread.start()
        try:
            await asyncio.shield(self._opened)
        except BaseException:
            await self.close()
            raise
        self.taking = True

    async def close(self) -> None:
        """Commit what waits and close the file; safe to call twice."""
        self.taking = False
        if self._thread is not None:
            with self._changed:
                self._closing = True
                self._changed.notify()
            await asyncio.shield(self._ended)
            self._thread.join()

    # -- work --------------------------------------------------------------------------------------------------------

    async def run(self, work: Work[T], on_disk: bool = False) -> T:
        """Run ``work(connection)`` in a transaction and give what it returned, once that is committed; with ``on_disk``
        once the disk has it, so that it survives a power failure too.

        What it raises is raised here, and nothing of it stays. Works run in the order in which they were handed in; they
        hold up the others, so they do not wait for anything. Raises `StorageError` when the commit failed.
        """
        async with self._turns:
            waiting = _Waiting(work, on_disk, asyncio.get_running_loop().create_future())
            with self._changed:
                if not self.taking:
                    raise self.closed()
                self._pending.append(waiting)
                if len(self._pending) == 1:
                    self._changed.notify()
            result: T = await waiting.done
            return result

    def closed(self) -> StorageError:
        """The error for work after the end, or before the start."""
        return StorageError(f"{self._file.path}: the {self._file.noun} are not open")

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with contextlib.closing(self._file.hold()), contextlib.closing(self._open()) as writer:
                self._tell(self._opened.set_result, None)
                self._serve(writer)
        except StorageError as error:
            self._tell(self._opened.set_exception, error)
        finally:
            self._tell(self._ended.set_result, None)

    def _open(self) -> sqlite3.Connection:
        writer = self._file.open(exclusive=False)
        writer.isolation_level = None
        try:
            writer.execute("BEGIN IMMEDIATE")
            self._prepare(writer)
            writer.execute("COMMIT")
        except (sqlite3.Error, StorageError) as error:
            writer.close()
            raise error if isinstance(error, StorageError) else self._file.opened_badly(error) from None
        return writer

    def _serve(self, writer: sqlite3.Connection) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                if not self._pending:
                    return
                count = min(len(self._pending), WORKS_AT_ONCE)
                works = [self._pending.popleft() for _ in range(count)]
            self._tell(_settle, works, self._commit(writer, works))

    def _commit(self, writer: sqlite3.Connection, works: list[_Waiting]) -> list[_Outcome]:
        outcomes = []
        try:
            level = "FULL" if any(each.on_disk for each in works) else "NORMAL"
            writer.execute(f"PRAGMA synchronous = {level}")
            writer.execute("BEGIN IMMEDIATE")
            for each in works:
                with _Outcome(writer, self._file) as outcome:
                    outcome.result = each.work(writer)
                outcomes.append(outcome)
            writer.execute("COMMIT")
        except sqlite3.Error as cause:
            self.failures += 1
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            failed = _Outcome(writer, self._file)
            failed.error = self._file.unwritable(cause)
            self.problem = str(failed.error)
            return [failed] * len(works)
        self.written += len(works)
        self.commits += 1
        self.problem = ""
        return outcomes

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        """Have the loop call something; a loop that was closed first hears nothing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)


class _Outcome:
    """A savepoint around one work; what the work raises undoes it and goes to whoever awaits it, not to the thread."""

    def __init__(self, writer: sqlite3.Connection, file: SqliteFile) -> None:
        self._writer = writer
        self._file = file
        self.result: Any = None
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._writer.execute("SAVEPOINT work")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self.error = self._file.unwritable(error) if isinstance(error, sqlite3.Error) else error
            if not self._writer.in_transaction:
                raise sqlite3.OperationalError(f"the transaction was undone: {error}")
            self._writer.execute("ROLLBACK TO work")
        self._writer.execute("RELEASE work")
        return True


def _settle(works: list[_Waiting], outcomes: list[_Outcome]) -> None:
    """Runs in the loop after each transaction."""
    for waiting, outcome in zip(works, outcomes, strict=True):
        if waiting.done.done():
            continue
        if outcome.error is None:
            waiting.done.set_result(outcome.result)
        else:
            waiting.done.set_exception(outcome.error)
