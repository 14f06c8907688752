"""The file of the agent daemon: one thread writes, two read, and many writers share a commit.

A piece of work is a function of the connection. Works that come while a commit is under way share the next one, each
within a savepoint of its own: what one of them raises undoes that one alone. What `write` has answered survives
`kill -9`, since the write-ahead log is with the operating system by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from mesh.apps.agent.store import schema
from mesh.errors import StorageError, UsageError
from mesh.storage.sqlite_file import SqliteFile

FILE_NAME: Final = "agent.db"
WORKS_AT_ONCE: Final = 64
MAX_WAITING_WORKS: Final = 2048
READERS: Final = 2
READ_LIMIT_S: Final = 5.0
"""A reading that takes longer is broken off: some full-text queries would look at every word of every message."""
_CHECK_INSTRUCTIONS: Final = 20_000
_CACHE_KIB: Final = 16 * 1024
_APPLICATION: Final = int.from_bytes(b"msha", "big")
_VERSION: Final = 1

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class _Waiting(NamedTuple):
    work: Work[Any]
    done: asyncio.Future[Any]


class AgentStore:
    """The open file, for the length of an `async with`; without a path it lies in a folder that is removed at the end.

    ``written`` counts works, ``commits`` transactions, ``failures`` those that did not happen; ``problem`` says why
    the last one did not, and is empty once one did again.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._changed = threading.Condition(threading.Lock())
        self._pending: deque[_Waiting] = deque()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._turns = asyncio.Semaphore(MAX_WAITING_WORKS)
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(READERS, "agent reader")
        self._taking = False
        self.written = self.commits = self.failures = 0
        self.problem = ""

    @property
    def path(self) -> Path:
        """Where the file is. Raises `UsageError` before `open` where no path was given."""
        if self._path is None:
            raise UsageError("a store without a path has none before it is opened")
        return self._path

    # -- life --------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the file, making it when there is none. Raises `StorageError` when it is damaged, foreign, newer or in
        use, and never replaces it then; `UsageError` the second time."""
        if self._thread is not None:
            raise UsageError("the store of the agent was opened before")
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="agent store", daemon=True)
        self._thread.start()
        try:
            await asyncio.shield(self._opened)
        except BaseException:
            await self.close()
            raise
        self._taking = True

    async def close(self) -> None:
        """Commit what waits and close the file; safe to call twice."""
        self._taking = False
        if self._thread is not None:
            with self._changed:
                self._closing = True
                self._changed.notify()
            await asyncio.shield(self._ended)
            self._thread.join()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- work --------------------------------------------------------------------------------------------------------

    async def write(self, work: Work[T]) -> T:
        """Run ``work(connection)`` in a transaction and give what it returned, once that is committed.

        What it raises is raised here, and nothing of it stays. Works run in the order in which they were handed in; they
        hold up the others, so they do not wait for anything. Raises `StorageError` when the commit failed.
        """
        async with self._turns:
            waiting = _Waiting(work, asyncio.get_running_loop().create_future())
            with self._changed:
                if not self._taking:
                    raise self._closed()
                self._pending.append(waiting)
                if len(self._pending) == 1:
                    self._changed.notify()
            result: T = await waiting.done
            return result

    async def read(self, work: Work[T]) -> T:
        """Run ``work(connection)`` on what is committed, and give what it returned.

        Raises what it raises, `UsageError` after 5 s, `StorageError` when the file cannot be read.
        """
        if not self._taking:
            raise self._closed()
        return await self._loop.run_in_executor(self._pool, self._read, work)

    def _read(self, work: Work[T]) -> T:
        reader = self._readers.get()
        limit = time.monotonic() + READ_LIMIT_S
        reader.set_progress_handler(lambda: time.monotonic() > limit, _CHECK_INSTRUCTIONS)
        try:
            reader.execute("BEGIN")
            return work(reader)
        except sqlite3.Error as error:
            if "interrupted" in str(error):
                raise UsageError(
                    f"this takes longer than {READ_LIMIT_S:g} s to read; ask for less at a time"
                ) from None
            raise self._file.damaged(str(error)) from None
        finally:
            reader.set_progress_handler(None, 0)
            if reader.in_transaction:
                reader.execute("ROLLBACK")
            self._readers.put(reader)

    def _closed(self) -> StorageError:
        return StorageError(f"{self._path or 'in memory'}: the store of the agent is not open")

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with contextlib.ExitStack() as files:
                self._file = self._place(files)
                files.enter_context(contextlib.closing(self._file.hold()))
                writer = self._file.open(exclusive=False)
                files.enter_context(contextlib.closing(writer))
                writer.isolation_level = None
                writer.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                self._make_tables(writer)
                for _ in range(READERS):
                    reader = files.enter_context(contextlib.closing(self._file.reader()))
                    reader.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                    self._readers.put(reader)
                self._tell(self._opened.set_result, None)
                self._serve(writer)
                self._pool.shutdown()
        except StorageError as error:
            self._tell(self._opened.set_exception, error)
        finally:
            self._tell(self._ended.set_result, None)

    def _place(self, files: contextlib.ExitStack) -> SqliteFile:
        """The file at the path, or in a folder that goes with the thread."""
        if self._path is None:
            folder = files.enter_context(tempfile.TemporaryDirectory(prefix="mesh-agent-"))
            self._path = Path(folder) / FILE_NAME
        return SqliteFile(
            self._path, "messages of the agent", "them", _APPLICATION, _VERSION, schema.PARTS_TABLE
        )

    def _make_tables(self, writer: sqlite3.Connection) -> None:
        try:
            writer.execute("BEGIN IMMEDIATE")
            schema.prepare(writer, "agent", schema.VERSION, schema.STATEMENTS)
            writer.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._file.opened_badly(error) from None

    def _serve(self, writer: sqlite3.Connection) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                if not self._pending:
                    return
                count = min(len(self._pending), WORKS_AT_ONCE)
                works = [self._pending.popleft() for _ in range(count)]
            self._tell(self._settle, works, self._commit(writer, works))

    def _commit(self, writer: sqlite3.Connection, works: list[_Waiting]) -> list[_Outcome]:
        outcomes = []
        try:
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

    def _settle(self, works: list[_Waiting], outcomes: list[_Outcome]) -> None:
        """Runs in the loop after each transaction."""
        for (_, done), outcome in zip(works, outcomes, strict=True):
            if done.done():
                continue
            if outcome.error is None:
                done.set_result(outcome.result)
            else:
                done.set_exception(outcome.error)

    def _tell(self, call: object, *arguments: object) -> None:
        """Have the loop call something; a loop that was closed first hears nothing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)  # type: ignore[arg-type]


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
