"""Messages to hand over: in order for each peer, leased to its courier while they are under way."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh.apps.agent.delivery import steps
from mesh.apps.agent.delivery.ledger import Ledger
from mesh.apps.agent.records import DeliveryChanged, DeliveryState
from mesh.codecs.agent_delivery import State
from mesh.errors import UsageError
from mesh.protocols.agent_delivery.progress import PROVEN, advanced

LEASE_MS: Final = 120_000
"""A message that its courier has not come back with by then is due again."""
_COLUMNS: Final = "number, message_id, log_row, body, digest, address, answers, queued_ms, attempts, failures"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that is to be handed over. ``answers`` is the id of the message that it answers, or empty, ``address``
    one to dial first, or empty; ``failures`` counts exchanges with its peer that failed at it."""

    number: int
    message_id: str
    log_row: int | None
    body: bytes
    digest: bytes
    address: str
    answers: str
    queued_ms: int
    attempts: int
    failures: int


@dataclass(frozen=True, slots=True)
class Sent:
    """One message's row, without its body."""

    peer_id: str
    message_id: str
    log_row: int | None
    answers: str
    state: str
    digest: bytes


def add(
    database: sqlite3.Connection,
    peer_id: str,
    message_id: str,
    log_row: int | None,
    body: bytes,
    digest: bytes,
    now_ms: int,
    *,
    address: str = "",
    answers: str = "",
) -> None:
    """Queue a message behind those that wait for the same peer. Raises `UsageError` for an id that is taken."""
    row = (
        peer_id,
        message_id,
        log_row,
        body,
        len(body),
        digest,
        address,
        answers,
        now_ms,
        DeliveryState.QUEUED,
    )
    try:
        database.execute(
            "INSERT INTO outbox (peer_id, message_id, log_row, body, size, digest, address, answers, queued_ms, state) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
    except sqlite3.IntegrityError:
        raise UsageError(f"a message {message_id} to {peer_id} is in the outbox already") from None


def lease(
    database: sqlite3.Connection,
    peer_id: str,
    now_ms: int,
    *,
    after: int = 0,
    limit: int = 64,
    max_bytes: int = 1 << 20,
) -> list[Waiting]:
    """The next messages for a peer behind the row ``after``, at least one if any waits, and a lease on each.

    A message under lease ends the list: nothing overtakes it.
    """
    found: list[Waiting] = []
    size = 0
    rows = database.execute(
        f"SELECT leased_until, {_COLUMNS} FROM outbox WHERE peer_id = ? AND state = 'queued' AND number > ? "
        "ORDER BY number LIMIT ?",
        (peer_id, after, limit),
    )
    for leased_until, *row in rows:
        size += len(row[3])
        if leased_until > now_ms or (found and size > max_bytes):
            break
        found.append(Waiting(*row))
    database.executemany(
        "UPDATE outbox SET leased_until = ?, attempts = attempts + 1 WHERE number = ?",
        [(now_ms + LEASE_MS, each.number) for each in found],
    )
    return found


def release(database: sqlite3.Connection, peer_id: str) -> None:
    """End the leases on messages for a peer."""
    database.execute(
        "UPDATE outbox SET leased_until = 0 WHERE peer_id = ? AND state = 'queued' AND leased_until > 0",
        (peer_id,),
    )


def release_all(database: sqlite3.Connection) -> None:
    """End all leases: nobody else has the file open, so whoever held them is gone."""
    database.execute("UPDATE outbox SET leased_until = 0 WHERE state = 'queued' AND leased_until > 0")


def peers_waited_for(database: sqlite3.Connection) -> list[str]:
    """Peers that messages wait for."""
    return [
        peer for (peer,) in database.execute("SELECT DISTINCT peer_id FROM outbox WHERE state = 'queued'")
    ]


def head(database: sqlite3.Connection, peer_id: str) -> tuple[str, str] | None:
    """The first message that waits for a peer: its id, and an address to dial first or empty."""
    query = "SELECT message_id, address FROM outbox WHERE peer_id = ? AND state = 'queued' ORDER BY number LIMIT 1"
    found: tuple[str, str] | None = database.execute(query, (peer_id,)).fetchone()
    return found


def sent_since(database: sqlite3.Connection, peer_id: str, since_ms: int, most: int) -> list[int]:
    """When messages went to a peer by the stock protocol, from an instant on: the newest ``most``, oldest first."""
    rows = database.execute(
        "SELECT ended_ms FROM outbox WHERE ended_ms >= ? AND peer_id = ? AND state = 'sent' "
        "ORDER BY ended_ms DESC LIMIT ?",
        (since_ms, peer_id, most),
    ).fetchall()
    return [at for (at,) in rows][::-1]


def find(database: sqlite3.Connection, peer_id: str, message_id: str) -> Sent | None:
    """The row of a message."""
    row = database.execute(
        "SELECT peer_id, message_id, log_row, answers, state, digest FROM outbox WHERE peer_id = ? AND message_id = ?",
        (peer_id, message_id),
    ).fetchone()
    return None if row is None else Sent(*row)


def proven(
    database: sqlite3.Connection, ledger: Ledger, sent: Sent, state: State, now_ms: int
) -> DeliveryChanged | None:
    """A receipt proves a state of a message; what changed by that."""
    return move(database, ledger, sent, DeliveryState(advanced(sent.state, state)), now_ms)


def answered(
    database: sqlite3.Connection, ledger: Ledger, peer_id: str, message_id: str, answer: str, now_ms: int
) -> DeliveryChanged | None:
    """A message of ours was answered by one of the peer's, which this transaction stores."""
    sent = find(database, peer_id, message_id)
    if sent is None:
        return None
    steps.add(database, peer_id, message_id, now_ms, "answer stored", f"message {answer}")
    return move(database, ledger, sent, DeliveryState(PROVEN[State.ANSWERED]), now_ms)


def move(
    database: sqlite3.Connection, ledger: Ledger, sent: Sent, state: DeliveryState, now_ms: int
) -> DeliveryChanged | None:
    """Put a message into a state; None when it is there. Its body goes once it need not be sent again."""
    if sent.state == state:
        return None
    done = state not in (DeliveryState.QUEUED, DeliveryState.DEAD)
    database.execute(
        "UPDATE outbox SET state = ?, leased_until = 0, ended_ms = ?, body = iif(?, x'', body) "
        "WHERE peer_id = ? AND message_id = ?",
        (state, 0 if state is DeliveryState.QUEUED else now_ms, done, sent.peer_id, sent.message_id),
    )
    if sent.log_row is not None:
        ledger.advanced(database, sent.log_row, state)
    return DeliveryChanged(sent.message_id, sent.peer_id, state, now_ms)


def bury(
    database: sqlite3.Connection, ledger: Ledger, peer_id: str, message_id: str, why: str, now_ms: int
) -> DeliveryChanged | None:
    """Make a message a dead letter."""
    sent = find(database, peer_id, message_id)
    if sent is None or sent.state != DeliveryState.QUEUED:
        return None
    steps.add(database, peer_id, message_id, now_ms, "given up", why)
    return move(database, ledger, sent, DeliveryState.DEAD, now_ms)


def failed(
    database: sqlite3.Connection,
    ledger: Ledger,
    peer_id: str,
    message_id: str,
    why: str,
    most: int,
    now_ms: int,
) -> DeliveryChanged | None:
    """An exchange with the peer failed at a message; the ``most``-th time makes it a dead letter."""
    row = database.execute(
        "UPDATE outbox SET failures = failures + 1, leased_until = 0 WHERE peer_id = ? AND message_id = ? "
        "AND state = 'queued' RETURNING failures",
        (peer_id, message_id),
    ).fetchone()
    if row is None:
        return None
    steps.add(database, peer_id, message_id, now_ms, "attempt failed", why)
    if row[0] < most:
        return None
    return bury(database, ledger, peer_id, message_id, f"failed {row[0]} times, last: {why}", now_ms)


def expire(
    database: sqlite3.Connection, ledger: Ledger, before_ms: int, now_ms: int
) -> list[DeliveryChanged]:
    """Make dead letters of messages that wait since before an instant, up to 500 at once."""
    rows = database.execute(
        "SELECT peer_id, message_id FROM outbox WHERE state = 'queued' AND queued_ms < ? AND leased_until < ? LIMIT 500",
        (before_ms, now_ms),
    ).fetchall()
    why = "waited too long for its peer"
    buried = [bury(database, ledger, peer, message, why, now_ms) for peer, message in rows]
    return [each for each in buried if each is not None]


def revive(
    database: sqlite3.Connection, ledger: Ledger, message_id: str, since_ms: int, now_ms: int
) -> list[DeliveryChanged]:
    """Queue dead letters again, behind what waits for their peers; not those from before ``since_ms``, which their
    receivers may have forgotten that they have."""
    rows = database.execute(
        "SELECT peer_id FROM outbox WHERE message_id = ? AND state = 'dead' AND queued_ms >= ?",
        (message_id, since_ms),
    ).fetchall()
    changed = []
    for (peer_id,) in rows:
        database.execute(
            "UPDATE outbox SET number = (SELECT max(number) + 1 FROM outbox), failures = 0 "
            "WHERE peer_id = ? AND message_id = ?",
            (peer_id, message_id),
        )
        steps.add(database, peer_id, message_id, now_ms, "queued again")
        sent = find(database, peer_id, message_id)
        if (
            sent is not None
            and (change := move(database, ledger, sent, DeliveryState.QUEUED, now_ms)) is not None
        ):
            changed.append(change)
    return changed


def forget(database: sqlite3.Connection, before_ms: int) -> int:
    """Forget messages that ended before an instant, with their receipts, up to 500 at once; gives how many."""
    rows: Sequence[tuple[str, str]] = database.execute(
        "SELECT peer_id, message_id FROM outbox WHERE ended_ms > 0 AND ended_ms < ? LIMIT 500", (before_ms,)
    ).fetchall()
    for table in ("outbox", "receipts", "steps"):
        database.executemany(f"DELETE FROM {table} WHERE peer_id = ? AND message_id = ?", rows)
    return len(rows)
