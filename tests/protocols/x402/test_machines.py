"""The machines alone: challenges within their limits, any bytes answered, nothing asked of the world before its time."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.apps.market.payments.wallet import Wallet, keyless, recover
from mesh.errors import ConfigError
from mesh.protocols.x402 import messages
from mesh.protocols.x402.buyer import Buyer, output_of
from mesh.protocols.x402.challenges import Challenges, OpenChallenge
from mesh.protocols.x402.records import Purchase, PurchaseState
from mesh.protocols.x402.seller import Crypto, Seller, SellerTerms
from mesh.protocols.x402.steps import Exchange, FindSale, KeepPurchase, Step, Work
from tests.protocols.x402.vectors import SELLER_KEY, USDC, keccak

WALLET = Wallet(SELLER_KEY)
KINDS = (messages.REQUEST, messages.PAID_REQUEST, messages.CLAIM, "x402.hello")


def challenge(number: int, expires_at_s: float = 400.0) -> OpenChallenge:
    return OpenChallenge(number.to_bytes(32, "big"), "agent", 1000, expires_at_s)


def test_a_challenge_is_for_one_peer_and_one_attempt() -> None:
    table = Challenges()
    table.issue(b"a", "p", challenge(1), 100.0)
    assert table.take(b"b", "p", 101.0) is None
    assert table.take(b"a", "q", 101.0) is None
    assert table.take(b"a", "p", 400.0) == challenge(1)
    assert table.take(b"a", "p", 400.0) is None


def test_a_challenge_expires_and_a_second_one_replaces_it() -> None:
    table = Challenges()
    table.issue(b"a", "p", challenge(1), 100.0)
    table.issue(b"a", "p", challenge(2), 101.0)
    assert len(table) == 1
    assert table.take(b"a", "p", 400.1) is None
    table.issue(b"a", "p", challenge(3), 100.0)
    table.issue(b"b", "q", challenge(4, 900.0), 500.0)
    assert len(table) == 1


def test_the_oldest_challenge_goes_first_of_the_peer_then_of_all() -> None:
    table = Challenges(max_open=4, max_open_a_peer=2)
    for number in range(3):
        table.issue(b"a", str(number), challenge(number), 100.0)
    assert [table.take(b"a", str(number), 100.0) is None for number in range(3)] == [True, False, False]
    for number, peer in enumerate((b"a", b"b", b"c", b"d", b"e")):
        table.issue(peer, "p", challenge(number), 100.0)
    assert len(table) == 4
    assert table.take(b"a", "p", 100.0) is None
    assert table.take(b"e", "p", 100.0) is not None


def seller(terms: bool = True, preemptive: bool = False) -> Seller:
    crypto = Crypto(keccak, recover, WALLET.sign, bytes)
    prices = {"agent": 1000, "free": 0}
    return Seller(
        SellerTerms(USDC, WALLET.address, preemptive) if terms else None, prices.get, lambda: 1e9, crypto
    )


def end_of(machine: Generator[Step, Any, Any], answers: dict[type, Any]) -> tuple[Any, list[Step]]:
    """How a machine ends when its steps come to this, and its steps."""
    steps: list[Step] = []
    came: Any = None
    try:
        while True:
            steps.append(machine.send(came))
            came = answers.get(type(steps[-1]))
    except StopIteration as end:
        return end.value, steps


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_any_bytes_are_answered_and_cost_the_world_nothing(kind: str, data: bytes) -> None:
    for machine in (seller(), seller(terms=False), seller(preemptive=True)):
        (answered, found), steps = end_of(machine.answer(kind, data, b"a"), {})
        assert answered == messages.ERROR
        messages.ErrorMessage.read(found)
        assert all(isinstance(step, FindSale) for step in steps)


_TEXTS = st.text(max_size=20)
_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS,
    lambda deeper: st.lists(deeper, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["version", "correlation_id", "resource", "payment", "body", "caller_did", "challenge_nonce"]
        ),
        _TREES | st.dictionaries(st.sampled_from(["server_nonce", "payload", "network"]), _TREES),
    )
)
def test_any_json_is_answered(tree: dict[str, Any]) -> None:

    for kind in KINDS:
        (answered, _), steps = end_of(
            seller(preemptive=True).answer(kind, json.dumps(tree).encode(), b"a"), {}
        )
        assert answered in (messages.ERROR, messages.PAYMENT_REQUIRED)
        assert not any(isinstance(step, Work) for step in steps)


@given(
    st.sampled_from([messages.RESPONSE, messages.ERROR, messages.PAYMENT_REQUIRED, "x"]),
    st.binary(max_size=200),
)
def test_whatever_a_seller_answers_first_nothing_is_signed(kind: str, data: bytes) -> None:
    purchase = Purchase("p", PurchaseState.INTENDED, b"s", "agent", "2+2", "", 1000, 1e9)
    buyer = Buyer(None, lambda: 1e9, keyless())
    ended, steps = end_of(buyer.buy(purchase), {Exchange: (kind, data)})
    assert ended.state in (PurchaseState.REFUSED, PurchaseState.DELIVERED)
    assert {type(step) for step in steps} <= {KeepPurchase, Exchange}
    assert steps[0] == KeepPurchase(purchase)


def test_without_a_wallet_nothing_can_be_signed() -> None:
    with pytest.raises(ConfigError, match="payments are off"):
        keyless().sign(bytes(32))


@pytest.mark.parametrize(
    ("body", "output"),
    [
        (b'{"output":"4"}', "4"),
        (b'{"output":"4","more":"x"}', "4"),
        (b'{"more":"x"}', ""),
        (b'{"output":4}', '{"output":4}'),
        (b"[1]", "[1]"),
        (b"four", "four"),
        (b"\xff", "\ufffd"),
        (None, ""),
    ],
)
def test_the_output_in_a_response(body: bytes | None, output: str) -> None:
    assert output_of(body) == output
