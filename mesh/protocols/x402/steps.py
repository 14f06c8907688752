"""What the machines ask of the world: each step says what is sent back into the generator.

A ledger that cannot be reached, and a frame or a settlement that gets no answer, are None: ordinary results, of which the
machines know what to do. A store that cannot be written ends the machine by its `StorageError`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from mesh.protocols.x402.records import Purchase, Sale
from mesh.protocols.x402.typed_data import Authorization


@dataclass(frozen=True, slots=True)
class TakeSale:
    """Write a new sale, and wait until it is on the disk. Sent back: `""`, or why not: its key was taken before, or too
    many sales are open."""

    sale: Sale


@dataclass(frozen=True, slots=True)
class KeepSale:
    """Write what became of a sale."""

    sale: Sale


@dataclass(frozen=True, slots=True)
class FindSale:
    """Sent back: the `Sale` with this nonce that this peer sent, or None."""

    remote: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class FindPurchase:
    """Sent back: the `Purchase` with this id, or None."""

    purchase: str


@dataclass(frozen=True, slots=True)
class KeepPurchase:
    """Write a purchase, new or known."""

    purchase: Purchase


@dataclass(frozen=True, slots=True)
class ReservePurchase:
    """Write an authorized purchase if caps allow it and its nonce was never authorized before, and wait until it is on
    the disk. Sent back: `""`, or why not."""

    purchase: Purchase


@dataclass(frozen=True, slots=True)
class Exchange:
    """One frame on a new stream to the seller. Sent back: `(kind, data)` of the answer, or None."""

    seller: bytes
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class SettleAnswer:
    """What a facilitator said; believed in nothing. ``transaction`` is 32 bytes, or None where it named none."""

    success: bool
    transaction: bytes | None
    reason: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Ask the facilitator to settle. Sent back: `SettleAnswer`, or None where none came."""

    sale: Sale


@dataclass(frozen=True, slots=True)
class ReadHead:
    """Sent back: a `Head` of the last seconds, or None. No block before it can hold what happens from now on."""


@dataclass(frozen=True, slots=True)
class ReadReceipt:
    """Sent back: the `TransactionReceipt`, or None where there is none yet or the ledger cannot be reached."""

    transaction: bytes


@dataclass(frozen=True, slots=True)
class ReadUse:
    """Sent back: `NonceUse` of payer and nonce, events looked for from a block on, or None."""

    authorization: Authorization
    since_block: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Let time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Worked:
    """The work ended: its output, or why it failed."""

    output: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """Do what was bought. Sent back: `Worked`."""

    resource: str
    input_text: str
    caller: str
    purchase: str


Step = (
    TakeSale
    | KeepSale
    | FindSale
    | FindPurchase
    | KeepPurchase
    | ReservePurchase
    | Exchange
    | Settle
    | ReadHead
    | ReadReceipt
    | ReadUse
    | Pause
    | Work
)

Answer = tuple[str, bytes]
"""A frame's type and data."""
Steps = Generator[Step, Any, Answer]
