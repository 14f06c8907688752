"""The table of peers in SQLite, behind one thread that owns the file.

Reading happens once, at start. Writing is put off for up to 50 ms, so that many changes share one commit; changes of one
peer that wait are one row. The journal is a write-ahead log: what was committed survives the death of the process, and a
power failure costs the last commits at most. One process has the file at a time.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from mesh.errors import DecodeError, StorageError
from mesh.identity.peer_id import PeerId
from mesh.storage.sqlite_file import SqliteFile

log = logging.getLogger(__name__)

COMMIT_DELAY_S: Final = 0.05
RETRY_S: Final = 5.0
ROWS_AT_ONCE: Final = 64
PAUSE_S: Final = 0.0005
"""Between so many rows: Python's threads take turns of 5 ms otherwise, which the loop would feel."""
MAX_WAITING_TABLES: Final = 4
"""Changes that may wait, in multiples of the rows the table may have."""
_APPLICATION: Final = int.from_bytes(b"mshp", "big")
_VERSION: Final = 1
_SCHEMA: Final = """
    CREATE TABLE peers (
        peer BLOB PRIMARY KEY, touched REAL NOT NULL, last_seen REAL NOT NULL, agent TEXT NOT NULL, key BLOB NOT NULL,
        protocols TEXT NOT NULL, addresses BLOB NOT NULL, seq BLOB NOT NULL, envelope BLOB NOT NULL
    ) WITHOUT ROWID
"""

Row = tuple[bytes, float, float, str, bytes, str, bytes, bytes, bytes]
"""peer, touched and last seen (Unix seconds), agent, key protobuf, protocols, addresses, seq, envelope"""
Rows = dict[PeerId, Row]


class Encodable(Protocol):
    """What becomes a row. `row` runs in the table's thread, whatever happens to the object meanwhile."""

    def row(self) -> Row: ...


class PeerTable:
    """Loads all rows and takes changes. ``written`` counts rows, ``commits`` transactions, ``failures`` those that were
    tried and will be tried again."""

    def __init__(self, path: Path, max_rows: int) -> None:
        self._file = SqliteFile(path, "peers", "known peers", _APPLICATION, _VERSION, _SCHEMA)
        self._max_rows = max_rows
        self._changed = threading.Condition(threading.Lock())
        self._pending: dict[PeerId, Encodable | None] = {}
        self._flushes: list[Future[None]] = []
        self._closing = False
        self._thread: threading.Thread | None = None
        self.written = self.commits = self.failures = 0

    def start(self, loaded: Callable[[Rows], None]) -> Future[None]:
        """Open the file (making it when there is none) and read every row, least recently touched first.

        ``loaded`` is called in the table's thread, then the future resolves; it fails with `StorageError`.
        """
        started = _uncancellable()
        self._thread = threading.Thread(
            target=self._run, args=(started, loaded), name="peerstore", daemon=True
        )
        self._thread.start()
        return started

    def put(self, peer: PeerId, record: Encodable | None) -> None:
        """Write a record, or delete the row for None, with the next commit. Never waits for the disk.

        While the disk stands still deletions are dropped in the end; `start` deletes rows beyond the bound.
        """
        with self._changed:
            if record is None and len(self._pending) >= MAX_WAITING_TABLES * self._max_rows:
                self._pending.pop(peer, None)
            elif not self._closing:
                self._pending[peer] = record
                if len(self._pending) == 1:
                    self._changed.notify()

    def flush(self) -> Future[None]:
        """Resolves once everything put so far is committed; fails with `StorageError`."""
        done = _uncancellable()
        with self._changed:
            if self._closing or self._thread is None:
                done.set_result(None)
            else:
                self._flushes.append(done)
                self._changed.notify()
        return done

    def stop(self) -> Future[None]:
        """Commit what waits and close the file; nothing is taken after it. Fails with `StorageError`."""
        done = self.flush()
        with self._changed:
            self._closing = True
            self._changed.notify()
        return done

    def join(self) -> None:
        """Wait for the thread's end after `stop`."""
        if self._thread is not None:
            self._thread.join()

    # -- the thread --------------------------------------------------------------------------------------------------

    def _run(self, started: Future[None], loaded: Callable[[Rows], None]) -> None:
        try:
            database = self._file.open(exclusive=True)
        except StorageError as error:
            started.set_exception(error)
            self._end(error)
            return
        with contextlib.closing(database):
            try:
                rows = self._load(database)
            except StorageError as error:
                started.set_exception(error)
                self._end(error)
                return
            loaded(rows)
            started.set_result(None)
            self._serve(database)

    def _serve(self, database: sqlite3.Connection) -> None:
        closing = False
        while not closing:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._flushes or self._closing)
                self._changed.wait_for(lambda: self._flushes or self._closing, COMMIT_DELAY_S)
                batch, self._pending = self._pending, {}
                flushes, self._flushes = self._flushes, []
                closing = self._closing
            try:
                self._write(database, batch)
            except sqlite3.Error as cause:
                self._failed(batch, flushes, cause, closing)
            else:
                for flush in flushes:
                    flush.set_result(None)

    def _write(self, database: sqlite3.Connection, batch: dict[PeerId, Encodable | None]) -> None:
        if not batch:
            return
        gone = [(peer.to_bytes(),) for peer, record in batch.items() if record is None]
        with database:
            database.executemany("DELETE FROM peers WHERE peer = ?", gone)
            rows = (record.row() for record in batch.values() if record is not None)
            while some := list(islice(rows, ROWS_AT_ONCE)):
                database.executemany("INSERT OR REPLACE INTO peers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", some)
                if len(some) == ROWS_AT_ONCE and not self._closing:
                    time.sleep(PAUSE_S)
        self.written += len(batch)
        self.commits += 1

    def _failed(
        self,
        batch: dict[PeerId, Encodable | None],
        flushes: list[Future[None]],
        cause: sqlite3.Error,
        closing: bool,
    ) -> None:
        self.failures += 1
        error = self._file.unwritable(cause)
        log.warning("%s", error)
        for flush in flushes:
            flush.set_exception(error)
        with self._changed:
            self._pending = batch | self._pending
            if not closing:
                self._changed.wait_for(lambda: self._flushes or self._closing, RETRY_S)

    def _end(self, error: StorageError) -> None:
        with self._changed:
            self._closing = True
            flushes, self._flushes = self._flushes, []
            self._pending.clear()
        for flush in flushes:
            flush.set_exception(error)

    def _load(self, database: sqlite3.Connection) -> Rows:
        newest = "SELECT peer FROM peers ORDER BY touched DESC LIMIT ?"
        query = "SELECT * FROM peers ORDER BY touched"
        try:
            with database:
                database.execute(f"DELETE FROM peers WHERE peer NOT IN ({newest})", (self._max_rows,))
            rows: Rows = {}
            cursor = database.execute(query)
            while some := cursor.fetchmany(ROWS_AT_ONCE):
                rows |= {PeerId(row[0]): row for row in some}
                time.sleep(PAUSE_S)
            return rows
        except (sqlite3.Error, DecodeError, TypeError) as error:
            raise self._file.damaged(str(error)) from None


def _uncancellable() -> Future[None]:
    """A future that nobody's impatience cancels: the thread has to be able to set it, or it would end."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future
