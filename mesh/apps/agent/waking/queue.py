"""The queue of wakes in the agent's database: rows, frozen batches with their keys, attempts, evidence.

Every function works inside a transaction of the store's one writing connection; instants are milliseconds since 1970.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.apps.agent.records import MessageRecord

VERSION: Final = 1
STATEMENTS: Final = (
    """CREATE TABLE wakes (
        message INTEGER PRIMARY KEY,
        peer_id TEXT NOT NULL,
        message_id TEXT NOT NULL,
        token TEXT NOT NULL,
        queued_at INTEGER NOT NULL,
        batch INTEGER
    ) STRICT""",
    "CREATE INDEX wakes_waiting ON wakes (peer_id, message) WHERE batch IS NULL",
    "CREATE INDEX wakes_by_id ON wakes (message_id)",
    "CREATE INDEX wakes_by_batch ON wakes (batch) WHERE batch IS NOT NULL",
    """CREATE TABLE wake_batches (
        id INTEGER PRIMARY KEY,
        peer_id TEXT NOT NULL,
        key TEXT NOT NULL UNIQUE,
        made_at INTEGER NOT NULL,
        calls INTEGER NOT NULL DEFAULT 0,
        next_at INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'done', 'dead')) DEFAULT 'open',
        ended_at INTEGER,
        evidence TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        text TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    "CREATE INDEX wake_batches_open ON wake_batches (next_at) WHERE state = 'open'",
    "CREATE INDEX wake_batches_made ON wake_batches (made_at, peer_id)",
    "CREATE INDEX wake_batches_ended ON wake_batches (ended_at) WHERE state <> 'open'",
)
"""The tables, for `schema.prepare`."""
WINDOW_MS: Final = 60_000
"""The budgets count the batches of this long."""
MAX_ERROR_CHARACTERS: Final = 300
_TOKEN_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Wake:
    """One message that a batch tells of. ``message`` is its row in the log; with ``token`` the agent confirms it."""

    message: int
    message_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one sender for one call, the oldest first. ``calls`` counts this call too; ``text`` is empty until
    `freeze_text`."""

    id: int
    peer_id: str
    key: str
    calls: int
    wakes: tuple[Wake, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """Batches that one sender, and all together, may cause a minute; ``messages`` is the most of one batch."""

    sender: int = 20
    total: int = 120
    messages: int = 20


@dataclass(frozen=True, slots=True)
class Invocation:
    """The agent was called and said yes: ``evidence`` is in words (`hook agent 200`, `command 0`)."""

    peer_id: str
    message_ids: tuple[str, ...]
    messages: tuple[int, ...]
    key: str
    at: int
    evidence: str


@dataclass(frozen=True, slots=True)
class QueueState:
    """How many messages wait or are under way, batches ended each way, and calls beyond the first of a batch."""

    waiting: int
    done: int
    dead: int
    repeated: int


def enqueue(database: sqlite3.Connection, record: MessageRecord, now_ms: int) -> None:
    """Queue the wake of a message that this same transaction stores; again for the same row changes nothing."""
    database.execute(
        "INSERT OR IGNORE INTO wakes (message, peer_id, message_id, token, queued_at) VALUES (?, ?, ?, ?, ?)",
        (record.id, record.peer_id, record.message_id, secrets.token_hex(_TOKEN_BYTES), now_ms),
    )


def take(
    database: sqlite3.Connection,
    now_ms: int,
    budget: Budget,
    pause_ms: Callable[[int], int],
    busy: Collection[str],
    limit: int,
) -> tuple[list[Batch], int | None]:
    """Up to ``limit`` batches to call now, each counted as called, of no sender in ``busy``; and when to look again.

    The instant is None when nothing waits but what is under way. Whatever becomes of the call, its batch is not due again
    before ``pause_ms`` of its calls have passed.
    """
    due, later = _open_batches(database, now_ms, pause_ms, busy, limit)
    taken = {each.peer_id for each in due}
    if len(due) < limit:
        made, until = _new_batches(
            database, now_ms, now_ms + pause_ms(1), budget, {*busy, *taken}, limit - len(due)
        )
        due += made
        later += until
    return due, min(later, default=None)


def freeze_text(database: sqlite3.Connection, batch: Batch, text: str) -> None:
    """Keep what every call of the batch says."""
    database.execute("UPDATE wake_batches SET text = ? WHERE id = ?", (text, batch.id))


def postpone(database: sqlite3.Connection, batch: Batch, next_ms: int, error: str) -> None:
    """The call failed; the batch is due again at ``next_ms``."""
    database.execute(
        "UPDATE wake_batches SET next_at = ?, error = ? WHERE id = ?",
        (next_ms, error[:MAX_ERROR_CHARACTERS], batch.id),
    )


def finish(database: sqlite3.Connection, batch: Batch, now_ms: int, evidence: str) -> Invocation:
    """The agent was called; what `invoked` is told."""
    database.execute(
        "UPDATE wake_batches SET state = 'done', ended_at = ?, evidence = ?, error = '', text = '' WHERE id = ?",
        (now_ms, evidence, batch.id),
    )
    return Invocation(
        batch.peer_id,
        tuple(each.message_id for each in batch.wakes),
        tuple(each.message for each in batch.wakes),
        batch.key,
        now_ms,
        evidence,
    )


def bury(database: sqlite3.Connection, batch: Batch, now_ms: int, error: str) -> None:
    """Give the batch up; its messages stay in the log, unread."""
    database.execute(
        "UPDATE wake_batches SET state = 'dead', ended_at = ?, error = ? WHERE id = ?",
        (now_ms, error[:MAX_ERROR_CHARACTERS], batch.id),
    )


def redeem(database: sqlite3.Connection, message_id: str, token: str) -> tuple[str, int] | None:
    """The sender and log row of the message whose wake bore this token; None when no wake of that id did.

    Only wakes that have been called for count: nobody else can know the token before.
    """
    found = database.execute(
        "SELECT w.peer_id, w.message, w.token FROM wakes w JOIN wake_batches b ON b.id = w.batch "
        "WHERE w.message_id = ? AND b.calls > 0",
        (message_id.encode("utf-8", "replace").decode(),),
    )
    given = token.encode("utf-8", "replace")
    for peer_id, message, expected in found:
        if hmac.compare_digest(given, expected.encode()):
            return peer_id, message
    return None


def revive(database: sqlite3.Connection, now_ms: int) -> int:
    """Try every batch again that was given up; returns how many."""
    return database.execute(
        "UPDATE wake_batches SET state = 'open', ended_at = NULL, calls = 0, next_at = ? WHERE state = 'dead'",
        (now_ms,),
    ).rowcount


def sweep(database: sqlite3.Connection, before_ms: int) -> int:
    """Forget batches that ended before an instant, and their messages' tokens; returns how many batches."""
    old = "state <> 'open' AND ended_at < ?"
    database.execute(
        f"DELETE FROM wakes WHERE batch IN (SELECT id FROM wake_batches WHERE {old})", (before_ms,)
    )
    return database.execute(f"DELETE FROM wake_batches WHERE {old}", (before_ms,)).rowcount


