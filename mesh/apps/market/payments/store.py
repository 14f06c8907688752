"""``payments.db`` of the data folder: works of `sales` and `purchases`, and the tables they are about.

What `run` has answered survives `kill -9`; with ``on_disk`` it survives a power failure too, since the commit waits for
the disk.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mesh.apps.market.payments import purchases, sales
from mesh.storage.sqlite_file import SqliteFile
from mesh.storage.work_queue import T, Work, WorkQueue

FILE_NAME: Final = "payments.db"
_APPLICATION: Final = int.from_bytes(b"mshp", "big")
_VERSION: Final = 1
_FORMAT_TABLE: Final = "CREATE TABLE payments_format (version INTEGER NOT NULL) STRICT"


def make_tables(database: sqlite3.Connection) -> None:
    """The tables of an empty database, or of one that has them."""
    for statement in (*sales.STATEMENTS, *purchases.STATEMENTS):
        database.execute(statement)


class PaymentStore:
    """The open file, for the length of an `async with`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._queue = WorkQueue(
            SqliteFile(
                path, "payments", "any record of what was paid", _APPLICATION, _VERSION, _FORMAT_TABLE
            ),
            make_tables,
        )

    @property
    def commits(self) -> int:
        """Transactions so far."""
        return self._queue.commits

    async def __aenter__(self) -> Self:
        """See `WorkQueue.open`."""
        await self._queue.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._queue.close()

    async def run(self, work: Work[T], on_disk: bool = False) -> T:
        """See `WorkQueue.run`."""
        return await self._queue.run(work, on_disk)
