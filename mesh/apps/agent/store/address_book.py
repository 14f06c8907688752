"""The address book: who was met, under which name, with what notes and tags, how often (section 6.1).

A name that was given here is never overwritten by what a peer calls itself; a peer that did neither has the first eight
characters of its id, as stock daemons show it. Functions of a connection, within a transaction of the store's.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from mesh.apps.agent.records import (
    MAX_ADDRESSES,
    MAX_NAME_CHARACTERS,
    MAX_SERVICES,
    Direction,
    NodeStatus,
    TrackedPeer,
)

SHORT_NAME_CHARACTERS: Final = 8
SHOWN_NAME: Final = f"""
    iif(name != '', name, iif(shown_name != '', shown_name, substr(peers.peer_id, 1, {SHORT_NAME_CHARACTERS}) || '...'))
"""
"""What a row's peer is called: as given here, as it calls itself, else by its id."""
MAX_COUNT: Final = 2**53 - 1
"""What JavaScript's numbers hold; counts and sums stay there."""
_COLUMNS: Final = (
    "peer_id, name, shown_name, first_seen, last_seen, last_connected, last_disconnected, is_online, messages_sent, "
    "messages_received, payments_sent, payments_received, total_sats_sent, total_sats_received, services, multiaddrs, "
    "notes, tags"
)
_SEEN: Final = "max(last_seen, last_connected, last_disconnected, first_seen)"
_STRANGER: Final = "NOT is_online AND name = '' AND notes = '' AND tags = '[]'"


def peer_of(row: Sequence[Any]) -> TrackedPeer:
    """The record of a row of the columns above."""
    return TrackedPeer(
        peer_id=row[0],
        name=row[1] or row[2] or row[0][:SHORT_NAME_CHARACTERS] + "...",
        first_seen=row[3],
        last_seen=row[4],
        last_connected=row[5],
        last_disconnected=row[6],
        is_online=bool(row[7]),
        messages_sent=row[8],
        messages_received=row[9],
        payments_sent=row[10],
        payments_received=row[11],
        total_sats_sent=row[12],
        total_sats_received=row[13],
        services=tuple(json.loads(row[14])),
        multiaddrs=tuple(json.loads(row[15])),
        notes=row[16],
        tags=tuple(json.loads(row[17])),
    )


def get(database: sqlite3.Connection, peer_id: str) -> TrackedPeer | None:
    """A peer of the book."""
    row = database.execute(f"SELECT {_COLUMNS} FROM peers WHERE peer_id = ?", (peer_id,)).fetchone()
    return None if row is None else peer_of(row)


def peers(
    database: sqlite3.Connection,
    *,
    text: str = "",
    tag: str = "",
    online: bool = False,
    limit: int = 10_000,
    offset: int = 0,
) -> list[TrackedPeer]:
    """Peers in the order in which they were met: all, or those with a text in name, id, notes or tags (any case), with a
    tag, with a connection."""
    conditions, values = ["true"], []
    if text:
        some = (
            "name || char(10) || shown_name || char(10) || peer_id || char(10) || notes || char(10) || tags"
        )
        conditions.append(f"instr(lower({some}), lower(?))")
        values.append(text)
    if tag:
        conditions.append("? IN (SELECT value FROM json_each(tags))")
        values.append(tag)
    if online:
        conditions.append("is_online")
    query = f"""
        SELECT {_COLUMNS} FROM peers WHERE {" AND ".join(conditions)} ORDER BY first_seen, peer_id LIMIT ? OFFSET ?
    """
    return [peer_of(row) for row in database.execute(query, (*values, limit, offset))]


def count(database: sqlite3.Connection) -> int:
    """How many peers there are."""
    number: int = database.execute("SELECT count(*) FROM peers").fetchone()[0]
    return number


def met(database: sqlite3.Connection, peer_id: str, now: int) -> None:
    """Enter a peer that is not in the book."""
    database.execute(
        "INSERT INTO peers (peer_id, first_seen, last_seen) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (peer_id, now, now),
    )


def set_name(database: sqlite3.Connection, peer_id: str, name: str, now: int) -> TrackedPeer:
    """Call a peer by a name; enters it when needed."""
    return _set(database, peer_id, "name", name, now)


def set_notes(database: sqlite3.Connection, peer_id: str, notes: str, now: int) -> TrackedPeer:
    """Keep notes with a peer; enters it when needed."""
    return _set(database, peer_id, "notes", notes, now)


def set_tags(database: sqlite3.Connection, peer_id: str, tags: Sequence[str], now: int) -> TrackedPeer:
    """Tag a peer; enters it when needed."""
    return _set(database, peer_id, "tags", _list(tags), now)


def remove(database: sqlite3.Connection, peer_id: str) -> bool:
    """Strike a peer out; its messages stay. Tells whether it was there."""
    return database.execute("DELETE FROM peers WHERE peer_id = ?", (peer_id,)).rowcount > 0


