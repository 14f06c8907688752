"""Messages that were seen: their ids in an SQLite file, so that a replay is refused by a node that was started anew.

The table is the node's, whichever connection a message came by. Ids are kept as 16 bytes of BLAKE2b, so their length does
not matter; a commit is on its way to the disk before the message has any effect.
"""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Final

from mesh.errors import StorageError
from mesh.storage.sqlite_file import SqliteFile

REMEMBERED_S: Final = 300.0
COMMANDS_REMEMBERED_S: Final = 30 * 86_400.0
"""Commands with an effect are remembered longer than Go does: the key of two nodes never changes, so a recorded command
would otherwise work again."""
CLEAN_EVERY_S: Final = 60.0
MAX_ENTRIES: Final = 1_000_000
_APPLICATION: Final = 0x4C54484E
_VERSION: Final = 1
_SCHEMA: Final = "CREATE TABLE seen (id BLOB PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID"
_NOTE: Final = (
    "INSERT INTO seen (id, until) VALUES (?, ?) "
    "ON CONFLICT (id) DO UPDATE SET until = excluded.until WHERE until <= ?"
)


class Duplicates:
    """The table of one node; ``path`` is its file, None keeps it in memory. Times are Unix seconds."""

    def __init__(self, path: Path | None, limit: int = MAX_ENTRIES) -> None:
        """Raises `StorageError`."""
        self._file = (
            None
            if path is None
            else SqliteFile(
                path,
                "messages seen before",
                "them, so that old ones could be replayed",
                _APPLICATION,
                _VERSION,
                _SCHEMA,
            )
        )
        self._limit = limit
        self._next_clean = 0.0
        if self._file is None:
            self._database = sqlite3.connect(":memory:")
            self._database.execute(_SCHEMA)
        else:
            self._database = self._file.open(exclusive=True)

    def is_new(self, message_id: str, now: float, remember_s: float = REMEMBERED_S) -> bool:
        """Note an id; False when it was noted before and is still remembered. Raises `StorageError`."""
        if now >= self._next_clean:
            self._clean(now)
        key = hashlib.blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        try:
            with self._database:
                return self._database.execute(_NOTE, (key, now + remember_s, now)).rowcount == 1
        except sqlite3.Error as error:
            raise self._unwritable(error) from None

    def __len__(self) -> int:
        count: int = self._database.execute("SELECT count(*) FROM seen").fetchone()[0]
        return count

    def close(self) -> None:
        self._database.close()

    def _clean(self, now: float) -> None:
        """Forget what is too old; of too many, those that would be forgotten first."""
        self._next_clean = now + CLEAN_EVERY_S
        try:
            with self._database:
                self._database.execute("DELETE FROM seen WHERE until <= ?", (now,))
                excess = len(self) - self._limit
                if excess > 0:
                    self._database.execute(
                        "DELETE FROM seen WHERE id IN (SELECT id FROM seen ORDER BY until LIMIT ?)", (excess,)
                    )
        except sqlite3.Error as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: sqlite3.Error) -> StorageError:
        return StorageError(str(error)) if self._file is None else self._file.unwritable(error)
