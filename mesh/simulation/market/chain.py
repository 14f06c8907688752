"""The ledger of a run: a token of EIP-3009 on a chain that makes a block every two seconds.

Nothing on it goes wrong: what goes wrong is the way to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh.protocols.x402.evidence import (
    CANCELED_TOPIC,
    TRANSFER_TOPIC,
    USED_TOPIC,
    Event,
    Head,
    NonceUse,
    TransactionReceipt,
)
from mesh.protocols.x402.typed_data import Authorization, Token
from mesh.simulation.market.agenda import Agenda

BLOCK_S: Final = 2
EPOCH_S: Final = 1_795_176_000
"""When the world begins, in Unix seconds."""

Key = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Transfer:
    """What moved by an authorization."""

    payer: bytes
    payee: bytes
    amount: int
    nonce: bytes
    transaction: bytes


class ModelChain:
    """Transactions wait for the next block; one that is refused then is in it all the same, as a failed one."""

    def __init__(self, world: Agenda, token: Token) -> None:
        self._world = world
        self.token = token
        self.transfers: list[Transfer] = []
        self.used: dict[Key, TransactionReceipt] = {}
        self._receipts: dict[bytes, TransactionReceipt] = {}
        self._sent = 0

    # -- reading -----------------------------------------------------------------------------------------------------

    def head(self) -> Head:
        number = self._world.now_ms // (1000 * BLOCK_S)
        return Head(number, EPOCH_S + BLOCK_S * number)

    def receipt(self, transaction: bytes) -> TransactionReceipt | None:
        return self._receipts.get(transaction)

    def nonce_use(self, authorization: Authorization) -> NonceUse:
        receipt = self.used.get((authorization.payer, authorization.nonce))
        return NonceUse(self.head(), receipt is not None, () if receipt is None else (receipt,))

    # -- writing -----------------------------------------------------------------------------------------------------

    def send_transfer(self, authorization: Authorization, signed: bool) -> bytes:
        """A transaction that calls `transferWithAuthorization`; its hash."""
        return self._send(lambda hash_, number: self._transfer(authorization, signed, hash_, number))

    def send_cancel(self, payer: bytes, nonce: bytes) -> bytes:
        """A transaction that cancels an authorization, signed by its payer; its hash."""
        return self._send(lambda hash_, number: self._cancel(payer, nonce, hash_, number))

    def _send(self, run: Callable[[bytes, int], TransactionReceipt]) -> bytes:
        self._sent += 1
        transaction = hashlib.sha256(b"transaction %d" % self._sent).digest()
        block_ms = 1000 * BLOCK_S
        mined_ms = (self._world.now_ms // block_ms + 1) * block_ms

        def mine() -> None:
            self._receipts[transaction] = run(transaction, mined_ms // block_ms)

        self._world.at(mined_ms, mine)
        return transaction

    def _transfer(
        self, authorization: Authorization, signed: bool, transaction: bytes, number: int
    ) -> TransactionReceipt:
        key = authorization.payer, authorization.nonce
        time_s = EPOCH_S + BLOCK_S * number
        timely = authorization.valid_after < time_s < authorization.valid_before
        if not signed or not timely or key in self.used:
            return TransactionReceipt(transaction, False, number, ())
        self.transfers.append(
            Transfer(
                authorization.payer,
                authorization.payee,
                authorization.amount,
                authorization.nonce,
                transaction,
            )
        )
        payer, payee = authorization.payer.rjust(32, b"\0"), authorization.payee.rjust(32, b"\0")
        events = (
            Event(self.token.address, (USED_TOPIC, payer, authorization.nonce), b""),
            Event(
                self.token.address,
                (TRANSFER_TOPIC, payer, payee),
                authorization.amount.to_bytes(32, "big"),
            ),
        )
        receipt = TransactionReceipt(transaction, True, number, events)
        self.used[key] = receipt
        return receipt

    def _cancel(self, payer: bytes, nonce: bytes, transaction: bytes, number: int) -> TransactionReceipt:
        if (payer, nonce) in self.used:
            return TransactionReceipt(transaction, False, number, ())
        event = Event(self.token.address, (CANCELED_TOPIC, payer.rjust(32, b"\0"), nonce), b"")
        receipt = TransactionReceipt(transaction, True, number, (event,))
        self.used[payer, nonce] = receipt
        return receipt
