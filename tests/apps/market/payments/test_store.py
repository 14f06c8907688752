"""What is kept of money: read as it was written, once for each nonce, within the caps; over kills of the process."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mesh.apps.market.payments import purchases, sales
from mesh.apps.market.payments.rules import Caps, check_chain, is_local
from mesh.apps.market.payments.store import FILE_NAME, PaymentStore, make_tables
from mesh.apps.market.payments.wallet import Wallet, recover
from mesh.errors import ConfigError, StorageError
from mesh.protocols.x402.receipts import check_receipt, sign_receipt
from mesh.protocols.x402.records import Outcome, PurchaseState, SaleState
from tests.apps.market.payments.records import NOON, authorization, purchase, sale
from tests.protocols.x402.vectors import SELLER_KEY, keccak

DAY = 86_400


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        make_tables(opened)
        yield opened


def test_a_sale_is_taken_once_for_each_payer_and_nonce(database: sqlite3.Connection) -> None:
    assert sales.take(database, sale(1)) == ""
    again = sales.take(database, replace(sale(1), purchase="another", remote=b"other"))
    assert again == f"nonce already used: 0x{1:064x}"
    other = replace(authorization(1), payer=b"\x09" * 20)
    assert sales.take(database, replace(sale(1), authorization=other)) == ""
    assert sales.take(database, sale(2)) == ""
    assert sales.find(database, sale(1).remote, authorization(1).nonce) == sale(1)


def test_a_sale_is_read_as_it_was_written(database: sqlite3.Connection) -> None:
    wallet = Wallet(SELLER_KEY)
    ours = replace(authorization(3), payee=wallet.address)
    taken = replace(sale(3), authorization=ours)
    sales.take(database, taken)
    failed = replace(taken, state=SaleState.REFUND, transaction=b"t" * 32, reason="no \U0001f4a1 left")
    failed = replace(failed, receipt=sign_receipt(failed, Outcome.REFUND, NOON, keccak, wallet.sign))
    sales.keep(database, failed)
    [read] = sales.newest(database, state=SaleState.REFUND)
    assert read == failed
    assert read.receipt is not None
    assert check_receipt(read.receipt, keccak, recover)
    forged = replace(read.receipt, statement=replace(read.receipt.statement, amount=1))
    assert not check_receipt(forged, keccak, recover)
    assert sales.unfinished(database) == []


def test_open_sales_are_bounded(database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sales, "MAX_OPEN_A_PEER", 2)
    monkeypatch.setattr(sales, "MAX_OPEN", 3)
    assert [sales.take(database, sale(number)) for number in (1, 2)] == ["", ""]
    assert "too many" in sales.take(database, sale(3))
    assert sales.take(database, sale(4, remote=b"other")) == ""
    assert "too many" in sales.take(database, sale(5, remote=b"third"))
    sales.keep(database, replace(sale(1), state=SaleState.VOID))
    assert sales.take(database, sale(6)) == ""


def test_what_nobody_needs_is_forgotten_after_a_day(database: sqlite3.Connection) -> None:
    for number, state in enumerate(SaleState, 1):
        sales.take(database, sale(number))
        sales.keep(database, replace(sale(number), state=state))
    assert sales.forget(database, NOON + DAY) == 0
    assert sales.forget(database, NOON + DAY + 66) == 3
    assert sales.forget(database, NOON + DAY + 66) == 0
    kept = {each.state: (each.input_text, each.reason) for each in sales.newest(database)}
    assert kept == {
        SaleState.TAKEN: ("2+2", ""),
        SaleState.RUNNING: ("2+2", ""),
        SaleState.DONE: ("", sales.NOT_KEPT),
        SaleState.REFUND: ("", ""),
    }
    assert SaleState.VOID not in {each.state for each in sales.newest(database)}
    assert len(sales.newest(database)) == len(SaleState) - 1


def test_what_was_never_taken_cannot_be_kept(database: sqlite3.Connection) -> None:
    with pytest.raises(StorageError, match="restore a backup"):
        sales.keep(database, sale(4))


def test_unfinished_sales_are_found(database: sqlite3.Connection) -> None:
    for number, state in enumerate(SaleState, 1):
        sales.take(database, sale(number))
        sales.keep(database, replace(sale(number), state=state))
    assert {each.state for each in sales.unfinished(database)} == {SaleState.TAKEN, SaleState.RUNNING}


def test_caps_hold_for_a_call_a_peer_and_a_day(database: sqlite3.Connection) -> None:
    caps = Caps(call=3000, peer_day=4000, day=5000)
    assert "one call" in purchases.reserve(database, purchase(1, 3001), caps)
    assert purchases.reserve(database, purchase(2, 3000), caps) == ""
    assert "one peer in a day" in purchases.reserve(database, purchase(3, 1001), caps)
    assert purchases.reserve(database, purchase(4, 1000), caps) == ""
    other = b"\x00" * 38
    assert "one day" in purchases.reserve(database, purchase(5, 1001, seller=other), caps)
    assert purchases.reserve(database, purchase(6, 1000, seller=other), caps) == ""
    assert purchases.spent_on(database, NOON) == 5000
    assert purchases.reserve(database, purchase(7, 1000, NOON + DAY), caps) == ""
    assert purchases.find(database, "purchase-1") is None


def test_what_was_not_paid_counts_no_more(database: sqlite3.Connection) -> None:
    caps = Caps(day=1000)
    purchases.reserve(database, purchase(1), caps)
    assert purchases.reserve(database, purchase(2), caps) != ""
    purchases.keep(database, replace(purchase(1), state=PurchaseState.UNPAID, settled=False))
    assert purchases.reserve(database, purchase(2), caps) == ""


def test_a_purchase_that_is_reserved_again_is_not_counted_twice(database: sqlite3.Connection) -> None:
    caps = Caps(day=1000)
    assert purchases.reserve(database, purchase(1), caps) == ""
    assert purchases.reserve(database, purchase(1), caps) == ""


def test_a_nonce_is_authorized_for_one_purchase(database: sqlite3.Connection) -> None:
    assert purchases.reserve(database, purchase(1), Caps()) == ""
    again = replace(purchase(2), authorization=authorization(1))
    assert "signed for another purchase" in purchases.reserve(database, again, Caps())


def test_what_is_unresolved_is_found(database: sqlite3.Connection) -> None:
    for number, state in enumerate(PurchaseState, 1):
        purchases.keep(database, replace(purchase(number), state=state, settled=True))
    open_states = {"intended", "authorized", "unknown", "paid"}
    assert {each.state.value for each in purchases.unresolved(database, NOON)} == open_states
    purchases.keep(database, replace(purchase(9), state=PurchaseState.DELIVERED))
    assert "purchase-9" in {each.id for each in purchases.unresolved(database, NOON)}
    later = {each.state.value for each in purchases.unresolved(database, NOON + DAY + 1)}
    assert later == (open_states | {"delivered"}) - {"paid"}


async def test_the_file_keeps_what_was_answered(tmp_path: Path) -> None:
    async with PaymentStore(tmp_path / FILE_NAME) as store:
        assert await store.run(partial(sales.take, sale=sale(1)), on_disk=True) == ""
        with pytest.raises(StorageError, match="another program has the payments open"):
            async with PaymentStore(tmp_path / FILE_NAME):
                pass
    with pytest.raises(StorageError, match="not open"):
        await store.run(sales.unfinished)
    async with PaymentStore(tmp_path / FILE_NAME) as store:
        assert await store.run(sales.unfinished) == [sale(1)]


async def test_works_share_commits_and_one_that_fails_undoes_itself_alone(tmp_path: Path) -> None:
    async with PaymentStore(tmp_path / FILE_NAME) as store:

        def fail(database: sqlite3.Connection) -> None:
            sales.take(database, sale(999))
            raise StorageError("no")

        works = [store.run(partial(sales.take, sale=sale(number))) for number in range(200)]
        results = await asyncio.gather(*works, store.run(fail), return_exceptions=True)
        assert results[:200] == [""] * 200
        assert isinstance(results[200], StorageError)
        assert store.commits < 200
        assert len(await store.run(sales.unfinished)) == 200


async def test_a_file_of_others_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE a (b)")
    with pytest.raises(StorageError, match="not a table of payments"):
        async with PaymentStore(path):
            pass


def test_the_wallet_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "data" / "wallet.key"
    wallet = Wallet.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text()) == 65
    assert Wallet.load_or_create(path).address == wallet.address
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Wallet.load_or_create(path)


@pytest.mark.parametrize("text", ["", "0x" + "1" * 64, "1" * 63, "g" * 64, "0" * 64, "f" * 64])
def test_what_is_no_wallet_is_never_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wallet.key"
    path.write_text(text + "\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        Wallet.load_or_create(path)
    assert path.read_text() == text + "\n"


def test_chains_that_are_not_local_want_leave_and_a_cap() -> None:
    local, far = "http://127.0.0.1:8545", "https://sepolia.base.org"
    assert is_local(84532, local, "http://localhost:1")
    check_chain(84532, (local,), (), Caps())
    for chain_id, url in ((84532, far), (8453, local)):
        with pytest.raises(ConfigError, match=r"market\.allow_chain"):
            check_chain(chain_id, (url,), (), Caps(day=1))
        with pytest.raises(ConfigError, match=r"market\.max_per_day"):
            check_chain(chain_id, (url,), (chain_id,), Caps())
        check_chain(chain_id, (url,), (chain_id,), Caps(day=1))
