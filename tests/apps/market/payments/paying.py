"""A payer that does what it likes: challenges asked for, payments made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mesh.apps.market.payments.wallet import Wallet
from mesh.identity.peer_id import PeerId
from mesh.protocols.x402 import messages
from mesh.protocols.x402.amounts import checksummed
from mesh.protocols.x402.seller import Body
from mesh.protocols.x402.typed_data import Authorization, Token, authorization_digest
from tests.apps.market.payments.conftest import BUYER_PEER, Market
from tests.protocols.x402.vectors import USDC, keccak


async def challenge(
    market: Market, purchase: str, resource: str = "agent", peer: PeerId = BUYER_PEER
) -> messages.PaymentRequired:
    """Ask for a price."""
    request = messages.Request(
        "1.0", purchase, resource, "execute", body=Body("2+2", resource).write(), caller_did="did:key:me"
    )
    kind, data = await market.till.answer(messages.REQUEST, request.write(), peer)
    assert kind == messages.PAYMENT_REQUIRED, data
    return messages.PaymentRequired.read(data)


def authorized(market: Market, asked: messages.PaymentRequired, now: float) -> Authorization:
    """What an honest payer would sign."""
    return Authorization(
        market.buyer.address,
        market.seller.address,
        int(asked.payment_requirements.amount),
        int(now) - 5,
        int(now) + 60,
        bytes.fromhex(asked.challenge_nonce),
    )


def paid_request(
    purchase: str,
    authorization: Authorization,
    wallet: Wallet,
    *,
    server_nonce: str | None = None,
    resource: str = "agent",
    token: Token = USDC,
    **changes: Any,
) -> messages.PaidRequest:
    """A payment for a challenge; ``changes`` are other texts in its authorization, not signed."""
    signature = wallet.sign(authorization_digest(token, authorization, keccak))
    text = messages.AuthorizationText(
        checksummed(authorization.payer, keccak),
        checksummed(authorization.payee, keccak),
        str(authorization.amount),
        str(authorization.valid_after),
        str(authorization.valid_before),
        "0x" + authorization.nonce.hex(),
    )
    payload = messages.Payload("0x" + signature.hex(), replace(text, **changes))
    nonce = authorization.nonce.hex() if server_nonce is None else server_nonce
    envelope = messages.Envelope(2, "exact", token.network, nonce, text.payer, payload)
    body = Body("2+2", resource).write()
    return messages.PaidRequest("1.0", purchase, envelope, body, "did:key:me")


async def pay(market: Market, paid: messages.PaidRequest, peer: PeerId = BUYER_PEER) -> tuple[str, Any]:
    """Put a payment to the till: the kind of its answer, and the answer."""
    kind, data = await market.till.answer(messages.PAID_REQUEST, paid.write(), peer)
    reader = messages.ErrorMessage if kind == messages.ERROR else messages.Response
    return kind, reader.read(data)


async def refused(market: Market, paid: messages.PaidRequest, code: int, reason: str) -> None:
    """A payment is refused, nothing is paid, nothing is done."""
    before, done = await market.paid(), len(market.shop.done)
    kind, answer = await pay(market, paid)
    assert (kind, answer.error_code) == (messages.ERROR, code), answer
    assert reason in answer.message
    assert await market.paid() == before
    assert len(market.shop.done) == done
