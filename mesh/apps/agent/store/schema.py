"""Tables of ``agent.db``. Counts of conversations and days are kept by triggers, so that they hold whoever writes.

The file has several parts with tables of their own (store, delivery, waking); each has a name and a version in the table
``parts``, and makes its tables with `prepare`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from mesh.errors import StorageError

VERSION: Final = 1
PARTS_TABLE: Final = "CREATE TABLE parts (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID"

_MESSAGES: Final = (
    """
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        peer_id TEXT NOT NULL,
        peer_name TEXT,
        direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
        content TEXT NOT NULL,
        message_type TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        session_id TEXT,
        metadata TEXT,
        message_id TEXT NOT NULL DEFAULT '',
        sent_at INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'stored',
        read INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX messages_by_time ON messages (timestamp)",
    "CREATE INDEX messages_by_peer ON messages (peer_id, timestamp)",
    "CREATE INDEX messages_by_type ON messages (message_type, timestamp)",
    "CREATE INDEX messages_by_message ON messages (message_id) WHERE message_id != ''",
    "CREATE INDEX messages_unread ON messages (peer_id, id) WHERE read = 0 AND direction = 'inbound'",
    """
    CREATE VIRTUAL TABLE message_words USING fts5 (
        content, peer_name, peer_id, message_type, content = 'messages', content_rowid = 'id', columnsize = 0
    )
    """,
)
_CONVERSATIONS: Final = (
    """
    CREATE TABLE conversations (
        peer_id TEXT PRIMARY KEY,
        inbound INTEGER NOT NULL DEFAULT 0,
        outbound INTEGER NOT NULL DEFAULT 0,
        unread INTEGER NOT NULL DEFAULT 0,
        last_timestamp INTEGER NOT NULL,
        last_id INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX conversations_by_time ON conversations (last_timestamp)",
    "CREATE TABLE days (day INTEGER PRIMARY KEY, count INTEGER NOT NULL)",
    """
    CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
        INSERT INTO message_words (rowid, content, peer_name, peer_id, message_type)
            VALUES (new.id, new.content, new.peer_name, new.peer_id, new.message_type);
        INSERT INTO conversations (peer_id, inbound, outbound, unread, last_timestamp, last_id)
            VALUES (
                new.peer_id, new.direction = 'inbound', new.direction = 'outbound',
                new.direction = 'inbound' AND new.read = 0, new.timestamp, new.id
            )
            ON CONFLICT (peer_id) DO UPDATE SET
                inbound = inbound + excluded.inbound,
                outbound = outbound + excluded.outbound,
                unread = unread + excluded.unread,
                last_id = iif(excluded.last_id > last_id, excluded.last_id, last_id),
                last_timestamp = iif(excluded.last_id > last_id, excluded.last_timestamp, last_timestamp);
        INSERT INTO days (day, count) VALUES (new.timestamp / 86400000, 1)
            ON CONFLICT (day) DO UPDATE SET count = count + 1;
    END
    """,
    """
    CREATE TRIGGER message_removed AFTER DELETE ON messages BEGIN
        INSERT INTO message_words (message_words, rowid, content, peer_name, peer_id, message_type)
            VALUES ('delete', old.id, old.content, old.peer_name, old.peer_id, old.message_type);
        UPDATE conversations SET
            inbound = inbound - (old.direction = 'inbound'),
            outbound = outbound - (old.direction = 'outbound'),
            unread = unread - (old.direction = 'inbound' AND old.read = 0)
            WHERE peer_id = old.peer_id;
        UPDATE conversations SET (last_id, last_timestamp) = (
                SELECT id, timestamp FROM messages WHERE peer_id = old.peer_id ORDER BY timestamp DESC, id DESC LIMIT 1
            ) WHERE peer_id = old.peer_id AND last_id = old.id AND inbound + outbound > 0;
        DELETE FROM conversations WHERE peer_id = old.peer_id AND inbound + outbound = 0;
        UPDATE days SET count = count - 1 WHERE day = old.timestamp / 86400000;
        DELETE FROM days WHERE day = old.timestamp / 86400000 AND count = 0;
    END
    """,
    """
    CREATE TRIGGER message_read AFTER UPDATE OF read ON messages
        WHEN new.direction = 'inbound' AND new.read != old.read BEGIN
        UPDATE conversations SET unread = unread + (old.read - new.read) WHERE peer_id = new.peer_id;
    END
    """,
)
_BOOK: Final = (
    """
    CREATE TABLE peers (
        peer_id TEXT PRIMARY KEY,
        name TEXT NOT NULL DEFAULT '',
        shown_name TEXT NOT NULL DEFAULT '',
        first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL DEFAULT 0,
        last_connected INTEGER NOT NULL DEFAULT 0,
        last_disconnected INTEGER NOT NULL DEFAULT 0,
        is_online INTEGER NOT NULL DEFAULT 0,
        messages_sent INTEGER NOT NULL DEFAULT 0,
        messages_received INTEGER NOT NULL DEFAULT 0,
        payments_sent INTEGER NOT NULL DEFAULT 0,
        payments_received INTEGER NOT NULL DEFAULT 0,
        total_sats_sent INTEGER NOT NULL DEFAULT 0,
        total_sats_received INTEGER NOT NULL DEFAULT 0,
        services TEXT NOT NULL DEFAULT '[]',
        multiaddrs TEXT NOT NULL DEFAULT '[]',
        notes TEXT NOT NULL DEFAULT '',
        tags TEXT NOT NULL DEFAULT '[]'
    ) WITHOUT ROWID
    """,
    "CREATE INDEX peers_by_time ON peers (first_seen)",
    "CREATE INDEX peers_online ON peers (peer_id) WHERE is_online",
    """
    CREATE INDEX peers_to_forget ON peers (max(last_seen, last_connected, last_disconnected, first_seen))
        WHERE NOT is_online AND name = '' AND notes = '' AND tags = '[]'
    """,
)
_OWN: Final = (
    "CREATE TABLE services (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, document TEXT NOT NULL)",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)
STATEMENTS: Final = (*_MESSAGES, *_CONVERSATIONS, *_BOOK, *_OWN)


def prepare(database: sqlite3.Connection, part: str, version: int, statements: Sequence[str]) -> None:
    """Make the tables of a part where they are missing; within a transaction.

    Raises `StorageError` when a newer mesh wrote them.
    """
    found = database.execute("SELECT version FROM parts WHERE name = ?", (part,)).fetchone()
    if found is None:
        for statement in statements:
            database.execute(statement)
        database.execute("INSERT INTO parts VALUES (?, ?)", (part, version))
    elif found[0] > version:
        raise StorageError(
            f"the tables of {part} were written by a newer mesh (format {found[0]}); update this one"
        )
