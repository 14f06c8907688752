"""What the log and the address book know for the text of a wake."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from mesh.apps.agent.records import MessageRecord, TrackedPeer
from mesh.apps.agent.store import address_book, message_log
from mesh.apps.agent.waking.queue import Batch
from mesh.apps.agent.waking.text import MAX_HISTORY


@dataclass(frozen=True, slots=True)
class Background:
    """``messages`` are the batch's that are still stored, ``recent`` the last ones with this peer, both oldest first;
    ``total`` counts all with this peer."""

    messages: Sequence[MessageRecord]
    peer: TrackedPeer | None
    recent: Sequence[MessageRecord]
    total: int


def background_of(database: sqlite3.Connection, batch: Batch) -> Background:
    """Read it, within one transaction."""
    found = [message_log.get(database, each.message) for each in batch.wakes]
    counted = database.execute(
        "SELECT inbound + outbound FROM conversations WHERE peer_id = ?", (batch.peer_id,)
    ).fetchone()
    return Background(
        [each for each in found if each is not None],
        address_book.get(database, batch.peer_id),
        message_log.last(database, batch.peer_id, MAX_HISTORY),
        counted[0] if counted else 0,
    )
