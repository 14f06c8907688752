"""The chain: what it takes, what it refuses, time, blocks and what a reorganisation takes back."""

from __future__ import annotations

import pytest

from mesh.development import token
from mesh.development.chain import ETHER, PrivateChain, TransactionRefused
from tests.development.world import (
    BUYER_UNITS,
    SELLER,
    SETTLER,
    bytes_of,
    is_used,
    make_chain,
    signed,
    transaction,
    units_of,
)

NONCE = bytes(range(32))


def test_what_is_funded_can_be_spent(chain: PrivateChain) -> None:
    chain.fund(bytes_of(SELLER), ETHER, 77)
    assert chain.state().get_balance(bytes_of(SELLER)) == ETHER
    assert units_of(chain, SELLER) == 77


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"nonce": 1}, "nonce too high"),
        ({"chainId": 1}, "invalid chain id"),
        ({"maxFeePerGas": 1}, "max fee per gas less than block base fee"),
        ({"gas": 21_000}, "gas of 21000 is not between"),
        ({"value": 2 * ETHER}, "insufficient funds"),
    ],
)
def test_a_transaction_that_cannot_run_is_refused(
    chain: PrivateChain, changed: dict[str, int], why: str
) -> None:
    raw = transaction(chain, token.mint_call(bytes_of(SELLER), 1), **changed)
    with pytest.raises(TransactionRefused, match=why):
        chain.send(raw)
    assert chain.head.block_number == 0


def test_the_same_transaction_is_not_taken_twice(chain: PrivateChain) -> None:
    raw = transaction(chain, token.mint_call(bytes_of(SELLER), 1))
    chain.send(raw)
    with pytest.raises(TransactionRefused, match="already known"):
        chain.send(raw)
    assert units_of(chain, SELLER) == 1


@pytest.mark.parametrize(
    "raw", [b"", b"\xc0", b"\x02\xc0", b"\x7f", b"\x02\xf8", bytes(100), b"\xf8\xff" * 40]
)
def test_what_is_no_transaction_is_refused(chain: PrivateChain, raw: bytes) -> None:
    with pytest.raises(TransactionRefused, match="no transaction"):
        chain.send(raw)


def test_many_blocks_of_one_second_do_not_outrun_the_clock() -> None:
    chain = make_chain()
    before = chain.head.timestamp
    for _ in range(20):
        chain.mine()
    assert chain.head.block_number == 20
    assert chain.head.timestamp - before < 20


def test_with_a_block_time_transactions_wait_for_a_block() -> None:
    chain = make_chain(block_time_s=3600.0)
    first = chain.send(transaction(chain, token.mint_call(bytes_of(SELLER), 1)))
    second = chain.send(transaction(chain, token.mint_call(bytes_of(SELLER), 2)))
    assert (chain.mined(first), chain.mined(second), chain.head.block_number) == (None, None, 0)
    chain.mine()
    places = [chain.mined(first), chain.mined(second)]
    assert [each.index for each in places if each] == [0, 1]
    assert [each.logs_before for each in places if each] == [0, 1]
    assert units_of(chain, SELLER) == 3
    assert chain.next_nonce(bytes_of(SETTLER)) == 2


def test_a_reorganisation_takes_a_payment_back(chain: PrivateChain) -> None:
    data = token.transfer_call(*signed(chain, NONCE))
    sent = chain.send(transaction(chain, data))
    assert is_used(chain, NONCE)
    chain.go_back(0)
    assert chain.mined(sent) is None
    assert not is_used(chain, NONCE)
    assert units_of(chain, SELLER) == 0
    chain.send(transaction(chain, data))
    assert units_of(chain, SELLER) == 1000


def test_a_call_at_an_earlier_block_sees_that_block(chain: PrivateChain) -> None:
    chain.send(transaction(chain, token.transfer_call(*signed(chain, NONCE))))
    call = token.balance_call(signed(chain, NONCE)[0].payer)
    then, now = (int.from_bytes(chain.call(chain.plan.token, call, number=each)[0], "big") for each in (0, 1))
    assert (then, now) == (BUYER_UNITS, BUYER_UNITS - 1000)
