"""Messages that were handed to us: one row an id, which is written with the log's row, the wake and the receipt.

A peer's id is remembered for `REMEMBERED_MS` after it was stored; what was queued more than `MAX_AGE_MS` ago is not
taken, so that no message can come back when its row has gone. Of each peer one large message can be under way; the
bytes that have come survive a restart.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.apps.agent.delivery import outbox, proofs, steps
from mesh.apps.agent.delivery.ledger import Ledger
from mesh.apps.agent.delivery.proofs import Notary
from mesh.apps.agent.records import DeliveryChanged, DeliveryState, MessageRecord
from mesh.codecs.agent_delivery import Acknowledgement, State, Verdict, VerdictCode
from mesh.errors import DecodeError, Malformed, PeerError
from mesh.identity.peer_id import PeerId
from mesh.protocols.agent_delivery.offering import PROTOCOL_ID
from mesh.protocols.agent_delivery.progress import PROVEN, advanced
from mesh.protocols.agent_delivery.taking import Offered, PieceCame
from mesh.protocols.openclaw.message import Envelope, check_sender, read_message, repeated

DAY_MS: Final = 24 * 3600 * 1000
MAX_AGE_MS: Final = 20 * DAY_MS
"""Senders of ours give up after 14 days at most (`agent.outbox_age_s`)."""
MAX_AHEAD_MS: Final = DAY_MS
"""That a sender's clock may be ahead."""
REMEMBERED_MS: Final = 30 * DAY_MS
MAX_PARTIAL: Final = 64
"""Peers with a large message under way; the one that moved least lately makes room."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A message that this transaction stores: its row in the log, and what its answer did to one of ours."""

    record: MessageRecord
    message: Envelope
    changed: DeliveryChanged | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of an offer. ``expected``: the bytes that follow belong to it."""

    verdict: Verdict
    stored: Stored | None = None
    expected: bool = False


class Inbox:
    """The rules of taking. ``wait_s`` counts a message of a peer and tells how long to wait before it may come, 0 for
    now. All methods run in the store's thread."""

    def __init__(
        self,
        notary: Notary,
        ledger: Ledger,
        wait_s: Callable[[PeerId], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._notary = notary
        self._ledger = ledger
        self._wait_s = wait_s
        self._now_ms = now_ms

    # -- our protocol ------------------------------------------------------------------------------------------------

    def offered(self, database: sqlite3.Connection, peer: PeerId, offered: Offered) -> Outcome:
        """Judge an offer; a whole one is stored, or known."""
        message_id = offered.message_id
        present = database.execute(
            "SELECT digest, proven FROM inbox WHERE peer_id = ? AND message_id = ?", (str(peer), message_id)
        ).fetchone()
        if present is not None:
            return Outcome(self._known(database, peer, offered, *present))
        now_ms = self._now_ms()
        if not now_ms - MAX_AGE_MS <= offered.queued_ms <= now_ms + MAX_AHEAD_MS:
            return _refused(message_id, "queued more than 20 days ago, or more than a day in the future")
        partial = database.execute(
            "SELECT message_id, digest, size, have FROM partial WHERE peer_id = ?", (str(peer),)
        ).fetchone()
        if (
            offered.body is None
            and partial is not None
            and partial[:3] == (message_id, offered.digest, offered.size)
        ):
            return _more(message_id, partial[3])
        wait_s = self._wait_s(peer)
        if wait_s > 0:
            later = VerdictCode.LATER
            return Outcome(
                Verdict(
                    message_id=message_id,
                    code=later,
                    retry_ms=int(wait_s * 1000) + 1,
                    reason="too many messages",
                )
            )
        if offered.body is not None:
            return self._whole(database, peer, offered, offered.body)
        self._begin(database, str(peer), offered, now_ms)
        return _more(message_id, 0)

    def piece(
        self, database: sqlite3.Connection, peer: PeerId, offered: Offered, piece: PieceCame
    ) -> Outcome | None:
        """Keep a piece of the message that was ``offered``; the last one gets it judged."""
        end = piece.offset + len(piece.data)
        changed = database.execute(
            "UPDATE partial SET have = ?, changed_ms = ? WHERE peer_id = ? AND message_id = ? AND have = ?",
            (end, self._now_ms(), str(peer), piece.message_id, piece.offset),
        )
        if not changed.rowcount:
            raise PeerError(
                f"{peer} sent a piece of a message that made room for others", protocol=PROTOCOL_ID
            )
        database.execute("INSERT INTO pieces VALUES (?, ?, ?)", (str(peer), piece.offset, piece.data))
        if not piece.last:
            return None
        rows = database.execute("SELECT data FROM pieces WHERE peer_id = ? ORDER BY place", (str(peer),))
        body = b"".join([data for (data,) in rows])
        _drop_partial(database, str(peer))
        if hashlib.sha256(body).digest() != offered.digest:
            return _refused(piece.message_id, "the body is not what was offered")
        return self._whole(database, peer, offered, body)

    def acknowledged(
        self, database: sqlite3.Connection, peer: PeerId, acknowledged: Sequence[Acknowledgement]
    ) -> list[bytes]:
        """A peer has receipts of ours durably; further receipts to send it: that this proves delivery."""
        found = []
        for each in acknowledged:
            now_ms, state = self._now_ms(), State(each.state)
            proofs.known(database, str(peer), each.message_id, state, now_ms)
            if state is State.STORED:
                evidence = f"acknowledgement of the receipt by {peer}"
                proof = self.advance(database, peer, each.message_id, State.DELIVERED, evidence)
                if proof is not None:
                    found.append(proof)
        return found

    # -- the stock protocol ------------------------------------------------------------------------------------------

    def stock(self, database: sqlite3.Connection, peer: PeerId, message: Envelope) -> Stored | None:
        """Store a message of the stock protocol; None for a repeated one (section 5.3)."""
        now_ms, message_id = self._now_ms(), message.id
        present = database.execute(
            "SELECT stored_ms FROM inbox WHERE peer_id = ? AND message_id = ?", (str(peer), message_id)
        ).fetchone()
        if present is not None:
            if repeated(present[0], now_ms):
                self._count_repeat(database, str(peer), message_id)
                return None
            database.execute(
                "UPDATE inbox SET message_id = message_id || '~' || number WHERE peer_id = ? AND message_id = ?",
                (str(peer), message_id),
            )
        return self._store(
            database, peer, message, hashlib.sha256(message.body).digest(), message_id, proven=False
        )[0]

    # -- what becomes of stored messages -----------------------------------------------------------------------------

    def advance(
        self, database: sqlite3.Connection, peer: PeerId, message_id: str, state: State, evidence: str
    ) -> bytes | None:
        """A peer's message has come further here; the receipt of that for a message of our protocol."""
        row = database.execute(
            "SELECT log_row, digest, proven, state FROM inbox WHERE peer_id = ? AND message_id = ?",
            (str(peer), message_id),
        ).fetchone()
        if row is None:
            return None
        log_row, digest, proven, before = row
        after = advanced(before, state)
        if after != before:
            database.execute(
                "UPDATE inbox SET state = ? WHERE peer_id = ? AND message_id = ?",
                (after, str(peer), message_id),
            )
            if log_row is not None:
                self._ledger.advanced(database, log_row, DeliveryState(after))
        if not proven:
            steps.add(database, str(peer), message_id, self._now_ms(), PROVEN[state], evidence)
            return None
        return self._notary.prove(database, peer, message_id, digest, state, evidence, self._now_ms())

    def resumed(
        self, database: sqlite3.Connection, peer: PeerId, log_row: int, evidence: str
    ) -> tuple[str, int] | None:
        """The agent has the message of a log row; its id, and how often that was said by now."""
        row = database.execute(
            "UPDATE inbox SET resumptions = resumptions + 1 WHERE peer_id = ? AND log_row = ? "
            "RETURNING message_id, resumptions",
            (str(peer), log_row),
        ).fetchone()
        if row is None:
            return None
        message_id, calls = row
        if calls == 1:
            self.advance(database, peer, message_id, State.RESUMED, evidence)
        return message_id, calls

    def forget(self, database: sqlite3.Connection) -> int:
        """Forget what is old enough, up to 500 at once; gives how many."""
        now_ms = self._now_ms()
        rows = database.execute(
            "SELECT peer_id, message_id FROM inbox WHERE stored_ms < ? LIMIT 500", (now_ms - REMEMBERED_MS,)
        ).fetchall()
        for table in ("inbox", "proofs", "steps"):
            database.executemany(f"DELETE FROM {table} WHERE peer_id = ? AND message_id = ?", rows)
        old = database.execute(
            "SELECT peer_id FROM partial WHERE changed_ms < ?", (now_ms - DAY_MS,)
        ).fetchall()
        for (peer_id,) in old:
            _drop_partial(database, peer_id)
        return len(rows)

    # -- within ------------------------------------------------------------------------------------------------------

    def _known(
        self, database: sqlite3.Connection, peer: PeerId, offered: Offered, digest: bytes, proven: int
    ) -> Verdict:
        message_id = offered.message_id
        if digest != offered.digest:
            return _refused(message_id, "its id was that of another message").verdict
        self._count_repeat(database, str(peer), message_id)
        receipt = proofs.proof_of(database, str(peer), message_id, State.STORED)
        if receipt is None or not proven:
            database.execute(
                "UPDATE inbox SET proven = 1 WHERE peer_id = ? AND message_id = ?", (str(peer), message_id)
            )
            receipt = self._notary.prove(
                database,
                peer,
                message_id,
                digest,
                State.STORED,
                "stored by the stock protocol",
                self._now_ms(),
            )
        return Verdict(message_id=message_id, receipt=receipt)

    def _whole(self, database: sqlite3.Connection, peer: PeerId, offered: Offered, body: bytes) -> Outcome:
        message_id = offered.message_id
        try:
            message = read_message(body)
            check_sender(message, peer)
            if message.id != message_id:
                raise Malformed("message.id", None, "not the id that was offered")
        except (DecodeError, PeerError) as error:
            return _refused(message_id, str(error))
        stored, receipt = self._store(database, peer, message, offered.digest, message_id, proven=True)
        return Outcome(Verdict(message_id=message_id, receipt=receipt), stored)

    def _store(
        self,
        database: sqlite3.Connection,
        peer: PeerId,
        message: Envelope,
        digest: bytes,
        message_id: str,
        *,
        proven: bool,
    ) -> tuple[Stored, bytes | None]:
        now_ms = self._now_ms()
        record = self._ledger.received(database, str(peer), message)
        number = database.execute(
            "INSERT INTO inbox (peer_id, message_id, log_row, size, digest, proven, stored_ms, state) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                str(peer),
                message_id,
                record.id,
                len(message.body),
                digest,
                proven,
                now_ms,
                DeliveryState.STORED,
            ),
        ).lastrowid
        receipt = None
        if proven:
            evidence = f"inbox row {number}, log row {record.id}"
            receipt = self._notary.prove(database, peer, message_id, digest, State.STORED, evidence, now_ms)
        changed = None
        if message.answers:
            changed = outbox.answered(database, self._ledger, str(peer), message.answers, message_id, now_ms)
        return Stored(record, message, changed), receipt

    def _begin(self, database: sqlite3.Connection, peer_id: str, offered: Offered, now_ms: int) -> None:
        """Expect a large message, in place of another one of the same peer."""
        _drop_partial(database, peer_id)
        surplus = database.execute(
            f"SELECT peer_id FROM partial ORDER BY changed_ms DESC LIMIT -1 OFFSET {MAX_PARTIAL - 1}"
        ).fetchall()
        for (other,) in surplus:
            _drop_partial(database, other)
        database.execute(
            "INSERT INTO partial VALUES (?, ?, ?, ?, 0, ?)",
            (peer_id, offered.message_id, offered.size, offered.digest, now_ms),
        )

    def _count_repeat(self, database: sqlite3.Connection, peer_id: str, message_id: str) -> None:
        database.execute(
            "UPDATE inbox SET repeats = repeats + 1 WHERE peer_id = ? AND message_id = ?",
            (peer_id, message_id),
        )


def _drop_partial(database: sqlite3.Connection, peer_id: str) -> None:
    for table in ("partial", "pieces"):
        database.execute(f"DELETE FROM {table} WHERE peer_id = ?", (peer_id,))


def _more(message_id: str, offset: int) -> Outcome:
    return Outcome(Verdict(message_id=message_id, code=VerdictCode.MORE, offset=offset), expected=True)


def _refused(message_id: str, reason: str) -> Outcome:
    return Outcome(Verdict(message_id=message_id, code=VerdictCode.REFUSED, reason=reason[:120]))
