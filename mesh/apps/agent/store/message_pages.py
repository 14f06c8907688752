"""Messages by peer, time, direction, type and words, a page at a time, newest first.

Words are a query of SQLite's FTS5 over content, peer name and peer id, as stock daemons take them. Matches come in the
order of rows, which is that of their times, so a page is found without looking at all of them; they are counted up to
10,000, since the words of every other message would take longer to count than to find. Peer, type and times narrow the
search itself, so that few matches are looked at in vain.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from mesh.apps.agent.records import Direction, MessageRecord
from mesh.apps.agent.store.message_log import COLUMNS, record_of
from mesh.errors import UsageError

MAX_LIMIT: Final = 500
MAX_SEARCH_CHARACTERS: Final = 1000
MAX_COUNTED: Final = 10_000
MAX_PAGE_CHARACTERS: Final = 16 * 1024 * 1024
"""Of contents; a page ends before the message that would pass it, and has one at least."""


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which messages. Empty texts and None ask for all; ``since`` and ``until`` are inclusive, in milliseconds."""

    peer: str = ""
    direction: Direction | None = None
    since: int | None = None
    until: int | None = None
    message_type: str = ""
    search: str = ""
    unread: bool = False
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Messages newest first; ``total`` fit the query, or more than that unless it is ``exact``."""

    messages: tuple[MessageRecord, ...]
    total: int
    exact: bool


def page(database: sqlite3.Connection, query: PageQuery) -> Page:
    """The messages that fit. Raises `UsageError` for words that are no query."""
    conditions, values = _conditions(query)
    source, order = "messages", "messages.timestamp DESC, messages.id DESC"
    if query.search:
        source = "message_words CROSS JOIN messages ON messages.id = message_words.rowid"
        order = "message_words.rowid DESC"
        conditions = [f"message_words MATCH '{_quoted(_words(query))}'", *_rows(database, query), *conditions]
    where = " AND ".join(conditions) or "true"
    columns = ", ".join(f"messages.{name}" for name in COLUMNS.split(", "))
    try:
        rows = database.execute(
            f"SELECT {columns} FROM {source} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
            (*values, min(query.limit, MAX_LIMIT), query.offset),
        )
        messages = _bounded(rows)
        total, exact = _count(database, query, source, where, values)
    except sqlite3.OperationalError as error:
        if query.search and error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
            raise UsageError(f"{query.search!r} is no search: {error}; put words in double quotes") from None
        raise
    return Page(messages, total, exact)


def _conditions(query: PageQuery) -> tuple[list[str], list[Any]]:
    pairs: list[tuple[str, Any]] = [
        ("messages.peer_id = ?", query.peer or None),
        ("messages.direction = ?", query.direction),
        ("messages.timestamp >= ?", query.since),
        ("messages.timestamp <= ?", query.until),
        ("messages.message_type = ?", query.message_type or None),
    ]
    conditions = [condition for condition, value in pairs if value is not None]
    if query.unread:
        conditions.append("messages.read = 0 AND messages.direction = 'inbound'")
    return conditions, [value for _, value in pairs if value is not None]


def _words(query: PageQuery) -> str:
    """The FTS5 query, with a peer's id and a type as parts of it."""
    if len(query.search) > MAX_SEARCH_CHARACTERS or "\0" in query.search:
        raise UsageError(f"a search has at most {MAX_SEARCH_CHARACTERS} characters, none of them NUL")
    parts = [f"{{content peer_name peer_id}} : ({query.search})"]
    for column, text in (("peer_id", query.peer), ("message_type", query.message_type)):
        if any(each.isalnum() for each in text) and "\0" not in text:
            inside = text.replace('"', '""')
            parts.append(f'{column} : "{inside}"')
    return " AND ".join(parts)


def _rows(database: sqlite3.Connection, query: PageQuery) -> list[str]:
    """The rows between which all messages of the query's times are."""
    bounds = [
        f"timestamp {relation} {value}"
        for relation, value in ((">=", query.since), ("<=", query.until))
        if value is not None
    ]
    if not bounds:
        return []
    least, greatest = database.execute(
        f"SELECT min(id), max(id) FROM messages WHERE {' AND '.join(bounds)}"
    ).fetchone()
    return ["false"] if least is None else [f"message_words.rowid BETWEEN {least} AND {greatest}"]


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _bounded(rows: sqlite3.Cursor) -> tuple[MessageRecord, ...]:
    messages: list[MessageRecord] = []
    room = MAX_PAGE_CHARACTERS
    for row in rows:
        record = record_of(row)
        room -= len(record.content)
        if room < 0 and messages:
            break
        messages.append(record)
    return tuple(messages)


def _count(
    database: sqlite3.Connection, query: PageQuery, source: str, where: str, values: list[Any]
) -> tuple[int, bool]:
    if not query.search:
        return _count_stored(database, query, where, values), True
    if not values and not query.unread:
        source = "message_words"
    counted = f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {where} LIMIT {MAX_COUNTED + 1})"
    total: int = database.execute(counted, values).fetchone()[0]
    return min(total, MAX_COUNTED), total <= MAX_COUNTED


def _count_stored(database: sqlite3.Connection, query: PageQuery, where: str, values: list[Any]) -> int:
    """From the counts of conversations where these tell."""
    narrow = query.since is not None or query.until is not None or query.message_type or query.unread
    if narrow:
        total: int = database.execute(f"SELECT count(*) FROM messages WHERE {where}", values).fetchone()[0]
        return total
    column = "inbound + outbound" if query.direction is None else query.direction.value
    sum_of = f"SELECT coalesce(sum({column}), 0) FROM conversations"
    found = database.execute(
        f"{sum_of} WHERE peer_id = ?" if query.peer else sum_of, (query.peer,) if query.peer else ()
    )
    return int(found.fetchone()[0])
