"""A peer that stops in the middle of each step, on either side: nothing that was paid is lost, nothing is paid twice."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial

import pytest

from mesh.apps.market.payments import sales
from mesh.apps.market.payments import till as till_module
from mesh.apps.market.payments.driving import drive
from mesh.apps.market.payments.purse import Exchanging
from mesh.errors import Closed, StorageError
from mesh.protocols.x402 import messages
from mesh.protocols.x402.records import Purchase, PurchaseState, Sale, SaleState
from tests.apps.market.payments.conftest import BUYER_PEER, SELLER_PEER, Market
from tests.apps.market.payments.paying import authorized, challenge, paid_request

EXPIRY_S = 400


def stopping(market: Market, at: str, heard: bool, times: int = 1) -> Exchanging:
    """A way to the seller that breaks at a kind of frame: before the seller heard it, or before its answer came."""
    left = times

    async def exchange(kind: str, data: bytes) -> tuple[str, bytes]:
        nonlocal left
        breaks = kind == at and left > 0
        if breaks and not heard:
            left -= 1
            raise Closed("the connection broke")
        answer = await market.till.answer(kind, data, BUYER_PEER)
        if breaks:
            left -= 1
            raise Closed("the connection broke")
        return answer

    return exchange


@pytest.mark.parametrize("heard", [False, True])
async def test_before_anything_was_signed(market: Market, heard: bool) -> None:
    bought = await market.buy(exchange=stopping(market, messages.REQUEST, heard))
    assert (bought.state, bought.authorization) == (PurchaseState.REFUSED, None)
    assert await market.paid() == 0


@pytest.mark.parametrize("heard", [False, True])
async def test_as_the_payment_leaves(market: Market, heard: bool) -> None:
    """The payment that got lost is sent again, the very same; the output that got lost is asked for."""
    bought = await market.buy(exchange=stopping(market, messages.PAID_REQUEST, heard))
    assert (bought.state, bought.output, bought.settled) == (PurchaseState.DELIVERED, "echo: 2+2", True)
    assert await market.paid() == 1000
    assert len(market.shop.done) == 1


@pytest.mark.parametrize("heard", [False, True])
async def test_for_good_as_the_payment_leaves(market: Market, heard: bool) -> None:
    """The seller is gone: the ledger tells, at once or when the authorization is over."""

    async def gone(kind: str, data: bytes) -> tuple[str, bytes]:
        if kind == messages.REQUEST or (heard and kind == messages.PAID_REQUEST):
            answer = await market.till.answer(kind, data, BUYER_PEER)
            if kind == messages.REQUEST:
                return answer
        raise Closed("the connection broke")

    bought = await market.buy(exchange=gone)
    assert bought.state is (PurchaseState.PAID if heard else PurchaseState.UNKNOWN)
    assert await market.purse.spent_today() == 1000
    market.pass_time(EXPIRY_S)
    assert await market.purse.reconcile() == []
    found = await market.purse.find(bought.id)
    assert found is not None
    assert found.state is (PurchaseState.PAID if heard else PurchaseState.UNPAID)
    assert found.settled is heard
    assert await market.purse.spent_today() == (1000 if heard else 0)
    assert await market.paid() == (1000 if heard else 0)


async def test_a_buyer_that_leaves_during_the_work(market: Market) -> None:
    """The sale is finished all the same, and the output is there for it."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def gate() -> None:
        began.set()
        await go_on.wait()

    market.shop.gate = gate
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer)
    stream = asyncio.create_task(market.till.answer(messages.PAID_REQUEST, paid.write(), BUYER_PEER))
    await began.wait()
    stream.cancel()
    claim = messages.Claim("1.0", "p", asked.challenge_nonce).write()
    kind, data = await market.till.answer(messages.CLAIM, claim, BUYER_PEER)
    error = messages.ErrorMessage.read(data)
    assert (error.error_code, "under way" in error.message) == (messages.SETTLEMENT_FAILED, True)
    go_on.set()
    while kind == messages.ERROR:
        await asyncio.sleep(0.01)
        kind, data = await market.till.answer(messages.CLAIM, claim, BUYER_PEER)
    assert b"receipt" in data
    assert len(market.shop.done) == 1


