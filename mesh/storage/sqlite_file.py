"""Opening an SQLite file of ours: made when missing, refused when damaged, foreign, newer or in use.

The journal is a write-ahead log with synchronous NORMAL: what was committed survives the death of the process, a power
failure costs the last commits at most and never damages the file. With `power_safe` each commit waits for the disk.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh.errors import StorageError

LOCK_WAIT_S: Final = 0.5
MAX_CHECKED_BYTES: Final = 256 * 1024 * 1024
"""Larger files are not read through at start; damage shows when it is read."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """What a file is for. `noun` (plural) and `without` complete messages: "the peers are damaged ... start without known
    peers". `application` is the id in the file's header, `version` that of `schema`, which makes the tables."""

    path: Path
    noun: str
    without: str
    application: int
    version: int
    schema: str

    def open(self, exclusive: bool, power_safe: bool = False) -> sqlite3.Connection:
        """The writing connection, owned by the calling thread; `exclusive` shuts out every other one.

        Raises StorageError.
        """
        path = self.path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            cause = error.strerror or str(error)
            raise StorageError(
                f"{path}: cannot open the {self.noun}: {cause}; check the folder's owner and mode"
            ) from None
        database = None
        try:
            database = sqlite3.connect(path, timeout=LOCK_WAIT_S)
            if exclusive:
                database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._check(database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA synchronous = {'FULL' if power_safe else 'NORMAL'}")
            with database:
                database.execute("BEGIN IMMEDIATE")
                if not database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                    database.execute(self.schema)
                    database.execute(f"PRAGMA application_id = {self.application}")
                    database.execute(f"PRAGMA user_version = {self.version}")
        except (sqlite3.Error, StorageError) as error:
            if database is not None:
                database.close()
            raise error if isinstance(error, StorageError) else self.opened_badly(error) from None
        return database

    def reader(self) -> sqlite3.Connection:
        """A connection that only reads, beside the writing one, for one thread whichever that is. Raises StorageError."""
        try:
            database = sqlite3.connect(
                self.path, timeout=LOCK_WAIT_S, check_same_thread=False, isolation_level=None
            )
            database.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise self.opened_badly(error) from None
        return database

    def hold(self) -> sqlite3.Connection:
        """Keep other processes from opening the same file, until the connection that is returned is closed.

        SQLite's own lock would shut out our reader as well, so it is taken on an empty file beside it, `<name>.lock`. The
        system frees it when the process dies. Raises StorageError when another process has it.
        """
        path = self.path.with_name(self.path.name + ".lock")
        lock = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = sqlite3.connect(path, timeout=LOCK_WAIT_S, check_same_thread=False, isolation_level=None)
            lock.execute("PRAGMA journal_mode = MEMORY")
            lock.execute("BEGIN EXCLUSIVE")
        except (sqlite3.Error, OSError) as error:
            if lock is not None:
                lock.close()
            raise self.opened_badly(error) from None
        return lock

    def opened_badly(self, error: Exception) -> StorageError:
        """The error for a file that cannot be opened: in use, or damaged."""
        if "locked" in str(error):
            return StorageError(
                f"{self.path}: another program has the {self.noun} open; stop it, or use another folder"
            )
        return self.damaged(str(error))

    def damaged(self, cause: str) -> StorageError:
        """The error for contents that are not what they should be."""
        remedy = f"restore it from a backup, or move it away to start without {self.without}"
        return StorageError(f"{self.path}: the {self.noun} are damaged: {cause}; {remedy}")

    def unwritable(self, cause: sqlite3.Error) -> StorageError:
        """The error for a commit that failed."""
        return StorageError(
            f"{self.path}: {self.noun} cannot be written: {cause}; check the disk's free space"
        )

    def _check(self, database: sqlite3.Connection) -> None:
        """Whether the file is whole and ours."""
        size = 0
        with contextlib.suppress(OSError):
            size = self.path.stat().st_size
        if size <= MAX_CHECKED_BYTES:
            report = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if report != "ok":
                raise self.damaged(str(report).replace("\n", " "))
        application = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
        tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application != self.application and tables:
            raise StorageError(
                f"{self.path}: not a table of {self.noun} but another database; choose another path"
            )
        if version > self.version:
            raise StorageError(f"{self.path}: written by a newer mesh (format {version}); update this one")
