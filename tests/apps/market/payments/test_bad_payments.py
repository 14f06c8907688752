"""Payments that are not what was asked for, and payers that cheat on the chain: refused, by the recorded codes."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from mesh.apps.market.payments.wallet import Wallet
from mesh.development.rpc_caller import RpcCaller
from mesh.protocols.x402 import messages
from mesh.protocols.x402.messages import (
    NONCE_MISMATCH,
    REQUIRED,
    SETTLEMENT_FAILED,
)
from mesh.protocols.x402.records import SaleState
from mesh.protocols.x402.typed_data import Authorization, Token
from tests.apps.market.payments.conftest import Market, Markets
from tests.apps.market.payments.paying import authorized, challenge, paid_request, pay, refused
from tests.protocols.x402.vectors import USDC, keccak

STRANGER = Wallet(b"\x33" * 32)


# -- bad payments ----------------------------------------------------------------------------------------------------


async def test_payments_for_another_chain_token_payee_or_amount(market: Market) -> None:
    now = time.time()
    for number, (change, token, reason) in enumerate(
        [
            ({}, Token(8453, USDC.address), "network mismatch"),
            ({}, Token(84532, b"\x44" * 20), "signer mismatch"),
            ({}, Token(84532, USDC.address, "Other"), "signer mismatch"),
            ({"payee": STRANGER.address}, USDC, "payTo mismatch"),
            ({"amount": 999}, USDC, "amount mismatch"),
            ({"amount": 1001}, USDC, "amount mismatch"),
            ({"valid_before": int(now) - 1}, USDC, "authorization expired"),
            ({"valid_after": int(now) + 60}, USDC, "not yet valid"),
            ({"valid_before": 2**64}, USDC, "validBefore"),
            ({"valid_before": int(now) + 4000}, USDC, "valid for more than 3600 s"),
            ({"payer": STRANGER.address}, USDC, "signer mismatch"),
        ]
    ):
        purchase = f"p{number}"
        asked = await challenge(market, purchase)
        signed = replace(authorized(market, asked, now), **change)  # type: ignore[arg-type]
        paid = paid_request(purchase, signed, market.buyer, token=token)
        await refused(market, paid, SETTLEMENT_FAILED, reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"value": "1000.0"},
        {"value": "0x3e8"},
        {"valid_after": "soon"},
        {"valid_before": "-1"},
        {"payer": "0x1"},
        {"payee": ""},
        {"nonce": "0x" + "ab" * 31},
    ],
)
async def test_texts_that_say_something_else_than_what_was_signed(
    market: Market, changes: dict[str, Any]
) -> None:
    asked = await challenge(market, "p")
    paid = paid_request("p", authorized(market, asked, time.time()), market.buyer, **changes)
    code = NONCE_MISMATCH if "nonce" in changes else SETTLEMENT_FAILED
    await refused(market, paid, code, "")


async def test_a_bad_signature_burns_nobodys_nonce(markets: Markets) -> None:
    market = await markets.open(preemptive=True)
    own = Authorization(
        market.buyer.address, market.seller.address, 1000, 0, int(time.time()) + 60, b"n" * 32
    )
    forged = paid_request("p", own, STRANGER, server_nonce="preemptive")
    await refused(market, forged, SETTLEMENT_FAILED, "signer mismatch")
    kind, _ = await pay(market, paid_request("p", own, market.buyer, server_nonce="preemptive"))
    assert kind == messages.RESPONSE


async def test_a_nonce_is_its_32_bytes_in_whatever_case(markets: Markets) -> None:
    market = await markets.open(preemptive=True)
    own = Authorization(
        market.buyer.address, market.seller.address, 1000, 0, int(time.time()) + 60, b"\xab" * 32
    )
    kind, _ = await pay(market, paid_request("p", own, market.buyer, server_nonce="preemptive"))
    assert kind == messages.RESPONSE
    again = paid_request("q", own, market.buyer, server_nonce="preemptive", nonce="0X" + "AB" * 32)
    await refused(market, again, SETTLEMENT_FAILED, "nonce already used")


async def test_preemptive_payments_are_refused_unless_allowed(market: Market) -> None:
    own = Authorization(
        market.buyer.address, market.seller.address, 1000, 0, int(time.time()) + 60, b"n" * 32
    )
    await refused(
        market, paid_request("p", own, market.buyer, server_nonce="preemptive"), REQUIRED, "pre-emptive"
    )


async def test_a_payer_without_money(market: Market) -> None:
    asked = await challenge(market, "p")
    poor = replace(authorized(market, asked, time.time()), payer=STRANGER.address)
    await refused(market, paid_request("p", poor, STRANGER), SETTLEMENT_FAILED, "insufficient_funds")


async def test_a_payer_that_uses_the_nonce_for_itself(market: Market) -> None:
    """The nonce is used on the chain before the seller settles: by a transfer to somebody else."""
    asked = await challenge(market, "p")
    honest = authorized(market, asked, time.time())
    other = replace(honest, payee=STRANGER.address, amount=1)
    caller = RpcCaller(market.chain.url)
    await settle_by_hand(market, caller, other)
    await refused(
        market, paid_request("p", honest, market.buyer), SETTLEMENT_FAILED, "used for something else"
    )
    [sale] = await market.till.sales()
    assert sale.state is SaleState.VOID


async def test_a_payment_that_somebody_else_settled_first_is_a_payment(market: Market) -> None:
    asked = await challenge(market, "p")
    honest = authorized(market, asked, time.time())
    await settle_by_hand(market, RpcCaller(market.chain.url), honest)
    kind, _ = await pay(market, paid_request("p", honest, market.buyer))
    assert kind == messages.RESPONSE
    assert await market.paid() == 1000


async def settle_by_hand(market: Market, caller: RpcCaller, authorization: Authorization) -> None:
    """Have another facilitator settle what the buyer signed."""
    from mesh.apps.market.payments.facilitator import payload_of, settle_body
    from mesh.development.facilitator import Facilitator
    from mesh.protocols.x402.seller import requirements_for
    from mesh.protocols.x402.typed_data import authorization_digest

    other = Facilitator(caller)
    try:
        await other.start()
        signature = market.buyer.sign(authorization_digest(USDC, authorization, keccak))
        requirements = requirements_for(USDC, authorization.payee, authorization.amount, keccak)
        body = json.loads(settle_body(payload_of(authorization, signature, keccak), requirements))
        answer = await other.settle(body)
        assert answer["success"], answer
    finally:
        await caller.close()
