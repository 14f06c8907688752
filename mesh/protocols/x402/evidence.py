"""What the chain says about an authorization, and what follows from it (EIP-3009; promise 3 of the package).

A token tells the use of a nonce by an event, and moves the amount right behind it. Reading "used" as "paid" would take
for a payment: a cancelled authorization, a second one with the same nonce to another payee, the one transfer of another
sale in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

from mesh.protocols.x402.typed_data import Authorization, Token

TRANSFER_TOPIC: Final = bytes.fromhex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")
"""keccak of `Transfer(address,address,uint256)`."""
USED_TOPIC: Final = bytes.fromhex("98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5")
"""keccak of `AuthorizationUsed(address,bytes32)`."""
CANCELED_TOPIC: Final = bytes.fromhex("1cdd46ff242716cdaa72d159d339a485b3438398348d68f09d7c8c0a59353d81")
"""keccak of `AuthorizationCanceled(address,bytes32)`."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a contract told in a transaction: its address of 20 bytes, topics of 32."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    """A transaction that is in the chain; events in the order in which they happened. ``transaction`` is 32 bytes."""

    transaction: bytes
    succeeded: bool
    block: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block: its number, and its time in Unix seconds."""

    number: int
    time_s: int


@dataclass(frozen=True, slots=True)
class NonceUse:
    """Whether a nonce was used as of a block, and the transactions in which the token says so. They may be missing where
    the ledger finds no events; that proves nothing."""

    head: Head
    used: bool
    receipts: tuple[TransactionReceipt, ...] = ()


class Verdict(Enum):
    """What became of an authorization."""

    PAID = "paid"
    USED_OTHERWISE = "used otherwise"
    """Cancelled, or used for another transfer: it will never pay this one."""
    EXPIRED = "expired"
    """Unused at a block that is too late for it."""
    OPEN = "open"
    """Unused, and may still be used; or used, and nobody found where."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, with the transaction of 32 bytes where one decided it."""

    verdict: Verdict
    transaction: bytes | None = None


def proves(receipt: TransactionReceipt, token: Token, authorization: Authorization) -> bool:
    """Whether this transaction moved the amount by this authorization."""
    if not receipt.succeeded:
        return False
    told = [event for event in receipt.events if event.address == token.address]
    use = _use_topics(USED_TOPIC, authorization)
    wanted = (TRANSFER_TOPIC, authorization.payer.rjust(32, b"\0"), authorization.payee.rjust(32, b"\0"))
    amount = authorization.amount.to_bytes(32, "big")
    return any(
        first.topics == use and second.topics == wanted and second.data == amount
        for first, second in pairwise(told)
    )


def found(use: NonceUse, token: Token, authorization: Authorization) -> Finding:
    """What follows from the state of the nonce."""
    if not use.used:
        late = use.head.time_s >= authorization.valid_before
        return Finding(Verdict.EXPIRED if late else Verdict.OPEN)
    ends = (_use_topics(USED_TOPIC, authorization), _use_topics(CANCELED_TOPIC, authorization))
    elsewhere = None
    for receipt in use.receipts:
        if proves(receipt, token, authorization):
            return Finding(Verdict.PAID, receipt.transaction)
        if receipt.succeeded and any(
            event.address == token.address and event.topics in ends for event in receipt.events
        ):
            elsewhere = receipt.transaction
    return Finding(Verdict.OPEN) if elsewhere is None else Finding(Verdict.USED_OTHERWISE, elsewhere)


def _use_topics(kind: bytes, authorization: Authorization) -> tuple[bytes, ...]:
    return (kind, authorization.payer.rjust(32, b"\0"), authorization.nonce)
