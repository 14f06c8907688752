"""What a buyer keeps: a row for each purchase, from before its first frame leaves; and what caps allow.

Functions of a connection that never commit.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from mesh.apps.market.payments.columns import (
    PAYMENT_COLUMNS,
    authorization_columns,
    authorization_of,
    insert,
    receipt_of,
    token_columns,
    token_of,
    update,
    write_receipt,
)
from mesh.apps.market.payments.rules import Caps
from mesh.errors import StorageError
from mesh.protocols.x402.amounts import amount_in_words
from mesh.protocols.x402.buyer import CLAIM_KEPT_S
from mesh.protocols.x402.records import Purchase, PurchaseState

DAY_S: Final = 86_400
_OPEN: Final = """(state IN ('intended', 'authorized', 'unknown') OR (state = 'paid' AND receipt IS NULL)
    OR (nonce IS NOT NULL AND settled IS NULL))"""
STATEMENTS: Final = (
    f"""CREATE TABLE IF NOT EXISTS purchases (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    seller BLOB NOT NULL,
    resource TEXT NOT NULL,
    input_text TEXT NOT NULL,
    caller TEXT NOT NULL,
    most INTEGER NOT NULL,
    created_at_s REAL NOT NULL,
    output TEXT NOT NULL,
    reason TEXT NOT NULL,
    settled INTEGER,
    {PAYMENT_COLUMNS},
    UNIQUE (payer, nonce)
) STRICT""",
    f"CREATE INDEX IF NOT EXISTS open_purchases ON purchases (created_at_s) WHERE {_OPEN}",
    "CREATE INDEX IF NOT EXISTS purchases_by_day ON purchases (valid_after) WHERE nonce IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS purchases_by_age ON purchases (created_at_s)",
)
_SPENT: Final = """SELECT coalesce(sum(amount), 0) FROM purchases WHERE nonce IS NOT NULL AND id <> :id
    AND valid_after >= :start AND valid_after < :start + 86400 AND settled IS NOT 0"""


def keep(database: sqlite3.Connection, purchase: Purchase) -> None:
    """Write a purchase, new or known."""
    values = _values(purchase)
    if database.execute(update("purchases", values, ("id",)), values).rowcount == 0:
        database.execute(insert("purchases", values), values)


def reserve(database: sqlite3.Connection, purchase: Purchase, caps: Caps) -> str:
    """Write an authorized purchase; or why not, and nothing is written: a cap, or a nonce that was authorized before.

    Days are those of UTC by the time of the authorization. What turned out unpaid counts no more.
    """
    authorization = purchase.authorization
    if authorization is None:
        raise StorageError(f"the purchase {purchase.id} has no authorization to reserve")
    amount = authorization.amount
    start = authorization.valid_after // DAY_S * DAY_S
    day = database.execute(_SPENT, {"id": purchase.id, "start": start}).fetchone()[0]
    peer = database.execute(
        _SPENT + " AND seller = :seller",
        {"id": purchase.id, "start": start, "seller": bytes(purchase.seller)},
    ).fetchone()[0]
    for what, cap, spent in (
        ("one call", caps.call, 0),
        ("one peer in a day", caps.peer_day, peer),
        ("one day", caps.day, day),
    ):
        if cap is not None and spent + amount > cap:
            return (
                f"{amount_in_words(amount)} more would pass the cap for {what}, {amount_in_words(cap)}, "
                f"of which {amount_in_words(spent)} is spent"
            )
    nonce = {"payer": authorization.payer, "nonce": authorization.nonce, "id": purchase.id}
    if database.execute(
        "SELECT 1 FROM purchases WHERE payer = :payer AND nonce = :nonce AND id <> :id", nonce
    ).fetchone():
        return "the seller asks to sign a nonce that was signed for another purchase"
    keep(database, purchase)
    return ""


def find(database: sqlite3.Connection, purchase_id: str) -> Purchase | None:
    """The purchase with this id."""
    rows = _read(database, "WHERE id = :id", {"id": purchase_id})
    return rows[0] if rows else None


def unresolved(database: sqlite3.Connection, now_s: float, at_most: int = 10_000) -> list[Purchase]:
    """Purchases of which something is still to be found out, the oldest first: how they ended, or the output of one that
    was paid in the last day."""
    return _read(
        database,
        f"WHERE {_OPEN} AND (state <> 'paid' OR settled IS NULL OR created_at_s > :since) "
        "ORDER BY created_at_s LIMIT :at_most",
        {"since": now_s - CLAIM_KEPT_S, "at_most": at_most},
    )


def newest(
    database: sqlite3.Connection, at_most: int = 100, state: PurchaseState | None = None
) -> list[Purchase]:
    """Purchases, the newest first; of one state where it is given."""
    return _read(
        database,
        "WHERE :state IS NULL OR state = :state ORDER BY created_at_s DESC LIMIT :at_most",
        {"state": None if state is None else state.value, "at_most": at_most},
    )


def spent_on(database: sqlite3.Connection, at_s: float) -> int:
    """Atomic units that were, or may have been, spent on the day of an instant."""
    start = int(at_s) // DAY_S * DAY_S
    found: int = database.execute(_SPENT, {"id": "", "start": start}).fetchone()[0]
    return found


def _read(database: sqlite3.Connection, condition: str, values: dict[str, Any]) -> list[Purchase]:
    cursor = database.execute(f"SELECT * FROM purchases {condition}", values)
    names = [column[0] for column in cursor.description]
    return [_purchase(dict(zip(names, row, strict=True))) for row in cursor]


def _values(purchase: Purchase) -> dict[str, Any]:
    return {
        "id": purchase.id,
        "state": purchase.state.value,
        "seller": bytes(purchase.seller),
        "resource": purchase.resource,
        "input_text": purchase.input_text,
        "caller": purchase.caller,
        "most": purchase.limit,
        "created_at_s": purchase.created_at_s,
        "output": purchase.output,
        "reason": purchase.reason,
        "settled": None if purchase.settled is None else int(purchase.settled),
        "amount": purchase.amount,
        "since_block": purchase.since_block,
        "transaction_hash": purchase.transaction,
        "receipt": write_receipt(purchase.receipt),
        **token_columns(purchase.token),
        **authorization_columns(purchase.authorization),
    }


def _purchase(row: dict[str, Any]) -> Purchase:
    settled = row["settled"]
    return Purchase(
        id=row["id"],
        state=PurchaseState(row["state"]),
        seller=row["seller"],
        resource=row["resource"],
        input_text=row["input_text"],
        caller=row["caller"],
        limit=row["most"],
        created_at_s=row["created_at_s"],
        amount=row["amount"],
        token=token_of(row),
        authorization=authorization_of(row),
        since_block=row["since_block"],
        transaction=row["transaction_hash"],
        output=row["output"],
        reason=row["reason"],
        receipt=receipt_of(row),
        settled=None if settled is None else bool(settled),
    )
