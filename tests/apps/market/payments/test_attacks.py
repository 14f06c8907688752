"""The published attack classes on x402 and other bad payers and sellers, by name, against a real private chain.

Each ends with what the chain says was paid and with what the shop did.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from mesh.apps.market.payments.rules import Caps
from mesh.apps.market.payments.wallet import Wallet
from mesh.protocols.x402 import messages
from mesh.protocols.x402.messages import (
    EXECUTION_FAILED,
    INVALID_MESSAGE,
    NONCE_EXPIRED,
    NONCE_MISMATCH,
    REQUIRED,
    SETTLEMENT_FAILED,
)
from mesh.protocols.x402.records import PurchaseState, SaleState
from mesh.protocols.x402.typed_data import Authorization
from tests.apps.market.payments.conftest import BUYER_PEER, SELLER_PEER, THIEF_PEER, Market, Markets
from tests.apps.market.payments.paying import authorized, challenge, paid_request, pay, refused
from tests.protocols.x402.vectors import USDC

STRANGER = Wallet(b"\x33" * 32)


# -- the published classes -------------------------------------------------------------------------------------------


async def test_substituted_resource(market: Market) -> None:
    """A payment for the cheap resource, and the dear one in the body."""
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer, resource="dear")
    await refused(market, paid, SETTLEMENT_FAILED, "resource mismatch: expected 'agent', got 'dear'")


async def test_substituted_resource_of_the_same_price(market: Market) -> None:
    market.shop.prices["other"] = 1000
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer, resource="other")
    await refused(market, paid, SETTLEMENT_FAILED, "resource mismatch")


async def test_double_settlement_by_signing_again(market: Market) -> None:
    """A seller that was paid claims it was not, and asks for another signature for the same purchase."""
    lost: list[str] = []

    async def denying(kind: str, data: bytes) -> tuple[str, bytes]:
        answer = await market.till.answer(kind, data, BUYER_PEER)
        if kind in (messages.PAID_REQUEST, messages.CLAIM):
            lost.append(kind)
            return messages.error_answer(SETTLEMENT_FAILED, "not paid; sign again", "p")
        return answer

    first = await market.buy(purchase_id="p", exchange=denying)
    assert (first.state, first.settled) == (PurchaseState.PAID, True)
    again = await market.buy(purchase_id="p", exchange=denying)
    assert again.authorization == first.authorization
    assert lost.count(messages.PAID_REQUEST) == 1
    assert await market.paid() == 1000
    honest = await market.buy(purchase_id="p")
    assert (honest.state, honest.output) == (PurchaseState.DELIVERED, "echo: 2+2")
    assert await market.paid() == 1000


async def test_double_settlement_by_a_twin_of_the_signature(market: Market) -> None:
    """n - s signs the same with the other v: it is not taken, and the nonce stays one nonce."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer)
    assert paid.payment.payload is not None
    raw = bytes.fromhex(paid.payment.payload.signature[2:])
    twin = raw[:32] + (order - int.from_bytes(raw[32:64])).to_bytes(32, "big") + bytes((55 - raw[64],))
    payload = replace(paid.payment.payload, signature="0x" + twin.hex())
    await refused(
        market,
        replace(paid, payment=replace(paid.payment, payload=payload)),
        SETTLEMENT_FAILED,
        "s is in the upper half",
    )


async def test_delivery_before_settlement(market: Market) -> None:
    """The facilitator says paid, the chain does not: nothing is done."""
    market.faults("lie-paid")
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mesh.protocols.x402.settling.SETTLE_LIMIT_S", 1.0)
        await refused(market, paid, SETTLEMENT_FAILED, "the ledger does not show the payment yet")


