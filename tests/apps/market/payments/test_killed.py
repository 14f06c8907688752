"""`kill -9` of a real seller and a real buyer at each step of a purchase, over a real connection and a real chain."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.market.payments import purchases, sales
from mesh.apps.market.payments.store import FILE_NAME, PaymentStore
from mesh.apps.market.payments.wallet import recover
from mesh.protocols.x402.receipts import check_receipt
from mesh.protocols.x402.records import Purchase, PurchaseState, SaleState
from tests.apps.market.payments import killed
from tests.apps.market.payments.conftest import Market, Markets
from tests.protocols.x402.vectors import keccak

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([killed.__name__])
START_S = 60.0
EXPIRY_S = 400


@dataclass
class Living:
    """A process, and what it told."""

    process: ForkServerProcess
    told: Connection

    async def hear(self) -> tuple[str, Any] | None:
        """What it tells next; None when it is dead."""
        try:
            async with asyncio.timeout(START_S):
                return await asyncio.to_thread(self._receive)
        except TimeoutError:
            raise AssertionError("a process says nothing") from None

    def _receive(self) -> tuple[str, Any] | None:
        try:
            if not self.told.poll(START_S):
                return None
            found: tuple[str, Any] = self.told.recv()
        except (EOFError, OSError):
            return None
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.told.close()


def start(work: Callable[[killed.Place, Connection], None], place: killed.Place) -> Living:
    told, tell = _context.Pipe(duplex=False)
    process = _context.Process(target=work, args=(place, tell), daemon=True)
    process.start()
    tell.close()
    return Living(process, told)


async def run_case(market: Market, folder: Path, dying: str, step: int, after: bool) -> str:
    """One purchase with one kill; the step at which it came, or `""` when there are fewer steps."""
    place = killed.Place(folder / "seller", market.chain.url, market.facilitator.url)

    def may_die(name: str, living: killed.Place) -> killed.Place:
        return replace(living, kill_at=step, after=after) if name == dying else living

    seller = start(killed.sell, may_die("seller", place))
    where = ""
    buyer = None
    try:
        address = await heard(seller, "address")
        own = killed.Place(folder / "buyer", market.chain.url, address=address)
        buyer = start(killed.buy, may_die("buyer", own))
        victim = {"seller": seller, "buyer": buyer}[dying]
        where = await until_killed(victim, buyer)
        if where:
            victim.end()
            if dying == "seller":
                seller = start(killed.sell, place)
                address = await heard(seller, "address")
            buyer.end()
            market.pass_time(EXPIRY_S)
            buyer = start(killed.buy, replace(own, address=address))
            await until_resolved(buyer)
        await until_closed(seller)
    finally:
        seller.end()
        if buyer is not None:
            buyer.end()
    return where


async def heard(living: Living, wanted: str) -> Any:
    while True:
        found = await living.hear()
        assert found is not None, "the process died"
        if found[0] == wanted:
            return found[1]


async def until_killed(victim: Living, buyer: Living) -> str:
    """Where the victim died; `""` when the purchase came to its end first."""
    while True:
        found = await victim.hear()
        if found is None:
            raise AssertionError("the process died by itself")
        if found[0] == "killed":
            return str(found[1])
        if victim is buyer:
            if resolved(found[1]):
                return ""
        elif buyer.told.poll():
            told = buyer._receive()
            if told is None or resolved(told[1]):
                return ""


def resolved(purchase: Purchase) -> bool:
    ended = (PurchaseState.DELIVERED, PurchaseState.UNPAID)
    refunded = purchase.state is PurchaseState.PAID and purchase.receipt is not None
    return (
        purchase.state is PurchaseState.REFUSED
        or refunded
        or (purchase.settled is not None and purchase.state in ended)
    )


async def until_resolved(buyer: Living) -> Purchase:
    while True:
        found = await buyer.hear()
        assert found is not None, "the buyer died"
        if resolved(found[1]):
            purchase: Purchase = found[1]
            return purchase


async def until_closed(seller: Living) -> None:
    while await heard(seller, "open"):
        pass


async def audit(market: Market, folder: Path) -> PurchaseState:
    """What must hold, whatever died: one purchase, in a state that the chain and both stores agree on."""
    async with PaymentStore(folder / "buyer" / FILE_NAME) as bought:
        [purchase] = await bought.run(purchases.newest)
    async with PaymentStore(folder / "seller" / FILE_NAME) as sold:
        all_sales = await sold.run(sales.newest)
    paid = await market.paid()
    works = (
        (folder / "seller" / "work").read_text().split("\n")[:-1]
        if (folder / "seller" / "work").exists()
        else []
    )
    assert len(works) <= 1
    assert len(all_sales) <= 1
    if purchase.state is PurchaseState.REFUSED:
        assert (paid, works, all_sales, purchase.authorization) == (0, [], [], None)
        return purchase.state
    assert paid == (1000 if purchase.settled else 0)
    for sale in all_sales:
        assert sale.state in (SaleState.DONE, SaleState.REFUND) if paid else sale.state is SaleState.VOID
        assert sale.receipt is not None
        assert check_receipt(sale.receipt, keccak, recover)
    if purchase.state is PurchaseState.DELIVERED:
        assert (paid, len(works), purchase.output) == (1000, 1, f"echo: {killed.INPUT}")
    elif purchase.state is PurchaseState.PAID:
        assert [sale.state for sale in all_sales] == [SaleState.REFUND]
        assert purchase.receipt is not None
        assert purchase.receipt.statement.outcome == "refund"
    else:
        assert (purchase.state, paid, works) == (PurchaseState.UNPAID, 0, [])
    return purchase.state


@pytest.mark.parametrize(
    ("dying", "step", "after", "where", "ends"),
    [
        ("buyer", 4, True, "after Exchange", PurchaseState.DELIVERED),
        ("seller", 2, True, "after Settle", PurchaseState.DELIVERED),
        ("seller", 5, True, "after Work", PurchaseState.PAID),
    ],
)
async def test_a_process_is_killed_where_it_matters(
    markets: Markets,
    tmp_path: Path,
    dying: str,
    step: int,
    after: bool,
    where: str,
    ends: PurchaseState,
) -> None:
    market = await markets.open()
    assert await run_case(market, tmp_path / "case", dying, step, after) == where
    assert await audit(market, tmp_path / "case") is ends


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("dying", ["buyer", "seller"])
async def test_a_process_is_killed_at_each_step(
    markets: Markets, tmp_path: Path, dying: str, after: bool
) -> None:
    """Steps are counted up until a purchase has no more of them."""
    places: list[tuple[str, str]] = []
    for step in range(40):
        market = await markets.open_beside(str(step))
        folder = tmp_path / f"case-{step}"
        where = await run_case(market, folder, dying, step, after)
        places.append((where, (await audit(market, folder)).value))
        if not where:
            break
    else:
        pytest.fail("a purchase has no end of steps")
    assert places[-1] == ("", "delivered")
    assert len(places) >= 7, places
