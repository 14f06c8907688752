"""What the rows of both sides have in common: the token, the authorization, the receipt."""

from __future__ import annotations

import json
from typing import Any, Final

from mesh.errors import StorageError
from mesh.protocols.x402.records import SaleReceipt
from mesh.protocols.x402.typed_data import Authorization, SaleStatement, Token

PAYMENT_COLUMNS: Final = """
    chain_id INTEGER,
    asset BLOB,
    token_name TEXT,
    token_version TEXT,
    payer BLOB,
    payee BLOB,
    amount INTEGER NOT NULL,
    valid_after INTEGER,
    valid_before INTEGER,
    nonce BLOB,
    since_block INTEGER NOT NULL,
    transaction_hash BLOB,
    receipt TEXT
"""
"""Numbers in atomic units and Unix seconds, hashes and addresses as bytes, the receipt as JSON."""


def token_columns(token: Token | None) -> dict[str, Any]:
    """The columns of a token, or of none."""
    if token is None:
        return dict.fromkeys(("chain_id", "asset", "token_name", "token_version"))
    return {
        "chain_id": token.chain_id,
        "asset": token.address,
        "token_name": token.name,
        "token_version": token.version,
    }


def authorization_columns(authorization: Authorization | None) -> dict[str, Any]:
    """The columns of an authorization but its amount, or of none."""
    if authorization is None:
        return dict.fromkeys(("payer", "payee", "valid_after", "valid_before", "nonce"))
    return {
        "payer": authorization.payer,
        "payee": authorization.payee,
        "valid_after": authorization.valid_after,
        "valid_before": authorization.valid_before,
        "nonce": authorization.nonce,
    }


def token_of(row: dict[str, Any]) -> Token | None:
    """The token of a row."""
    if row["chain_id"] is None:
        return None
    return Token(row["chain_id"], row["asset"], row["token_name"], row["token_version"])


def authorization_of(row: dict[str, Any]) -> Authorization | None:
    """The authorization of a row."""
    if row["nonce"] is None:
        return None
    return Authorization(
        row["payer"], row["payee"], row["amount"], row["valid_after"], row["valid_before"], row["nonce"]
    )


def write_receipt(receipt: SaleReceipt | None) -> str | None:
    """What the column of a receipt holds; the token is that of the row."""
    if receipt is None:
        return None
    statement = receipt.statement
    return json.dumps(
        {
            "outcome": statement.outcome,
            "purchase": statement.purchase,
            "resource": statement.resource,
            "payer": statement.payer.hex(),
            "payee": statement.payee.hex(),
            "amount": statement.amount,
            "nonce": statement.nonce.hex(),
            "transaction": statement.transaction.hex(),
            "output_hash": statement.output_hash.hex(),
            "reason": statement.reason,
            "at_s": statement.at_s,
            "signature": receipt.signature.hex(),
        }
    )


def receipt_of(row: dict[str, Any]) -> SaleReceipt | None:
    """The receipt of a row. Raises `StorageError` for one that cannot be read."""
    token = token_of(row)
    if row["receipt"] is None or token is None:
        return None
    try:
        held = json.loads(row["receipt"])
        statement = SaleStatement(
            outcome=held["outcome"],
            purchase=held["purchase"],
            resource=held["resource"],
            payer=bytes.fromhex(held["payer"]),
            payee=bytes.fromhex(held["payee"]),
            amount=held["amount"],
            nonce=bytes.fromhex(held["nonce"]),
            transaction=bytes.fromhex(held["transaction"]),
            output_hash=bytes.fromhex(held["output_hash"]),
            reason=held["reason"],
            at_s=held["at_s"],
        )
        return SaleReceipt(statement, token, bytes.fromhex(held["signature"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"the receipt of a payment cannot be read: {error!r}; restore a backup") from None


def insert(table: str, values: dict[str, Any]) -> str:
    """The statement that adds a row."""
    return f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(':' + key for key in values)})"


def update(table: str, values: dict[str, Any], keys: tuple[str, ...]) -> str:
    """The statement that writes a row anew."""
    changes = ", ".join(f"{key} = :{key}" for key in values if key not in keys)
    return f"UPDATE {table} SET {changes} WHERE {' AND '.join(f'{key} = :{key}' for key in keys)}"
