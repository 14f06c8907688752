"""The tables of delivery in ``agent.db``."""

from __future__ import annotations

from typing import Final

PART: Final = "delivery"
VERSION: Final = 1

STATEMENTS: Final = (
    """
    CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        peer_id TEXT NOT NULL,
        message_id TEXT NOT NULL,
        log_row INTEGER,
        body BLOB NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL,
        address TEXT NOT NULL,
        answers TEXT NOT NULL,
        queued_ms INTEGER NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        leased_until INTEGER NOT NULL DEFAULT 0,
        ended_ms INTEGER NOT NULL DEFAULT 0,
        UNIQUE (peer_id, message_id)
    )
    """,
    "CREATE INDEX outbox_waiting ON outbox (peer_id, number) WHERE state = 'queued'",
    "CREATE INDEX outbox_by_message ON outbox (message_id)",
    "CREATE INDEX outbox_ended ON outbox (ended_ms) WHERE ended_ms > 0",
    """
    CREATE TABLE inbox (
        number INTEGER PRIMARY KEY,
        peer_id TEXT NOT NULL,
        message_id TEXT NOT NULL,
        log_row INTEGER,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL,
        proven INTEGER NOT NULL,
        stored_ms INTEGER NOT NULL,
        state TEXT NOT NULL,
        repeats INTEGER NOT NULL DEFAULT 0,
        resumptions INTEGER NOT NULL DEFAULT 0,
        UNIQUE (peer_id, message_id)
    )
    """,
    "CREATE INDEX inbox_by_message ON inbox (message_id)",
    "CREATE INDEX inbox_by_time ON inbox (stored_ms)",
    """
    CREATE TABLE partial (
        peer_id TEXT PRIMARY KEY,
        message_id TEXT NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL,
        have INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL
    )
    """,
    "CREATE TABLE pieces (peer_id TEXT NOT NULL, place INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE UNIQUE INDEX pieces_in_order ON pieces (peer_id, place)",
    """
    CREATE TABLE proofs (
        number INTEGER PRIMARY KEY,
        peer_id TEXT NOT NULL,
        message_id TEXT NOT NULL,
        state INTEGER NOT NULL,
        envelope BLOB NOT NULL,
        made_ms INTEGER NOT NULL,
        known_ms INTEGER NOT NULL DEFAULT 0,
        UNIQUE (peer_id, message_id, state)
    )
    """,
    "CREATE INDEX proofs_to_tell ON proofs (peer_id, number) WHERE known_ms = 0",
    """
    CREATE TABLE receipts (
        peer_id TEXT NOT NULL,
        message_id TEXT NOT NULL,
        state INTEGER NOT NULL,
        envelope BLOB NOT NULL,
        came_ms INTEGER NOT NULL,
        PRIMARY KEY (peer_id, message_id, state)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE steps (
        number INTEGER PRIMARY KEY,
        peer_id TEXT NOT NULL,
        message_id TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        what TEXT NOT NULL,
        detail TEXT NOT NULL
    )
    """,
    "CREATE INDEX steps_by_message ON steps (peer_id, message_id, number)",
)
