"""The file of the agent daemon: one thread writes, two read, and many writers share a commit (`storage.work_queue`)."""

from __future__ import annotations

import asyncio
import queue
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mesh.apps.agent.store import schema
from mesh.errors import StorageError, UsageError
from mesh.storage.sqlite_file import SqliteFile
from mesh.storage.work_queue import T, Work, WorkQueue

FILE_NAME: Final = "agent.db"
READERS: Final = 2
READ_LIMIT_S: Final = 5.0
"""A reading that takes longer is broken off: some full-text queries would look at every word of every message."""
_CHECK_INSTRUCTIONS: Final = 20_000
_CACHE_KIB: Final = 16 * 1024
_APPLICATION: Final = int.from_bytes(b"msha", "big")
_VERSION: Final = 1


class AgentStore:
    """The open file, for the length of an `async with`; without a path it lies in a folder that is removed at the end."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._folder: Path | None = None
        self._queue: WorkQueue | None = None
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._opened = 0
        self._pool = ThreadPoolExecutor(READERS, "agent reader")

    @property
    def path(self) -> Path:
        """Where the file is. Raises `UsageError` before `open` where no path was given."""
        if self._path is None:
            raise UsageError("a store without a path has none before it is opened")
        return self._path

    @property
    def works(self) -> WorkQueue:
        """What is written, with its counters. Raises `StorageError` before `open`."""
        if self._queue is None:
            raise StorageError(f"{self._path or 'in memory'}: the store of the agent is not open")
        return self._queue

    # -- life --------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the file, making it when there is none. Raises `StorageError` when it is damaged, foreign, newer or in
        use, and never replaces it then; `UsageError` the second time."""
        if self._queue is not None:
            raise UsageError("the store of the agent was opened before")
        if self._path is None:
            self._folder = Path(tempfile.mkdtemp(prefix="mesh-agent-"))
            self._path = self._folder / FILE_NAME
        self._file = SqliteFile(
            self._path, "messages of the agent", "them", _APPLICATION, _VERSION, schema.PARTS_TABLE
        )
        self._queue = WorkQueue(self._file, _make_tables)
        try:
            await self._queue.open()
            for _ in range(READERS):
                reader = self._file.reader()
                reader.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                self._readers.put(reader)
                self._opened += 1
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Commit what waits and close the file; safe to call twice."""
        if self._queue is None:
            return
        self._queue.taking = False
        closing, self._opened = self._opened, 0
        await asyncio.gather(*(self._aside(lambda: self._readers.get().close()) for _ in range(closing)))
        await self._queue.close()
        if (folder := self._folder) is not None:
            self._folder = None
            await self._aside(lambda: shutil.rmtree(folder, ignore_errors=True))
        self._pool.shutdown()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- work --------------------------------------------------------------------------------------------------------

    async def write(self, work: Work[T]) -> T:
        """Run ``work(connection)`` in a transaction: see `WorkQueue.run`."""
        return await self.works.run(work)

    async def read(self, work: Work[T]) -> T:
        """Run ``work(connection)`` on what is committed, and give what it returned.

        Raises what it raises, `UsageError` after 5 s, `StorageError` when the file cannot be read.
        """
        if not self.works.taking:
            raise self.works.closed()
        return await self._aside(lambda: self._read(work))

    async def _aside(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

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


def _make_tables(writer: sqlite3.Connection) -> None:
    writer.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    schema.prepare(writer, "agent", schema.VERSION, schema.STATEMENTS)