def state(database: sqlite3.Connection) -> QueueState:
    """How the queue stands."""
    waiting = database.execute("SELECT count(*) FROM wakes WHERE batch IS NULL").fetchone()[0]
    under_way = database.execute(
        "SELECT count(*) FROM wakes w JOIN wake_batches b ON b.id = w.batch WHERE b.state = 'open'"
    ).fetchone()[0]
    done, dead, repeated = database.execute(
        "SELECT coalesce(sum(state = 'done'), 0), coalesce(sum(state = 'dead'), 0), "
        "coalesce(sum(max(calls - 1, 0)), 0) FROM wake_batches"
    ).fetchone()
    return QueueState(waiting + under_way, done, dead, repeated)


def story(database: sqlite3.Connection, message: int) -> dict[str, object] | None:
    """What became of the wake of a log row, for `mesh agent why`; None when none was queued."""
    row = database.execute(
        "SELECT w.queued_at, b.key, b.made_at, b.calls, b.next_at, b.state, b.ended_at, b.evidence, b.error "
        "FROM wakes w LEFT JOIN wake_batches b ON b.id = w.batch WHERE w.message = ?",
        (message,),
    ).fetchone()
    if row is None:
        return None
    names = ("queuedAt", "key", "batchedAt", "calls", "nextAt", "state", "endedAt", "evidence", "error")
    return dict(zip(names, row, strict=True))


