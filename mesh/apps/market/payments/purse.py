"""Buying, and finding out what became of a purchase.

`Purse.buy` is given a way to put one frame to the seller and hear one back, on a new stream each time. Whatever it raises
is an answer that did not come.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from mesh.apps.market.payments import purchases
from mesh.apps.market.payments.driving import ask_ledger, drive
from mesh.apps.market.payments.ledger import Ledger
from mesh.apps.market.payments.rules import Caps
from mesh.apps.market.payments.store import PaymentStore
from mesh.apps.market.payments.wallet import Wallet, keyless
from mesh.errors import MeshError, StorageError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.network.scope import Scope
from mesh.protocols.x402.buyer import Buyer, BuyerTerms
from mesh.protocols.x402.records import Purchase, PurchaseState
from mesh.protocols.x402.seller import MAX_ID_CHARACTERS
from mesh.protocols.x402.steps import (
    Answer,
    Exchange,
    FindPurchase,
    KeepPurchase,
    Pause,
    ReadHead,
    ReadReceipt,
    ReadUse,
    ReservePurchase,
    Step,
)
from mesh.protocols.x402.typed_data import Token

log = logging.getLogger(__name__)

Exchanging = Callable[[str, bytes], Awaitable[Answer]]
"""Puts `(kind, data)` to the seller on a new stream and gives the frame that answers."""
Reach = Callable[[PeerId], Exchanging]
"""A way to exchange frames with a seller."""

EXCHANGE_LIMIT_S: Final = 30.0
RECONCILE_INTERVAL_S: Final = 5.0
LONGEST_WAIT_S: Final = 3600.0
MAX_AT_ONCE: Final = 16


class Purse:
    """A buyer's purse, for the length of an `async with`. Without wallet or ledger it takes only what is free."""

    def __init__(
        self,
        store: PaymentStore,
        token: Token,
        *,
        wallet: Wallet | None = None,
        ledger: Ledger | None = None,
        caps: Caps | None = None,
        caller: str = "",
        reach: Reach | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``caller`` is the name that sellers are told; with ``reach`` sellers are asked for what was lost."""
        self._store = store
        self._ledger = ledger
        self._caps = caps or Caps()
        self._caller = caller
        self._reach = reach
        self._clock = clock
        terms = None
        if wallet is not None and ledger is not None:
            terms = BuyerTerms(token, wallet.address)
        crypto = keyless() if wallet is None else wallet.crypto()
        self._buyer = Buyer(terms, clock, crypto)
        self._scope = Scope("purse")
        self._under_way: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._bought = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._scope.spawn(self._reconcile_always(), "reconciliation of purchases")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._scope.close()

    async def buy(
        self,
        seller: PeerId,
        resource: str,
        input_text: str,
        limit: int,
        exchange: Exchanging,
        purchase_id: str | None = None,
    ) -> Purchase:
        """Buy for at most ``limit`` atomic units. What could not be had is a state of the purchase, not an error.

        The same ``purchase_id`` again is the same purchase: nothing more is signed, what became of it is found out.
        Raises `UsageError` where that is another purchase, or is under way; `StorageError`.
        """
        purchase = Purchase(
            purchase_id or str(uuid.uuid4()),
            PurchaseState.INTENDED,
            bytes(seller),
            resource,
            input_text,
            self._caller,
            limit,
            self._clock(),
        )
        if not purchase.id.strip() or len(purchase.id) > MAX_ID_CHARACTERS:
            raise UsageError(f"the id of a purchase has 1 to {MAX_ID_CHARACTERS} characters")
        if purchase.id in self._under_way:
            raise UsageError(f"the purchase {purchase.id} is under way")
        self._under_way.add(purchase.id)
        try:
            known = None if purchase_id is None else await self.find(purchase_id)
            if known is None:
                machine = self._buyer.buy(purchase)
            elif (known.seller, known.resource, known.input_text) == (
                purchase.seller,
                resource,
                input_text,
            ):
                machine = self._buyer.resolve(known)
            else:
                raise UsageError(f"{purchase_id} is another purchase already; choose another id")
            return await drive(machine, partial(self._perform, exchange))
        finally:
            self._under_way.discard(purchase.id)
            self._bought.set()

    async def find(self, purchase_id: str) -> Purchase | None:
        """The purchase with this id. Raises `StorageError`."""
        return await self._store.run(partial(purchases.find, purchase_id=purchase_id))

    async def purchases(self, at_most: int = 100, state: PurchaseState | None = None) -> list[Purchase]:
        """What was bought, the newest first. Raises `StorageError`."""
        return await self._store.run(partial(purchases.newest, at_most=at_most, state=state))

    async def spent_today(self) -> int:
        """Atomic units that were, or may have been, spent on this day of UTC. Raises `StorageError`."""
        return await self._store.run(partial(purchases.spent_on, at_s=self._clock()))

    async def reconcile(self) -> list[Purchase]:
        """Find out what became of every purchase that is not resolved: those that are not resolved still."""
        return await self._reconcile(await self._unresolved())

    async def _unresolved(self) -> list[Purchase]:
        return await self._store.run(partial(purchases.unresolved, now_s=self._clock()))

    async def _reconcile(self, unresolved: list[Purchase]) -> list[Purchase]:
        turns = asyncio.Semaphore(MAX_AT_ONCE)

        async def resolve(purchase: Purchase) -> Purchase:
            async with turns:
                return await self._resolve(purchase)

        left = []
        for found in await asyncio.gather(*map(resolve, unresolved), return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
            if not _resolved(found):
                left.append(found)
        return left

    async def _resolve(self, purchase: Purchase) -> Purchase:
        if purchase.id in self._under_way:
            return purchase
        self._under_way.add(purchase.id)
        try:
            exchange = None if self._reach is None else self._reach(PeerId(purchase.seller))
            return await drive(self._buyer.resolve(purchase), partial(self._perform, exchange))
        finally:
            self._under_way.discard(purchase.id)

    async def _reconcile_always(self) -> None:
        """Each purchase after a while, and then at growing waits: a seller that is gone is not dialled for ever."""
        while True:
            self._bought.clear()
            unresolved: list[Purchase] = []
            try:
                now = self._clock()
                unresolved = await self._unresolved()
                self._not_before = {each.id: self._not_before.get(each.id, 0.0) for each in unresolved}
                due = [each for each in unresolved if self._not_before[each.id] <= now]
                for each in due:
                    age_s = max(0.0, now - each.created_at_s)
                    self._not_before[each.id] = now + min(age_s / 4, LONGEST_WAIT_S)
                await self._reconcile(due)
            except StorageError as error:
                log.error("purchases cannot be reconciled: %s", error)
            if not unresolved:
                await self._bought.wait()
            await asyncio.sleep(RECONCILE_INTERVAL_S)

    async def _perform(self, exchange: Exchanging | None, step: Step) -> Any:
        match step:
            case FindPurchase(purchase_id):
                return await self.find(purchase_id)
            case KeepPurchase(purchase):
                await self._store.run(partial(purchases.keep, purchase=purchase))
            case ReservePurchase(purchase):
                work = partial(purchases.reserve, purchase=purchase, caps=self._caps)
                return await self._store.run(work, on_disk=True)
            case Exchange(_, kind, data):
                return None if exchange is None else await _exchanged(exchange, kind, data)
            case ReadHead() | ReadReceipt() | ReadUse():
                return await ask_ledger(self._ledger, step)
            case Pause(seconds):
                await asyncio.sleep(seconds)
        return None


def _resolved(purchase: Purchase) -> bool:
    return not purchase.state.open and purchase.state is not PurchaseState.INTENDED


async def _exchanged(exchange: Exchanging, kind: str, data: bytes) -> Answer | None:
    try:
        async with asyncio.timeout(EXCHANGE_LIMIT_S):
            return await exchange(kind, data)
    except (MeshError, TimeoutError) as error:
        log.info("a seller did not answer %s: %s", kind, error)
        return None
