"""Runs a machine of `mesh.protocols.x402` on the loop: each step is performed, and what came of it sent back."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from mesh.apps.market.payments.ledger import Ledger
from mesh.errors import NetworkError
from mesh.protocols.x402.evidence import Head, NonceUse, TransactionReceipt
from mesh.protocols.x402.steps import ReadHead, ReadReceipt, ReadUse, Step

log = logging.getLogger(__name__)

T = TypeVar("T")


async def drive(machine: Generator[Step, Any, T], perform: Callable[[Step], Awaitable[Any]]) -> T:
    """The end of a machine. What `perform` raises goes through the machine, which puts itself in order."""
    try:
        step = next(machine)
        while True:
            try:
                came = await perform(step)
            except BaseException as error:
                machine.throw(error)
                raise
            step = machine.send(came)
    except StopIteration as end:
        result: T = end.value
        return result


async def ask_ledger(
    ledger: Ledger | None, step: ReadHead | ReadReceipt | ReadUse
) -> Head | TransactionReceipt | NonceUse | None:
    """What the ledger says; None where it cannot be reached, or makes no sense."""
    if ledger is None:
        return None
    try:
        match step:
            case ReadHead():
                return await ledger.recent_head()
            case ReadReceipt(transaction):
                return await ledger.receipt(transaction)
            case ReadUse(authorization, since_block):
                payer, nonce = authorization.payer, authorization.nonce
                head = await ledger.head()
                if not await ledger.authorization_state(payer, nonce, head.number):
                    return NonceUse(head, False)
                receipts = []
                for transaction in await ledger.authorization_transactions(payer, nonce, since_block):
                    receipt = await ledger.receipt(transaction)
                    if receipt is not None:
                        receipts.append(receipt)
                return NonceUse(head, True, tuple(receipts))
    except NetworkError as error:
        log.info("the ledger does not answer: %s", error)
        return None
