"""What happened to a message besides its states: attempts that failed, refusals, repeats."""

from __future__ import annotations

import sqlite3
from typing import Final

from mesh.apps.agent.way import Step

MAX_STEPS: Final = 50
"""Of one message; the oldest but the first go."""
MAX_CHARACTERS: Final = 500


def add(
    database: sqlite3.Connection, peer_id: str, message_id: str, at_ms: int, what: str, detail: str = ""
) -> None:
    """Write down one thing."""
    database.execute(
        "INSERT INTO steps (peer_id, message_id, at_ms, what, detail) VALUES (?, ?, ?, ?, ?)",
        (peer_id, message_id, at_ms, what, detail[:MAX_CHARACTERS]),
    )
    whose = "peer_id = ? AND message_id = ?"
    database.execute(
        f"DELETE FROM steps WHERE number IN (SELECT number FROM steps WHERE {whose} ORDER BY number DESC "
        f"LIMIT -1 OFFSET {MAX_STEPS})",
        (peer_id, message_id),
    )


def of(database: sqlite3.Connection, peer_id: str, message_id: str) -> list[Step]:
    """What was written down, oldest first."""
    rows = database.execute(
        "SELECT at_ms, what, detail FROM steps WHERE peer_id = ? AND message_id = ? ORDER BY number",
        (peer_id, message_id),
    )
    return [Step(*row) for row in rows]
