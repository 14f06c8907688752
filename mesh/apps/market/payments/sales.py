"""What a seller keeps: a row for each payment that was taken, by payer and the 32 bytes of its nonce.

Functions of a connection that never commit. Rows of what was paid stay: they keep a payment from being taken twice, and
say what is owed; tasks and outputs go after a day, in which a buyer can ask for what it lost. What was not paid is
forgotten a day after its nonce can no longer be used.
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
from mesh.errors import StorageError
from mesh.protocols.x402.records import Sale, SaleState

_FULL: Final = "state IN ('done', 'refund') AND (input_text <> '' OR output <> '')"
STATEMENTS: Final = (
    f"""CREATE TABLE IF NOT EXISTS sales (
    state TEXT NOT NULL,
    signature BLOB NOT NULL,
    purchase TEXT NOT NULL,
    remote BLOB NOT NULL,
    resource TEXT NOT NULL,
    input_text TEXT NOT NULL,
    caller TEXT NOT NULL,
    taken_at_s REAL NOT NULL,
    output TEXT NOT NULL,
    reason TEXT NOT NULL,
    {PAYMENT_COLUMNS},
    PRIMARY KEY (payer, nonce)
) STRICT""",
    "CREATE INDEX IF NOT EXISTS sales_by_buyer ON sales (remote, nonce)",
    "CREATE INDEX IF NOT EXISTS open_sales ON sales (taken_at_s, remote) WHERE state IN ('taken', 'running')",
    "CREATE INDEX IF NOT EXISTS void_sales ON sales (valid_before) WHERE state = 'void'",
    "CREATE INDEX IF NOT EXISTS sales_by_age ON sales (taken_at_s)",
    f"CREATE INDEX IF NOT EXISTS full_sales ON sales (taken_at_s) WHERE {_FULL}",
)
MAX_OPEN: Final = 8192
MAX_OPEN_A_PEER: Final = 256
"""Sales that are neither paid nor past their time: who has no money can make any number of payments."""
KEPT_S: Final = 86_400
NOT_KEPT: Final = "the output is kept no longer"
_KEY: Final = ("payer", "nonce")
_OPEN: Final = (
    "SELECT count(*), coalesce(sum(remote = :remote), 0) FROM sales WHERE state IN ('taken', 'running')"
)


def take(database: sqlite3.Connection, sale: Sale) -> str:
    """Add a sale; or why not, and nothing is written: this payer's nonce was taken before, or too many are open."""
    of_all, of_peer = database.execute(_OPEN, {"remote": bytes(sale.remote)}).fetchone()
    if of_all >= MAX_OPEN or of_peer >= MAX_OPEN_A_PEER:
        return "too many payments are not settled yet; try again later"
    values = _values(sale)
    added = database.execute(insert("sales", values) + " ON CONFLICT DO NOTHING", values)
    return "" if added.rowcount == 1 else f"nonce already used: 0x{sale.authorization.nonce.hex()}"


def forget(database: sqlite3.Connection, now_s: float) -> int:
    """Forget what was not paid a day after its time, and task and output of what was paid a day ago; of how many."""
    before = {"before": now_s - KEPT_S, "reason": NOT_KEPT}
    gone = database.execute("DELETE FROM sales WHERE state = 'void' AND valid_before < :before", before)
    emptied = database.execute(
        f"""UPDATE sales SET input_text = '', output = '', reason = iif(state = 'done', :reason, reason)
        WHERE {_FULL} AND taken_at_s < :before""",
        before,
    )
    return gone.rowcount + emptied.rowcount


def keep(database: sqlite3.Connection, sale: Sale) -> None:
    """Write what became of a sale. Raises `StorageError` for one that was never taken."""
    values = _values(sale)
    if database.execute(update("sales", values, _KEY), values).rowcount != 1:
        raise StorageError(f"the sale {sale.purchase} is not there; restore a backup of the payments")


def find(database: sqlite3.Connection, remote: bytes, nonce: bytes) -> Sale | None:
    """The sale with this nonce that this peer sent."""
    rows = _read(database, "WHERE remote = :remote AND nonce = :nonce", {"remote": remote, "nonce": nonce})
    return rows[0] if rows else None


def unfinished(database: sqlite3.Connection, at_most: int = 10_000) -> list[Sale]:
    """Sales that are TAKEN or RUNNING, the oldest first."""
    return _read(
        database,
        "WHERE state IN ('taken', 'running') ORDER BY taken_at_s LIMIT :at_most",
        {"at_most": at_most},
    )


def newest(database: sqlite3.Connection, at_most: int = 100, state: SaleState | None = None) -> list[Sale]:
    """Sales, the newest first; of one state where it is given, so that REFUND lists what is owed."""
    wanted = None if state is None else state.value
    return _read(
        database,
        "WHERE :state IS NULL OR state = :state ORDER BY taken_at_s DESC LIMIT :at_most",
        {"state": wanted, "at_most": at_most},
    )


def _read(database: sqlite3.Connection, condition: str, values: dict[str, Any]) -> list[Sale]:
    cursor = database.execute(f"SELECT * FROM sales {condition}", values)
    names = [column[0] for column in cursor.description]
    return [_sale(dict(zip(names, row, strict=True))) for row in cursor]


def _values(sale: Sale) -> dict[str, Any]:
    return {
        "state": sale.state.value,
        "signature": sale.signature,
        "purchase": sale.purchase,
        "remote": bytes(sale.remote),
        "resource": sale.resource,
        "input_text": sale.input_text,
        "caller": sale.caller,
        "taken_at_s": sale.taken_at_s,
        "output": sale.output,
        "reason": sale.reason,
        "amount": sale.authorization.amount,
        "since_block": sale.since_block,
        "transaction_hash": sale.transaction,
        "receipt": write_receipt(sale.receipt),
        **token_columns(sale.token),
        **authorization_columns(sale.authorization),
    }


def _sale(row: dict[str, Any]) -> Sale:
    token, authorization = token_of(row), authorization_of(row)
    if token is None or authorization is None:
        raise StorageError(f"the sale {row['purchase']} has no payment; restore a backup")
    return Sale(
        state=SaleState(row["state"]),
        token=token,
        authorization=authorization,
        signature=row["signature"],
        purchase=row["purchase"],
        remote=row["remote"],
        resource=row["resource"],
        input_text=row["input_text"],
        caller=row["caller"],
        since_block=row["since_block"],
        taken_at_s=row["taken_at_s"],
        transaction=row["transaction_hash"],
        output=row["output"],
        reason=row["reason"],
        receipt=receipt_of(row),
    )
