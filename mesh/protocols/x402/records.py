"""What is kept of a sale and of a purchase, and the receipt that a payee signs. A store writes them as they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mesh.protocols.x402.typed_data import Authorization, SaleStatement, Token

NOTHING: Final = bytes(32)


class SaleState(Enum):
    """Where a sale stands; the values are kept on disk."""

    TAKEN = "taken"
    """The signature is good and the nonce ours; it may be settled or not."""
    RUNNING = "running"
    """Paid; the work is begun."""
    DONE = "done"
    """Paid, and the output is there for the peer that bought; with a reason it was, and is kept no longer."""
    REFUND = "refund"
    """Paid, and the work failed: the payee owes the amount, and signed that."""
    VOID = "void"
    """Not paid, and never will be."""

    @property
    def ended(self) -> bool:
        return self in _SALE_ENDS


_SALE_ENDS: Final = frozenset((SaleState.DONE, SaleState.REFUND, SaleState.VOID))


class PurchaseState(Enum):
    """Where a purchase stands; the values are kept on disk."""

    INTENDED = "intended"
    """The id is fixed; nothing was signed."""
    REFUSED = "refused"
    """Ended before anything was signed."""
    AUTHORIZED = "authorized"
    """The authorization is on disk: from here on money may move."""
    UNKNOWN = "unknown"
    """It left, and what came back settles nothing."""
    DELIVERED = "delivered"
    """The output is here."""
    PAID = "paid"
    """The ledger says that it was paid; no output came."""
    UNPAID = "unpaid"
    """The ledger says that it was not paid and never can be."""

    @property
    def open(self) -> bool:
        """Whether money may still move, as far as is known."""
        return self in (PurchaseState.AUTHORIZED, PurchaseState.UNKNOWN)


class Outcome(Enum):
    """What a receipt states."""

    DELIVERED = "delivered"
    REFUND = "refund"
    """Paid and not delivered: the payee owes the amount."""
    UNPAID = "unpaid"


@dataclass(frozen=True, slots=True)
class SaleReceipt:
    """A statement about a sale and the payee's signature of 65 bytes over it, in the domain of the token."""

    statement: SaleStatement
    token: Token
    signature: bytes


@dataclass(frozen=True, slots=True)
class Sale:
    """A payment that was taken. Its key is payer and nonce of the authorization; times are Unix seconds."""

    state: SaleState
    token: Token
    authorization: Authorization
    signature: bytes
    """65 bytes, v of 27 or 28."""
    purchase: str
    """The buyer's id for it: the correlation id."""
    remote: bytes
    """The peer that sent it, to whom alone the outcome is told."""
    resource: str
    input_text: str
    caller: str
    since_block: int
    """No block before it can hold the settlement."""
    taken_at_s: float
    transaction: bytes | None = None
    output: str = ""
    reason: str = ""
    receipt: SaleReceipt | None = None

    @property
    def key(self) -> tuple[bytes, bytes]:
        return self.authorization.payer, self.authorization.nonce


@dataclass(frozen=True, slots=True)
class Purchase:
    """One purchase; what a caller is given, and what is kept. Amounts are atomic units, times Unix seconds.

    ``settled`` is what the ledger says, None while it was not asked or had nothing to say. A free one has no
    authorization and an amount of 0.
    """

    id: str
    state: PurchaseState
    seller: bytes
    resource: str
    input_text: str
    caller: str
    limit: int
    created_at_s: float
    amount: int = 0
    token: Token | None = None
    authorization: Authorization | None = None
    since_block: int = 0
    transaction: bytes | None = None
    output: str = ""
    reason: str = ""
    receipt: SaleReceipt | None = None
    settled: bool | None = None

    @property
    def tx_hash(self) -> str:
        """The transaction in text, `""` where none is known."""
        return "" if self.transaction is None else "0x" + self.transaction.hex()
