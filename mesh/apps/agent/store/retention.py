"""What is forgotten: messages beyond an age or a number, as the settings say; none by default."""

from __future__ import annotations

import sqlite3
from typing import Final

from mesh.apps.agent.store.message_log import DAY_MS

ROWS_AT_ONCE: Final = 500
"""In one transaction; others have their turn between two of them."""
_KEPT: Final = "state NOT IN ('queued', 'dead')"
"""Messages that are still on their way, or wait to be tried again, are not forgotten."""


def forget(database: sqlite3.Connection, now: int, days: int, messages: int) -> int:
    """Forget some of the messages that are older than ``days``, or of those beyond the newest ``messages``; 0 sets no
    bound. Gives how many went; call again while it is not 0."""
    gone = 0
    if days:
        gone += _delete(database, "timestamp < ?", now - days * DAY_MS, ROWS_AT_ONCE)
    if messages:
        surplus = database.execute(
            "SELECT coalesce(sum(inbound + outbound), 0) FROM conversations"
        ).fetchone()[0]
        surplus = min(surplus - messages, ROWS_AT_ONCE - gone)
        if surplus > 0:
            gone += _delete(database, "timestamp <= ?", now + DAY_MS, surplus)
    return gone


def _delete(database: sqlite3.Connection, condition: str, bound: int, limit: int) -> int:
    oldest = f"SELECT id FROM messages WHERE {condition} AND {_KEPT} ORDER BY timestamp, id LIMIT ?"
    return database.execute(f"DELETE FROM messages WHERE id IN ({oldest})", (bound, limit)).rowcount
