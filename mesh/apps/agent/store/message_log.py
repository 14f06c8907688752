"""The message log: one row a message, its state and read mark, conversations, figures (section 6.2).

Functions of a connection, within a transaction of the store's; none of them commits.
"""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mesh.apps.agent.records import Conversation, DeliveryState, Direction, MessageRecord
from mesh.apps.agent.store.address_book import SHOWN_NAME

COLUMNS: Final = (
    "id, peer_id, direction, content, message_type, timestamp, peer_name, session_id, metadata, message_id, sent_at, "
    "state, read"
)
DAY_MS: Final = 86_400_000
SHOWN_PEERS: Final = 10
SHOWN_DAYS: Final = 30
SHOWN_CHARACTERS: Final = 16 * 1024
"""Of the last message in a list of conversations."""
_NAME: Final = f"(SELECT {SHOWN_NAME} FROM peers WHERE peers.peer_id = {{}})"
_ADD: Final = f"""
    INSERT INTO messages ({COLUMNS})
    VALUES (?, ?, ?, ?, ?, ?, coalesce(?, {_NAME.format("?")}), ?, ?, ?, ?, ?, ?) RETURNING id, peer_name
"""
_LAST: Final = f"""
    SELECT peer_id, coalesce({_NAME.format("conversations.peer_id")}, peer_name),
        substr(content, 1, {SHOWN_CHARACTERS}), last_timestamp, inbound + outbound, unread
    FROM conversations JOIN messages USING (peer_id)
    WHERE messages.id = last_id ORDER BY last_timestamp DESC, last_id DESC LIMIT ? OFFSET ?
"""


@dataclass(frozen=True, slots=True)
class LogFigures:
    """`/messages/stats` of section 2.1: the 10 busiest peers, the last 30 days with messages (UTC)."""

    inbound: int
    outbound: int
    unread: int
    unique_peers: int
    by_peer: tuple[tuple[str, str | None, int], ...]
    by_day: tuple[tuple[str, int], ...]

    def document(self) -> dict[str, Any]:
        return {
            "totalMessages": self.inbound + self.outbound,
            "totalInbound": self.inbound,
            "totalOutbound": self.outbound,
            "uniquePeers": self.unique_peers,
            "messagesByPeer": [
                {"peerId": peer, "peerName": name, "count": count} for peer, name, count in self.by_peer
            ],
            "messagesByDay": [{"date": date, "count": count} for date, count in self.by_day],
            "totalUnread": self.unread,
        }


def record_of(row: Sequence[Any]) -> MessageRecord:
    """The record of a row of `COLUMNS`."""
    return MessageRecord(
        id=row[0],
        peer_id=row[1],
        direction=Direction(row[2]),
        content=row[3],
        message_type=row[4],
        timestamp=row[5],
        peer_name=row[6],
        session_id=row[7],
        metadata=row[8],
        message_id=row[9],
        sent_at=row[10],
        state=DeliveryState(row[11]),
        read=bool(row[12]),
    )


def add(database: sqlite3.Connection, record: MessageRecord) -> MessageRecord:
    """A new row; gives the record as stored. Its ``id`` of 0 means the next one, no ``peer_name`` that of the address
    book."""
    row = (
        record.id or None,
        record.peer_id,
        record.direction,
        record.content,
        record.message_type,
        record.timestamp,
        record.peer_name,
        record.peer_id,
        record.session_id,
        record.metadata,
        record.message_id,
        record.sent_at,
        record.state,
        record.read,
    )
    number, name = database.execute(_ADD, row).fetchone()
    return replace(record, id=number, peer_name=name)


def get(database: sqlite3.Connection, row: int) -> MessageRecord | None:
    """The message in a row."""
    found = database.execute(f"SELECT {COLUMNS} FROM messages WHERE id = ?", (row,)).fetchone()
    return None if found is None else record_of(found)


def named(database: sqlite3.Connection, message_id: str) -> list[MessageRecord]:
    """The messages with that id in their envelope: one, unless peers chose the same."""
    query = f"SELECT {COLUMNS} FROM messages WHERE message_id = ? AND message_id != '' ORDER BY id LIMIT 64"
    return [record_of(row) for row in database.execute(query, (message_id,))]


def set_state(database: sqlite3.Connection, row: int, state: DeliveryState) -> None:
    """How far the message of a row has come."""
    database.execute("UPDATE messages SET state = ? WHERE id = ?", (state, row))


def set_metadata(database: sqlite3.Connection, row: int, metadata: str | None) -> None:
    """What else is kept with the message of a row."""
    database.execute("UPDATE messages SET metadata = ? WHERE id = ?", (metadata, row))


def mark_read(
    database: sqlite3.Connection, peer_id: str, up_to: int | None = None, *, read: bool = True
) -> int:
    """Mark a peer's messages read (or unread), all or those up to a row; gives how many changed."""
    where = "peer_id = ? AND direction = 'inbound' AND read = ?"
    query = f"UPDATE messages SET read = ? WHERE {where}" + ("" if up_to is None else " AND id <= ?")
    bounds = () if up_to is None else (up_to,)
    return database.execute(query, (read, peer_id, not read, *bounds)).rowcount


def last(database: sqlite3.Connection, peer_id: str, count: int) -> list[MessageRecord]:
    """The newest messages with a peer, oldest of them first."""
    query = f"""
        SELECT {COLUMNS} FROM messages WHERE peer_id = ? ORDER BY timestamp DESC, id DESC LIMIT ?
    """
    return [record_of(row) for row in database.execute(query, (peer_id, count))][::-1]


def conversations(database: sqlite3.Connection, limit: int = 500, offset: int = 0) -> list[Conversation]:
    """Peers with messages, those with the newest first; of long messages the beginning."""
    return [Conversation(*row) for row in database.execute(_LAST, (limit, offset))]


def peer_name(database: sqlite3.Connection, peer_id: str) -> str | None:
    """What a peer is called: the name in the address book, else the one that its last message was logged with."""
    query = f"""
        SELECT coalesce({_NAME.format("?")}, (
            SELECT peer_name FROM messages WHERE peer_id = ? ORDER BY timestamp DESC, id DESC LIMIT 1
        ))
    """
    name: str | None = database.execute(query, (peer_id, peer_id)).fetchone()[0]
    return name


def figures(database: sqlite3.Connection) -> LogFigures:
    """Totals, busiest peers, days."""
    inbound, outbound, unread, peers = database.execute(
        "SELECT coalesce(sum(inbound), 0), coalesce(sum(outbound), 0), coalesce(sum(unread), 0), count(*) "
        "FROM conversations"
    ).fetchone()
    busiest = database.execute(
        f"SELECT peer_id, {_NAME.format('conversations.peer_id')}, inbound + outbound AS count FROM conversations "
        f"ORDER BY count DESC, peer_id LIMIT {SHOWN_PEERS}"
    ).fetchall()
    days = database.execute(f"SELECT day, count FROM days ORDER BY day DESC LIMIT {SHOWN_DAYS}").fetchall()
    return LogFigures(
        inbound, outbound, unread, peers, tuple(busiest), tuple((_date(day), n) for day, n in days)
    )


def _date(day: int) -> str:
    """`YYYY-MM-DD` of a day since 1970; days that no calendar has are their number."""
    try:
        return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()
    except OverflowError:
        return str(day)