def _open_batches(
    database: sqlite3.Connection,
    now_ms: int,
    pause_ms: Callable[[int], int],
    busy: Collection[str],
    limit: int,
) -> tuple[list[Batch], list[int]]:
    """Batches whose next call is due, and when the first of the others is."""
    due: list[Batch] = []
    rows = database.execute(
        "SELECT id, peer_id, key, calls, next_at, text FROM wake_batches WHERE state = 'open' ORDER BY next_at, id"
    ).fetchall()
    for number, peer_id, key, calls, next_at, text in rows:
        if peer_id in busy:
            continue
        if next_at > now_ms or len(due) == limit:
            return due, [max(next_at, now_ms)] if next_at > now_ms else []
        database.execute(
            "UPDATE wake_batches SET calls = calls + 1, next_at = ? WHERE id = ?",
            (now_ms + pause_ms(calls + 1), number),
        )
        due.append(Batch(number, peer_id, key, calls + 1, _wakes_of(database, number), text))
    return due, []


def _new_batches(
    database: sqlite3.Connection,
    now_ms: int,
    next_ms: int,
    budget: Budget,
    busy: Collection[str],
    limit: int,
) -> tuple[list[Batch], list[int]]:
    """Make batches of what waits, as far as the budgets go, and say when they go further."""
    made: list[Batch] = []
    later: list[int] = []
    for (peer_id,) in _senders(database):
        if peer_id in busy:
            continue
        until = max(
            _free_at(database, now_ms, budget.total, None), _free_at(database, now_ms, budget.sender, peer_id)
        )
        if until > now_ms:
            later.append(until)
        elif len(made) < limit:
            made.append(_freeze(database, now_ms, next_ms, peer_id, budget.messages))
    return made, later


def _senders(database: sqlite3.Connection) -> list[tuple[str]]:
    """Senders with messages that wait and no batch open, whose message waits longest first."""
    return database.execute(
        "SELECT peer_id FROM wakes WHERE batch IS NULL AND peer_id NOT IN "
        "(SELECT peer_id FROM wake_batches WHERE state = 'open') GROUP BY peer_id ORDER BY min(message)"
    ).fetchall()


def _free_at(database: sqlite3.Connection, now_ms: int, most: int, peer_id: str | None) -> int:
    """When a further batch is within a budget: now, or when the oldest that counts has left the window."""
    whose = ("AND peer_id = ?", (peer_id,)) if peer_id is not None else ("", ())
    rows = database.execute(
        f"SELECT made_at FROM wake_batches WHERE made_at > ? AND made_at <= ? {whose[0]} ORDER BY made_at DESC LIMIT ?",
        (now_ms - WINDOW_MS, now_ms, *whose[1], most),
    ).fetchall()
    return int(rows[-1][0]) + WINDOW_MS if len(rows) == most else now_ms


def _freeze(database: sqlite3.Connection, now_ms: int, next_ms: int, peer_id: str, most: int) -> Batch:
    """A batch of the oldest messages of a sender, with the key that it keeps."""
    rows: Sequence[tuple[int, str]] = database.execute(
        "SELECT message, message_id FROM wakes WHERE batch IS NULL AND peer_id = ? ORDER BY message LIMIT ?",
        (peer_id, most),
    ).fetchall()
    named = "\0".join([peer_id, *(f"{row}:{name}" for row, name in rows)])
    key = hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    number = database.execute(
        "INSERT INTO wake_batches (peer_id, key, made_at, calls, next_at) VALUES (?, ?, ?, 1, ?)",
        (peer_id, key, now_ms, next_ms),
    ).lastrowid
    assert number is not None
    database.executemany("UPDATE wakes SET batch = ? WHERE message = ?", [(number, row) for row, _ in rows])
    return Batch(number, peer_id, key, 1, _wakes_of(database, number))


def _wakes_of(database: sqlite3.Connection, batch: int) -> tuple[Wake, ...]:
    rows = database.execute(
        "SELECT message, message_id, token FROM wakes WHERE batch = ? ORDER BY message", (batch,)
    )
    return tuple(Wake(*row) for row in rows)
