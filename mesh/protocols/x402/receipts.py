"""Receipts: what a payee states about a sale, signed by the key that the money went to.

A refund record is a receipt that says `refund`: the payer paid, the work failed, the payee owes the amount. It is in the
seller's store, and with the error that the buyer gets; whoever has it can show it.
"""

from __future__ import annotations

from collections.abc import Callable

from mesh.errors import Malformed
from mesh.protocols.x402.amounts import MAX_INSTANT_S, Keccak, checksummed, read_hex, read_number
from mesh.protocols.x402.checks import Recover, Refused, read_signature
from mesh.protocols.x402.messages import ReceiptText
from mesh.protocols.x402.records import NOTHING, Outcome, Purchase, Sale, SaleReceipt
from mesh.protocols.x402.typed_data import SaleStatement, Token, statement_digest

Sign = Callable[[bytes], bytes]
"""Of a digest of 32 bytes a signature of 65, v of 27 or 28, by the owner's key, the same one every time."""
MAX_REASON_CHARACTERS = 500


def sign_receipt(sale: Sale, outcome: Outcome, now: float, keccak: Keccak, sign: Sign) -> SaleReceipt:
    """The receipt for a sale as it stands."""
    delivered = outcome is Outcome.DELIVERED
    authorization = sale.authorization
    statement = SaleStatement(
        outcome=outcome.value,
        purchase=sale.purchase,
        resource=sale.resource,
        payer=authorization.payer,
        payee=authorization.payee,
        amount=authorization.amount,
        nonce=authorization.nonce,
        transaction=sale.transaction or NOTHING,
        output_hash=keccak(sale.output.encode()) if delivered else NOTHING,
        reason=sale.reason[:MAX_REASON_CHARACTERS],
        at_s=int(now),
    )
    return SaleReceipt(statement, sale.token, sign(statement_digest(sale.token, statement, keccak)))


def check_receipt(receipt: SaleReceipt, keccak: Keccak, recover: Recover) -> bool:
    """Whether the payee that it names signed it."""
    digest = statement_digest(receipt.token, receipt.statement, keccak)
    return recover(digest, receipt.signature) == receipt.statement.payee


def receipt_for(
    purchase: Purchase, text: ReceiptText | None, keccak: Keccak, recover: Recover
) -> SaleReceipt | None:
    """A receipt as it came, if it is one for this purchase by the payee of its authorization; else None."""
    authorization, token = purchase.authorization, purchase.token
    if text is None or authorization is None or token is None:
        return None
    try:
        receipt = read_receipt(text, token)
    except (Malformed, Refused):
        return None
    statement = receipt.statement
    same = (
        statement.purchase == purchase.id
        and statement.resource == purchase.resource
        and statement.payer == authorization.payer
        and statement.payee == authorization.payee
        and statement.amount == authorization.amount
        and statement.nonce == authorization.nonce
    )
    return receipt if same and check_receipt(receipt, keccak, recover) else None


def receipt_text(receipt: SaleReceipt, keccak: Keccak) -> ReceiptText:
    """A receipt as it is sent and shown."""
    statement = receipt.statement
    return ReceiptText(
        outcome=statement.outcome,
        purchase=statement.purchase,
        resource=statement.resource,
        payer=checksummed(statement.payer, keccak),
        payee=checksummed(statement.payee, keccak),
        amount=str(statement.amount),
        network=receipt.token.network,
        asset=checksummed(receipt.token.address, keccak),
        nonce="0x" + statement.nonce.hex(),
        transaction="0x" + statement.transaction.hex(),
        output_hash="0x" + statement.output_hash.hex(),
        reason=statement.reason,
        at=statement.at_s,
        signature="0x" + receipt.signature.hex(),
    )


def read_receipt(text: ReceiptText, token: Token) -> SaleReceipt:
    """A receipt from its text, in the domain of ``token``; unchecked. Raises `Malformed` or `Refused`."""
    if text.network != token.network or read_hex(text.asset, 20, "asset") != token.address:
        raise Refused("the receipt is for another token")
    if text.outcome not in {outcome.value for outcome in Outcome}:
        raise Malformed("outcome", None, f"{text.outcome[:40]!r} is none")
    statement = SaleStatement(
        outcome=text.outcome,
        purchase=text.purchase,
        resource=text.resource,
        payer=read_hex(text.payer, 20, "payer"),
        payee=read_hex(text.payee, 20, "payee"),
        amount=read_number(text.amount, "amount"),
        nonce=read_hex(text.nonce, 32, "nonce"),
        transaction=read_hex(text.transaction, 32, "transaction"),
        output_hash=read_hex(text.output_hash, 32, "outputHash"),
        reason=text.reason[:MAX_REASON_CHARACTERS],
        at_s=read_number(str(text.at), "at", MAX_INSTANT_S),
    )
    return SaleReceipt(statement, token, read_signature(text.signature))