def connected(database: sqlite3.Connection, peer_id: str, now: int) -> TrackedPeer:
    """A connection to a peer was made."""
    return _changed(database, peer_id, now, "is_online = 1, last_connected = ?", now)


def disconnected(database: sqlite3.Connection, peer_id: str, now: int) -> TrackedPeer:
    """The last connection to a peer ended."""
    return _changed(database, peer_id, now, "is_online = 0, last_disconnected = ?", now)


def all_offline(database: sqlite3.Connection) -> None:
    """Nobody is connected: what is so when a daemon starts."""
    database.execute("UPDATE peers SET is_online = 0 WHERE is_online")


def exchanged(
    database: sqlite3.Connection, peer_id: str, direction: Direction, now: int, sats: int | None = None
) -> TrackedPeer:
    """A message went to a peer or came from it; with ``sats`` it told of a payment."""
    way = "received" if direction is Direction.INBOUND else "sent"
    changes = [f"messages_{way} = min(messages_{way} + 1, {MAX_COUNT})"]
    values = []
    if sats is not None:
        changes.append(f"payments_{way} = min(payments_{way} + 1, {MAX_COUNT})")
        changes.append(f"total_sats_{way} = min(total_sats_{way} + ?, {MAX_COUNT})")
        values.append(min(sats, MAX_COUNT))
    if direction is Direction.INBOUND:
        changes.append("last_seen = ?")
        values.append(now)
    return _changed(database, peer_id, now, ", ".join(changes), *values)


def announced(
    database: sqlite3.Connection, peer_id: str, services: Sequence[str], multiaddrs: Sequence[str], now: int
) -> TrackedPeer:
    """A peer announced itself; empty lists change nothing."""
    return _changed(
        database,
        peer_id,
        now,
        "services = coalesce(?, services), multiaddrs = coalesce(?, multiaddrs)",
        _list(services[:MAX_SERVICES]) if services else None,
        _list(multiaddrs[:MAX_ADDRESSES]) if multiaddrs else None,
    )


def told_status(database: sqlite3.Connection, status: NodeStatus, now: int) -> TrackedPeer:
    """A peer told its status; its name is shown where none was given here."""
    short = status.peer_id[:SHORT_NAME_CHARACTERS]
    return _changed(
        database,
        status.peer_id,
        now,
        "shown_name = coalesce(?, shown_name), services = ?, multiaddrs = ?",
        status.name[:MAX_NAME_CHARACTERS] if status.name != short else None,
        _list(status.services[:MAX_SERVICES]),
        _list(status.multiaddrs[:MAX_ADDRESSES]),
    )


def forget_strangers(database: sqlite3.Connection, max_peers: int) -> int:
    """Strike out those not seen for longest, until there are so many; never one that has a name, notes or tags from
    here, or a connection. Gives how many went."""
    surplus = count(database) - max_peers
    if surplus <= 0:
        return 0
    oldest = f"SELECT peer_id FROM peers WHERE {_STRANGER} ORDER BY {_SEEN} LIMIT ?"
    return database.execute(f"DELETE FROM peers WHERE peer_id IN ({oldest})", (surplus,)).rowcount


def restore(database: sqlite3.Connection, peer: TrackedPeer, given_name: str) -> bool:
    """Enter a peer with all that is known of it, unless it is in the book; tells whether it was entered."""
    row = (
        peer.peer_id,
        given_name,
        "",
        peer.first_seen,
        peer.last_seen,
        peer.last_connected,
        peer.last_disconnected,
        False,
        peer.messages_sent,
        peer.messages_received,
        peer.payments_sent,
        peer.payments_received,
        peer.total_sats_sent,
        peer.total_sats_received,
        _list(peer.services),
        _list(peer.multiaddrs),
        peer.notes,
        _list(peer.tags),
    )
    marks = ", ".join("?" * len(row))
    query = f"INSERT INTO peers ({_COLUMNS}) VALUES ({marks}) ON CONFLICT DO NOTHING"
    return database.execute(query, row).rowcount > 0


def _set(database: sqlite3.Connection, peer_id: str, column: str, value: str, now: int) -> TrackedPeer:
    return _changed(database, peer_id, now, f"{column} = ?", value)


def _changed(
    database: sqlite3.Connection, peer_id: str, now: int, changes: str, *values: object
) -> TrackedPeer:
    """Change a row, entering it first when it is missing."""
    query = f"UPDATE peers SET {changes} WHERE peer_id = ? RETURNING {_COLUMNS}"
    row = database.execute(query, (*values, peer_id)).fetchone()
    if row is None:
        met(database, peer_id, now)
        row = database.execute(query, (*values, peer_id)).fetchone()
    return peer_of(row)


def _list(texts: Sequence[str]) -> str:
    return json.dumps(list(texts), ensure_ascii=False)