async def test_free_riding_by_replay(market: Market) -> None:
    """The same payment once more: by the buyer, by another peer, under another challenge."""
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer)
    kind, _ = await pay(market, paid)
    assert kind == messages.RESPONSE
    await refused(market, paid, NONCE_EXPIRED, "challenge not found")
    kind, answer = await pay(market, paid, THIEF_PEER)
    assert (kind, answer.error_code) == (messages.ERROR, NONCE_EXPIRED)
    await challenge(market, "p")
    await refused(market, paid, NONCE_MISMATCH, "nonce mismatch")
    assert await market.paid() == 1000
    assert len(market.shop.done) == 1


async def test_free_riding_by_claim(market: Market) -> None:
    """Who read the frames asks for the output that another peer paid for."""
    asked = await challenge(market, "p")
    await pay(market, paid_request("p", authorized(market, asked, time.time()), market.buyer))
    claim = messages.Claim("1.0", "p", asked.challenge_nonce).write()
    kind, _ = await market.till.answer(messages.CLAIM, claim, THIEF_PEER)
    assert kind == messages.ERROR
    kind, data = await market.till.answer(messages.CLAIM, claim, BUYER_PEER)
    assert kind == messages.RESPONSE
    assert b"receipt" in data
    assert len(market.shop.done) == 1


async def test_free_riding_by_race(market: Market) -> None:
    """One payment on many streams at once."""
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer)
    answers = await asyncio.gather(*(pay(market, paid) for _ in range(8)))
    assert [kind for kind, _ in answers].count(messages.RESPONSE) == 1
    assert len(market.shop.done) == 1
    assert await market.paid() == 1000


async def test_free_riding_by_race_of_preemptive_payments(markets: Markets) -> None:
    market = await markets.open(preemptive=True)
    own = Authorization(
        market.buyer.address, market.seller.address, 1000, 0, int(time.time()) + 60, b"n" * 32
    )
    paid = [paid_request(f"p{n}", own, market.buyer, server_nonce="preemptive") for n in range(6)]
    answers = await asyncio.gather(*(pay(market, each) for each in paid))
    assert [kind for kind, _ in answers].count(messages.RESPONSE) == 1
    assert {answer.error_code for kind, answer in answers if kind == messages.ERROR} == {SETTLEMENT_FAILED}
    assert len(market.shop.done) == 1
    assert await market.paid() == 1000


async def test_a_preemptive_nonce_that_the_chain_has_seen(markets: Markets) -> None:
    """A seller whose store was lost does not sell again for what was paid once."""
    market = await markets.open(preemptive=True)
    own = Authorization(
        market.buyer.address, market.seller.address, 1000, 0, int(time.time()) + 60, b"n" * 32
    )
    await pay(market, paid_request("p", own, market.buyer, server_nonce="preemptive"))
    await market.sold.run(lambda database: database.execute("DELETE FROM sales").rowcount)
    again = paid_request("q", own, market.buyer, server_nonce="preemptive")
    await refused(market, again, SETTLEMENT_FAILED, "nonce already used")


def changing(**changes: Any) -> Callable[[Market], Callable[[str, bytes], Awaitable[tuple[str, bytes]]]]:
    """A seller whose challenges are other ones than its till makes."""

    def make(market: Market) -> Callable[[str, bytes], Awaitable[tuple[str, bytes]]]:
        async def exchange(kind: str, data: bytes) -> tuple[str, bytes]:
            kind, data = await market.till.answer(kind, data, BUYER_PEER)
            if kind != messages.PAYMENT_REQUIRED:
                return kind, data
            asked = messages.PaymentRequired.read(data)
            own = {key: value for key, value in changes.items() if hasattr(asked, key)}
            terms = {key: value for key, value in changes.items() if key not in own}
            requirements = replace(asked.payment_requirements, **terms)
            return kind, replace(asked, **{"payment_requirements": requirements, **own}).write()

        return exchange

    return make


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": "5001"}, "the limit of this call is 5000"),
        ({"amount": "-1"}, "no decimal number"),
        ({"amount": "0"}, "asks for nothing"),
        ({"amount": "1" + "0" * 70}, "more than"),
        ({"scheme": "upto"}, "scheme"),
        ({"network": "eip155:8453"}, "chain"),
        ({"network": "eip155:1"}, "chain"),
        ({"asset": "0x" + "44" * 20}, "another token"),
        ({"asset": "0x44"}, "cannot be read"),
        ({"extra": messages.Domain("Other", "2")}, "signing domain"),
        ({"pay_to": "0x" + "00" * 20}, "pays 0x0"),
        ({"pay_to": "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"}, "pays 0x2c"),
        ({"challenge_nonce": "ab"}, "cannot be read"),
        ({"challenge_expires_at": 1}, "expired"),
        ({"correlation_id": "another"}, "another request"),
        ({"seller_did": "dear"}, "another resource"),
    ],
)
async def test_over_signing(market: Market, changes: dict[str, Any], reason: str) -> None:
    """A challenge that asks for more, or for something else, is not signed."""
    bought = await market.buy(exchange=changing(**changes)(market))
    assert bought.state is PurchaseState.REFUSED
    assert bought.authorization is None
    assert reason in bought.reason
    assert await market.paid() == 0


