"""Receipts: those that this node signed, until their peers have them, and those that others signed for its messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from mesh.codecs.agent_delivery import Receipt, State
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.agent_delivery.receipts import sign_receipt


@dataclass(frozen=True, slots=True)
class Checked:
    """A receipt whose signature has been verified, with its envelope."""

    receipt: Receipt
    envelope: bytes


class Notary:
    """Signs what this node says became of messages of others."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    def prove(
        self,
        database: sqlite3.Connection,
        peer: PeerId,
        message_id: str,
        digest: bytes,
        state: State,
        evidence: str,
        now_ms: int,
    ) -> bytes:
        """The receipt of a state of a peer's message, signed and kept; the one that there is, if there is one."""
        present = proof_of(database, str(peer), message_id, state)
        if present is not None:
            return present
        envelope = sign_receipt(self._key, peer, message_id, digest, state, evidence, now_ms)
        database.execute(
            "INSERT INTO proofs (peer_id, message_id, state, envelope, made_ms) VALUES (?, ?, ?, ?, ?)",
            (str(peer), message_id, state, envelope, now_ms),
        )
        return envelope


def proof_of(database: sqlite3.Connection, peer_id: str, message_id: str, state: State) -> bytes | None:
    """The receipt that this node signed for a state of a peer's message."""
    row = database.execute(
        "SELECT envelope FROM proofs WHERE peer_id = ? AND message_id = ? AND state = ?",
        (peer_id, message_id, state),
    ).fetchone()
    return None if row is None else row[0]


def known(database: sqlite3.Connection, peer_id: str, message_id: str, state: State, now_ms: int) -> bool:
    """A peer has that receipt durably; tells whether that is news."""
    changed = database.execute(
        "UPDATE proofs SET known_ms = ? WHERE peer_id = ? AND message_id = ? AND state = ? AND known_ms = 0",
        (now_ms, peer_id, message_id, state),
    )
    return changed.rowcount > 0


def to_tell(
    database: sqlite3.Connection, peer_id: str, before_ms: int, after: int = 0, limit: int = 256
) -> list[tuple[int, bytes]]:
    """Receipts that a peer does not have, behind the row ``after``: their rows and envelopes. Those that an exchange
    brings by itself (of stored and delivered) only if they were made before an instant."""
    return database.execute(
        "SELECT number, envelope FROM proofs WHERE peer_id = ? AND known_ms = 0 AND number > ? "
        f"AND (state > {State.DELIVERED:d} OR made_ms <= ?) ORDER BY number LIMIT ?",
        (peer_id, after, before_ms, limit),
    ).fetchall()


def peers_to_tell(database: sqlite3.Connection) -> list[str]:
    """Peers that lack receipts of ours."""
    return [peer for (peer,) in database.execute("SELECT DISTINCT peer_id FROM proofs WHERE known_ms = 0")]


def keep(database: sqlite3.Connection, peer_id: str, checked: Checked, now_ms: int) -> bool:
    """Keep a peer's receipt for a message of ours; tells whether it is new."""
    receipt = checked.receipt
    changed = database.execute(
        "INSERT INTO receipts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (peer_id, receipt.message_id, receipt.state, checked.envelope, now_ms),
    )
    return changed.rowcount > 0


def kept(database: sqlite3.Connection, peer_id: str, message_id: str) -> Sequence[bytes]:
    """A peer's receipts for a message of ours, by state."""
    rows = database.execute(
        "SELECT envelope FROM receipts WHERE peer_id = ? AND message_id = ? ORDER BY state",
        (peer_id, message_id),
    )
    return [envelope for (envelope,) in rows]


def given(database: sqlite3.Connection, peer_id: str, message_id: str) -> list[tuple[bytes, int]]:
    """Our receipts for a peer's message, by state, and when the peer had each (0: not yet)."""
    return database.execute(
        "SELECT envelope, known_ms FROM proofs WHERE peer_id = ? AND message_id = ? ORDER BY state",
        (peer_id, message_id),
    ).fetchall()
