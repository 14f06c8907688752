"""From a sale that was taken to what the ledger makes of it (sections 3.8, 3.9; promise 3 of the package).

The facilitator is asked again only while it gave no answer, at the waits of the stock network: 1, 2, 4 and 8 seconds,
and within a limit that leaves the buyer time to hear of it. A transaction that it names is looked for until then.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from mesh.protocols.x402.evidence import Finding, NonceUse, TransactionReceipt, Verdict, found, proves
from mesh.protocols.x402.records import Sale
from mesh.protocols.x402.steps import Pause, ReadReceipt, ReadUse, Settle, SettleAnswer, Step

SETTLE_LIMIT_S: Final = 20.0
_RETRY_WAITS_S: Final = (1.0, 2.0, 4.0, 8.0)
_FIRST_LOOK_S: Final = 0.1
_LONGEST_LOOK_S: Final = 2.0

Looking = Generator[Step, Any, tuple[Finding, str]]


def settle(sale: Sale, clock: Callable[[], float]) -> Looking:
    """Have a sale settled: what the ledger says then, and in words what the facilitator said."""
    until = clock() + SETTLE_LIMIT_S
    said = "the facilitator did not answer"
    for wait_s in (*_RETRY_WAITS_S, None):
        answer: SettleAnswer | None = yield Settle(sale)
        if answer is None:
            finding = yield from look(sale)
        elif answer.transaction is None:
            said = f"the facilitator refused: {answer.reason or 'no reason given'}"
            finding = yield from look(sale)
        else:
            said = f"the facilitator named 0x{answer.transaction.hex()}"
            finding = yield from _watch(sale, answer.transaction, until, clock)
        if finding.verdict is not Verdict.OPEN or answer is not None:
            return finding, said
        if wait_s is None or clock() + wait_s >= until:
            break
        yield Pause(wait_s)
    return finding, said


def look(sale: Sale) -> Generator[Step, Any, Finding]:
    """What the ledger says of a sale; OPEN also where it cannot be reached."""
    use: NonceUse | None = yield ReadUse(sale.authorization, sale.since_block)
    return Finding(Verdict.OPEN) if use is None else found(use, sale.token, sale.authorization)


def _watch(
    sale: Sale, transaction: bytes, until: float, clock: Callable[[], float]
) -> Generator[Step, Any, Finding]:
    """Wait for a transaction that was named; then, whatever it is, the state of the nonce decides."""
    wait_s = _FIRST_LOOK_S
    while True:
        receipt: TransactionReceipt | None = yield ReadReceipt(transaction)
        if receipt is not None:
            if receipt.transaction == transaction and proves(receipt, sale.token, sale.authorization):
                return Finding(Verdict.PAID, transaction)
            return (yield from look(sale))
        if clock() + wait_s >= until:
            return (yield from look(sale))
        yield Pause(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_LOOK_S)
