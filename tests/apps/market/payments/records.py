"""Sales and purchases to keep."""

from __future__ import annotations

from mesh.protocols.x402.records import Purchase, PurchaseState, Sale, SaleState
from mesh.protocols.x402.typed_data import Authorization
from tests.protocols.x402.vectors import USDC

NOON = 1_795_176_000
"""A noon of UTC."""
PAYER, PAYEE = b"\x01" * 20, b"\x02" * 20
SELLER = bytes.fromhex("0024080112200102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20")


def authorization(nonce: int = 1, amount: int = 1000, at_s: int = NOON) -> Authorization:
    return Authorization(PAYER, PAYEE, amount, at_s, at_s + 65, nonce.to_bytes(32, "big"))


def sale(nonce: int = 1, remote: bytes = SELLER) -> Sale:
    return Sale(
        SaleState.TAKEN,
        USDC,
        authorization(nonce),
        b"s" * 65,
        f"purchase-{nonce}",
        remote,
        "agent",
        "2+2",
        "did:key:caller",
        7,
        float(NOON),
    )


def purchase(number: int = 1, amount: int = 1000, at_s: int = NOON, seller: bytes = SELLER) -> Purchase:
    return Purchase(
        f"purchase-{number}",
        PurchaseState.AUTHORIZED,
        seller,
        "agent",
        "2+2",
        "did:key:caller",
        5000,
        float(at_s),
        amount=amount,
        token=USDC,
        authorization=authorization(number, amount, at_s),
        since_block=7,
    )
