"""What proves a payment, and what only looks like it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.protocols.x402.evidence import (
    CANCELED_TOPIC,
    TRANSFER_TOPIC,
    USED_TOPIC,
    Event,
    Finding,
    Head,
    NonceUse,
    TransactionReceipt,
    Verdict,
    found,
    proves,
)
from mesh.protocols.x402.typed_data import Authorization
from tests.protocols.x402.vectors import USDC

PAYER, PAYEE, OTHER = b"\x01" * 20, b"\x02" * 20, b"\x03" * 20
WANTED = Authorization(PAYER, PAYEE, 1000, 100, 200, b"\x0a" * 32)


def wide(address: bytes) -> bytes:
    return address.rjust(32, b"\0")


def used(nonce: bytes = WANTED.nonce, payer: bytes = PAYER, token: bytes = USDC.address) -> Event:
    return Event(token, (USED_TOPIC, wide(payer), nonce), b"")


def moved(
    payer: bytes = PAYER, payee: bytes = PAYEE, amount: int = 1000, token: bytes = USDC.address
) -> Event:
    return Event(token, (TRANSFER_TOPIC, wide(payer), wide(payee)), amount.to_bytes(32, "big"))


def receipt(*events: Event, succeeded: bool = True) -> TransactionReceipt:
    return TransactionReceipt(b"\xee" * 32, succeeded, 5, events)


CANCELED = Event(USDC.address, (CANCELED_TOPIC, wide(PAYER), WANTED.nonce), b"")
ELSEWHERE = Event(OTHER, (USED_TOPIC,), b"")

PROOFS = {
    "alone": receipt(used(), moved()),
    "with events of other contracts between": receipt(ELSEWHERE, used(), ELSEWHERE, moved(), ELSEWHERE),
    "behind another settlement": receipt(used(b"\x0b" * 32), moved(), used(), moved()),
}
LOOK_ALIKES = {
    "nothing": receipt(),
    "a transaction that failed": receipt(used(), moved(), succeeded=False),
    "a transfer without an authorization": receipt(moved()),
    "an authorization without a transfer": receipt(used()),
    "a cancellation": receipt(CANCELED, moved()),
    "another nonce": receipt(used(b"\x0b" * 32), moved()),
    "another payer's nonce": receipt(used(payer=OTHER), moved()),
    "a transfer to somebody else": receipt(used(), moved(payee=OTHER)),
    "a transfer from somebody else": receipt(used(), moved(payer=OTHER)),
    "less": receipt(used(), moved(amount=999)),
    "more": receipt(used(), moved(amount=1001)),
    "another token": receipt(used(token=OTHER), moved(token=OTHER)),
    "the use here and the transfer of another token": receipt(used(), moved(token=OTHER)),
    "one transfer for two authorizations, the first to the payer itself": receipt(
        used(), moved(payee=PAYER, amount=1), used(b"\x0b" * 32), moved()
    ),
    "the transfer first": receipt(moved(), used()),
    "an event that names itself so but has no topics": receipt(Event(USDC.address, (), b""), moved()),
}


@pytest.mark.parametrize("name", PROOFS)
def test_what_proves_a_payment(name: str) -> None:
    assert proves(PROOFS[name], USDC, WANTED)
    use = NonceUse(Head(9, 500), True, (PROOFS[name],))
    assert found(use, USDC, WANTED) == Finding(Verdict.PAID, b"\xee" * 32)


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_what_only_looks_like_one(name: str) -> None:
    assert not proves(LOOK_ALIKES[name], USDC, WANTED)
    use = NonceUse(Head(9, 150), True, (LOOK_ALIKES[name],))
    assert found(use, USDC, WANTED).verdict in (Verdict.OPEN, Verdict.USED_OTHERWISE)


def test_an_unused_nonce_is_expired_only_when_the_chain_has_passed_its_time() -> None:
    assert found(NonceUse(Head(9, 199), False), USDC, WANTED).verdict is Verdict.OPEN
    assert found(NonceUse(Head(9, 200), False), USDC, WANTED).verdict is Verdict.EXPIRED


def test_a_used_nonce_of_which_no_event_is_found_decides_nothing() -> None:
    assert found(NonceUse(Head(9, 10**9), True), USDC, WANTED).verdict is Verdict.OPEN
    failed = receipt(used(), succeeded=False)
    assert found(NonceUse(Head(9, 10**9), True, (failed,)), USDC, WANTED).verdict is Verdict.OPEN


def test_a_cancelled_or_otherwise_used_nonce_never_pays() -> None:
    for other in (receipt(CANCELED), receipt(used(), moved(payee=OTHER))):
        finding = found(NonceUse(Head(9, 150), True, (other,)), USDC, WANTED)
        assert finding == Finding(Verdict.USED_OTHERWISE, b"\xee" * 32)
    both = NonceUse(Head(9, 150), True, (receipt(CANCELED), replace(PROOFS["alone"], block=6)))
    assert found(both, USDC, WANTED).verdict is Verdict.PAID