async def test_over_signing_in_time(market: Market) -> None:
    """A signature is good for five minutes at most, whatever the seller asks for."""
    bought = await market.buy(exchange=changing(max_timeout_s=10**9)(market))
    assert bought.state is PurchaseState.DELIVERED
    assert bought.authorization is not None
    assert bought.authorization.valid_before - bought.created_at_s <= 301


async def test_over_signing_by_many_challenges(markets: Markets) -> None:
    """Caps hold over calls, and over what is unknown as well as what is paid."""
    market = await markets.open(caps=Caps(call=1000, peer_day=2500, day=3500))
    states = [(await market.buy()).state for _ in range(3)]
    assert states == [PurchaseState.DELIVERED, PurchaseState.DELIVERED, PurchaseState.REFUSED]
    dear = await market.buy("dear", limit=100_000)
    assert (dear.state, "one call" in dear.reason) == (PurchaseState.REFUSED, True)
    other = await market.purse.buy(THIEF_PEER, "agent", "2+2", 5000, market.exchange())
    assert other.state is PurchaseState.DELIVERED
    assert "one day" in (await market.purse.buy(BUYER_PEER, "agent", "2+2", 5000, market.exchange())).reason
    assert await market.purse.spent_today() == 3000
    assert await market.paid() == 3000


async def test_over_signing_at_once(markets: Markets) -> None:
    market = await markets.open(caps=Caps(day=3000))
    bought = await asyncio.gather(*(market.buy() for _ in range(8)))
    assert [each.state for each in bought].count(PurchaseState.DELIVERED) == 3
    assert await market.paid() == 3000


async def test_a_nonce_is_not_signed_for_two_purchases(market: Market) -> None:
    """A seller gives the same challenge to two purchases."""
    nonce = "ab" * 32
    exchange = changing(challenge_nonce=nonce)(market)
    first = await market.buy(exchange=exchange)
    assert first.state is PurchaseState.UNKNOWN
    second = await market.buy(exchange=exchange)
    assert second.state is PurchaseState.REFUSED
    assert "signed for another purchase" in second.reason


# -- bad facilitators and ledgers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["late:0.3", "slow:0.3", "lost", "unheard", "duplicate", "lie-failed", "down", "garbage", "bomb"]
)
async def test_a_facilitator_that_fails_costs_nothing_and_the_ledger_decides(
    market: Market, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.protocols.x402.settling._RETRY_WAITS_S", (0.01, 0.01))
    market.faults(fault)
    bought = await market.buy()
    assert bought.state is PurchaseState.DELIVERED, bought.reason
    assert await market.paid() == 1000
    assert len(market.shop.done) == 1


async def test_a_facilitator_that_names_another_payment(market: Market) -> None:
    first = await market.buy()
    market.faults("lie-other")
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer)
    await refused(market, paid, SETTLEMENT_FAILED, first.tx_hash)


