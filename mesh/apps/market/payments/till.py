"""The seller's side of `/x402/libp2p/1.0.0`: from a frame to the frame that answers it.

A sale, once taken, is a task of the till and not of the stream that brought it: it goes on when the buyer leaves, and
what a crash or a silent ledger left open is taken up again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, Self

from mesh.apps.market.payments import sales
from mesh.apps.market.payments.driving import ask_ledger, drive
from mesh.apps.market.payments.facilitator import Facilitator, settlement_of
from mesh.apps.market.payments.ledger import Ledger
from mesh.apps.market.payments.store import PaymentStore
from mesh.apps.market.payments.wallet import Wallet, keyless
from mesh.errors import NetworkError, PaymentError, StorageError
from mesh.identity.peer_id import PeerId
from mesh.network.scope import Scope
from mesh.protocols.x402 import messages
from mesh.protocols.x402.records import Sale, SaleState
from mesh.protocols.x402.seller import Seller, SellerTerms
from mesh.protocols.x402.steps import (
    Answer,
    FindSale,
    KeepSale,
    Pause,
    ReadHead,
    ReadReceipt,
    ReadUse,
    Settle,
    SettleAnswer,
    Step,
    TakeSale,
    Work,
    Worked,
)
from mesh.protocols.x402.typed_data import Token

log = logging.getLogger(__name__)

ANSWER_LIMIT_S: Final = 28.0
"""Stock buyers wait 30 s for a stream."""
RECOVER_INTERVAL_S: Final = 5.0
MAX_UNDER_WAY: Final = 1024
GOES_ON: Final = "the purchase goes on; ask for it with mesh.claim"
BUSY: Final = "too many purchases are under way here; try again later"


class WorkFailed(PaymentError):  # noqa: N818 - an outcome of work, told to the buyer
    """The work could not be done; the text is told to who bought it."""

    code = "work-failed"


class Shop(Protocol):
    """What is sold."""

    def price(self, resource: str) -> int | None:
        """In atomic units; 0 is free, None is not here."""
        ...

    async def run(self, resource: str, input_text: str, caller: str, purchase_id: str) -> str:
        """Do the work and give its output. Raises `WorkFailed`."""
        ...


class Till:
    """A seller's till, for the length of an `async with`. Payments are off where wallet, ledger or facilitator is None:
    then only free work is done."""

    def __init__(
        self,
        shop: Shop,
        store: PaymentStore,
        token: Token,
        *,
        wallet: Wallet | None = None,
        ledger: Ledger | None = None,
        facilitator: Facilitator | None = None,
        preemptive: bool = False,
        clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        on_ended: Callable[[Sale], None] | None = None,
    ) -> None:
        """``on_ended`` hears of every sale that came to an end; of ``entropy`` challenges are made."""
        self._shop = shop
        self._store = store
        self._ledger = ledger
        self._facilitator = facilitator
        self._on_ended = on_ended
        terms = None
        if wallet is not None and ledger is not None and facilitator is not None:
            terms = SellerTerms(token, wallet.address, preemptive)
        self._crypto = replace(keyless() if wallet is None else wallet.crypto(), entropy=entropy)
        self._seller = Seller(terms, shop.price, clock, self._crypto)
        self._recovers = terms is not None
        self._scope = Scope("till")
        self._under_way = 0
        self._clock = clock
        self._took = asyncio.Event()
        self.refusals: Counter[int] = Counter()
        """Errors that were answered, by code."""

    async def __aenter__(self) -> Self:
        if self._recovers:
            self._scope.spawn(self._recover_always(), "recovery of sales")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._scope.close()

    async def answer(self, kind: str, data: bytes, remote: PeerId) -> Answer:
        """The frame that answers a frame of a peer. Raises nothing for what the peer did."""
        if self._under_way >= MAX_UNDER_WAY:
            return messages.error_answer(messages.SETTLEMENT_FAILED, BUSY)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._under_way += 1
        task = self._scope.spawn(self._answer(kind, data, remote, answered), "a sale")
        await asyncio.wait((task,), timeout=ANSWER_LIMIT_S)
        if answered.done():
            return answered.result()
        if task.done():
            return messages.error_answer(messages.INVALID_MESSAGE, "the seller failed; see its log")
        return messages.error_answer(messages.SETTLEMENT_FAILED, GOES_ON)

    async def recover(self) -> int:
        """Take up every sale that is open and not under way: how many are open still."""
        unfinished = await self._store.run(sales.unfinished)
        waiting = any(sale.state is SaleState.TAKEN for sale in unfinished)
        silent = waiting and await ask_ledger(self._ledger, ReadHead()) is None
        left = 0
        for sale in unfinished:
            asks = sale.state is SaleState.TAKEN
            if sale.key not in self._seller.under_way and not (asks and silent):
                sale = await drive(self._seller.recover(sale), self._perform)
            left += not sale.state.ended
        return left

    async def sales(self, at_most: int = 100, state: SaleState | None = None) -> list[Sale]:
        """What was sold, the newest first; with REFUND what is owed. Raises `StorageError`."""
        return await self._store.run(partial(sales.newest, at_most=at_most, state=state))

    async def _answer(self, kind: str, data: bytes, remote: PeerId, answered: asyncio.Future[Answer]) -> None:
        try:
            answer = await drive(self._seller.answer(kind, data, bytes(remote)), self._perform)
        except StorageError as error:
            log.error("a sale cannot be kept: %s", error)
            answer = messages.error_answer(messages.INVALID_MESSAGE, "the seller's store cannot be written")
        finally:
            self._under_way -= 1
        self._note(kind, answer, remote)
        if not answered.done():
            answered.set_result(answer)

    def _note(self, kind: str, answer: Answer, remote: PeerId) -> None:
        """Count and log a refusal; what others do wrong is told at info."""
        if answer[0] == messages.ERROR:
            error = messages.ErrorMessage.read(answer[1])
            self.refusals[error.error_code] += 1
            log.info(
                "%s of %s, purchase %.128r: %d %s",
                kind[:32],
                remote,
                error.correlation_id,
                error.error_code,
                error.message,
            )

    async def _recover_always(self) -> None:
        while True:
            self._took.clear()
            left = 1
            try:
                left = await self.recover()
                await self._store.run(partial(sales.forget, now_s=self._clock()))
            except StorageError as error:
                log.error("sales cannot be recovered: %s", error)
            if not left:
                await self._took.wait()
            await asyncio.sleep(RECOVER_INTERVAL_S)

    async def _perform(self, step: Step) -> Any:
        match step:
            case TakeSale(sale):
                self._took.set()
                return await self._store.run(partial(sales.take, sale=sale), on_disk=True)
            case KeepSale(sale):
                await self._store.run(partial(sales.keep, sale=sale))
                self._tell(sale)
            case FindSale(remote, nonce):
                return await self._store.run(partial(sales.find, remote=remote, nonce=nonce))
            case Settle(sale):
                return await self._settle(sale)
            case ReadHead() | ReadReceipt() | ReadUse():
                return await ask_ledger(self._ledger, step)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Work(resource, input_text, caller, purchase):
                try:
                    return Worked(await self._shop.run(resource, input_text, caller, purchase))
                except WorkFailed as failure:
                    return Worked("", str(failure) or "the work failed")
        return None

    async def _settle(self, sale: Sale) -> SettleAnswer | None:
        assert self._facilitator is not None
        try:
            return await self._facilitator.settle(*settlement_of(sale, self._crypto.keccak))
        except NetworkError as error:
            log.info("a settlement got no answer: %s", error)
            return None

    def _tell(self, sale: Sale) -> None:
        if sale.state.ended:
            if sale.state is SaleState.REFUND:
                log.warning("sale %s was paid and failed: a refund is owed: %s", sale.purchase, sale.reason)
            if self._on_ended is not None:
                self._on_ended(sale)