async def test_work_that_takes_longer_than_a_stream(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(till_module, "ANSWER_LIMIT_S", 0.5)
    go_on = asyncio.Event()
    market.shop.gate = go_on.wait
    bought = await market.buy()
    assert (bought.state, bought.settled) == (PurchaseState.PAID, True)
    go_on.set()
    while bought.state is not PurchaseState.DELIVERED:
        await asyncio.sleep(0.01)
        bought = await market.buy(purchase_id=bought.id)
    assert bought.output == "echo: 2+2"
    assert await market.paid() == 1000


async def test_work_that_fails_leaves_a_refund_record_on_both_sides(market: Market) -> None:
    market.shop.failure = "out of paper"
    bought = await market.buy()
    assert (bought.state, bought.settled) == (PurchaseState.PAID, True)
    assert "3000 EXECUTION_FAILED: out of paper" in bought.reason
    assert bought.receipt is not None
    [sale] = await market.till.sales(state=SaleState.REFUND)
    assert sale.receipt == bought.receipt
    statement = bought.receipt.statement
    assert (statement.outcome, statement.reason) == ("refund", "out of paper")
    assert (statement.payer, statement.payee, statement.amount) == (
        market.buyer.address,
        market.seller.address,
        1000,
    )
    assert statement.transaction == bought.transaction
    again = await market.buy(purchase_id=bought.id)
    assert again == bought
    assert len(market.shop.done) == 1


async def test_an_output_that_fits_no_frame_is_a_refund(market: Market) -> None:
    market.shop.output = "\x00" * 2_000_000
    bought = await market.buy()
    assert bought.receipt is not None
    assert bought.receipt.statement.outcome == "refund"


async def test_an_output_is_kept_for_a_day(market: Market) -> None:
    bought = await market.buy(exchange=stopping(market, messages.PAID_REQUEST, heard=True))
    assert bought.authorization is not None
    await market.sold.run(partial(sales.forget, now_s=time.time() + 90_000))
    claim = messages.Claim("1.0", bought.id, bought.authorization.nonce.hex()).write()
    kind, data = await market.till.answer(messages.CLAIM, claim, BUYER_PEER)
    assert kind == messages.ERROR
    error = messages.ErrorMessage.read(data)
    assert (error.error_code, error.message) == (messages.NONCE_EXPIRED, sales.NOT_KEPT)
    assert error.receipt is not None
    assert error.receipt.outcome == "delivered"


async def test_a_sale_that_ended_after_it_was_read_is_not_worked_on_again(market: Market) -> None:
    """Recovery holds a list of open sales while it asks for the first of them."""
    read = await sale_as_it_was_taken(market)
    recovered = await drive(market.till._seller.recover(read), market.till._perform)
    assert recovered.state is SaleState.DONE
    assert len(market.shop.done) == 1


async def sale_as_it_was_taken(market: Market) -> Sale:
    """A sale that was delivered, as it was read before that."""
    bought = await market.buy()
    assert bought.state is PurchaseState.DELIVERED
    [sale] = await market.till.sales()
    return replace(sale, state=SaleState.TAKEN, transaction=None, output="", receipt=None)


async def test_a_purchase_that_went_on_after_it_was_read_is_not_refused(market: Market) -> None:
    bought = await market.buy()
    read = replace(bought, state=PurchaseState.INTENDED, authorization=None, token=None)
    assert await market.purse._resolve(read) == bought
    assert await market.purse.find(bought.id) == bought


async def test_a_store_that_cannot_be_written_stops_a_sale_before_it_is_settled(market: Market) -> None:
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer)
    await market.sold.run(lambda database: database.execute("DROP TABLE sales").rowcount)
    kind, data = await market.till.answer(messages.PAID_REQUEST, paid.write(), BUYER_PEER)
    assert kind == messages.ERROR
    assert "store cannot be written" in messages.ErrorMessage.read(data).message
    assert await market.paid() == 0
    assert market.shop.done == []


async def test_a_store_that_cannot_be_written_is_told_by_reconciliation(market: Market) -> None:
    await market.buy(exchange=stopping(market, messages.PAID_REQUEST, heard=False, times=2))
    await market.bought.run(
        lambda database: (
            database.execute(
                "CREATE TRIGGER stuck BEFORE UPDATE ON purchases BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            ).rowcount
        )
    )
    market.pass_time(EXPIRY_S)
    with pytest.raises(StorageError, match="disk full"):
        await market.purse.reconcile()


async def test_a_purchase_is_reconciled_by_itself(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """The purse finds out without being asked; what it reaches the seller by is given at its making."""
    from mesh.apps.market.payments import purse as purse_module
    from mesh.apps.market.payments.purse import Purse
    from tests.protocols.x402.vectors import USDC

    monkeypatch.setattr(purse_module, "RECONCILE_INTERVAL_S", 0.01)
    async with Purse(
        market.bought,
        USDC,
        wallet=market.buyer,
        ledger=market.ledger,
        reach=lambda peer: market.exchange(),
    ) as purse:
        lost = stopping(market, messages.PAID_REQUEST, heard=True)
        both = stopping(market, messages.CLAIM, heard=False, times=3)

        async def exchange(kind: str, data: bytes) -> tuple[str, bytes]:
            return await (lost if kind != messages.CLAIM else both)(kind, data)

        bought = await purse.buy(SELLER_PEER, "agent", "2+2", 5000, exchange)
        assert bought.state is PurchaseState.PAID
        delivered: list[Purchase] = []
        while not delivered:
            await asyncio.sleep(0.01)
            delivered = await purse.purchases(state=PurchaseState.DELIVERED)
    assert await market.paid() == 1000