async def test_a_facilitator_that_is_gone(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.protocols.x402.settling._RETRY_WAITS_S", (0.01, 0.01))
    market.faults("down", "down", "down")
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer)
    await refused(market, paid, SETTLEMENT_FAILED, "did not answer")
    [sale] = await market.till.sales()
    assert sale.state is SaleState.TAKEN
    market.pass_time(400)
    assert await market.till.recover() == 0
    [sale] = await market.till.sales()
    assert sale.state is SaleState.VOID
    assert await market.paid() == 0


async def test_a_ledger_that_is_gone_stops_sales_and_purchases(market: Market) -> None:
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer)
    market.chain.chain.plan = replace(market.chain.chain.plan, chain_id=1)
    market.ledger._verified, market.ledger._head = False, None
    kind, answer = await pay(market, paid)
    assert (kind, answer.error_code) == (messages.ERROR, SETTLEMENT_FAILED)
    assert "ledger cannot be reached" in answer.message
    bought = await market.buy()
    assert (bought.state, "ledger cannot be reached" in bought.reason) == (PurchaseState.REFUSED, True)
    assert market.shop.done == []


# -- bad messages ----------------------------------------------------------------------------------------------------


BOMBS = (
    b"",
    b"null x",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"payment":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"body":"' + b"!" * 1000 + b'"}',
    b'{"correlation_id":"' + b"x" * 100_000 + b'"}',
    b'{"caller_did":"' + b"x" * 100_000 + b'"}',
    b'{"payment":{"x402_version":1e400}}',
    b'{"payment":{"x402_version":' + b"9" * 10_000 + b"}}",
)


@pytest.mark.parametrize("kind", [messages.REQUEST, messages.PAID_REQUEST, messages.CLAIM])
async def test_json_bombs(market: Market, kind: str) -> None:
    for data in BOMBS:
        answer, found = await market.till.answer(kind, data, BUYER_PEER)
        assert answer == messages.ERROR
        error = messages.ErrorMessage.read(found)
        assert error.error_code in (INVALID_MESSAGE, EXECUTION_FAILED, NONCE_EXPIRED)
        assert len(found) < 2000
    assert market.shop.done == []


async def test_a_seller_that_answers_nonsense(market: Market) -> None:
    answers = [
        ("x402.hello", b"{}"),
        (messages.RESPONSE, b"[]"),
        (messages.PAYMENT_REQUIRED, b"[" * 10_000),
        (messages.ERROR, b"null x"),
    ]
    for kind, data in answers:

        async def nonsense(
            _kind: str, _data: bytes, answer: tuple[str, bytes] = (kind, data)
        ) -> tuple[str, bytes]:
            return answer

        bought = await market.purse.buy(SELLER_PEER, "agent", "2+2", 5000, nonsense)
        assert bought.state is PurchaseState.REFUSED
        assert len(bought.reason) <= 500
    assert await market.purse.reconcile() == []


async def test_a_seller_without_payments(markets: Markets) -> None:
    """It answers where the stock one dies."""
    from mesh.apps.market.payments.till import Till

    market = await markets.open()
    async with Till(market.shop, market.sold, USDC) as till:
        request = messages.Request("1.0", "p", "agent", "execute", body=b"{}")
        kind, data = await till.answer(messages.REQUEST, request.write(), BUYER_PEER)
        assert messages.ErrorMessage.read(data).error_code == REQUIRED
        free = messages.Request("1.0", "p", "free", "execute", body=b'{"input":"a"}')
        kind, data = await till.answer(messages.REQUEST, free.write(), BUYER_PEER)
        assert kind == messages.RESPONSE
        own = Authorization(
            market.buyer.address, market.seller.address, 1000, 0, int(time.time()) + 60, b"n" * 32
        )
        paid = paid_request("p", own, market.buyer)
        kind, data = await till.answer(messages.PAID_REQUEST, paid.write(), BUYER_PEER)
        assert messages.ErrorMessage.read(data).error_code == messages.PAYMENT_INVALID
