"""Purchases under faults: every rule holds, a seed is a run, and the audit sees machines that are broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.market.payments import purchases, sales
from mesh.console.application import run
from mesh.protocols.x402 import buyer as buyer_machine
from mesh.protocols.x402 import evidence, settling
from mesh.protocols.x402 import seller as seller_machine
from mesh.protocols.x402.challenges import Challenges, OpenChallenge
from mesh.protocols.x402.evidence import Finding, Verdict
from mesh.protocols.x402.records import Purchase, PurchaseState, Sale, SaleState
from mesh.protocols.x402.steps import FindSale, KeepSale, Settle, Work
from mesh.simulation.market.agenda import Agenda
from mesh.simulation.market.plan import CHEATS, LIES, PARTIES, Plan
from mesh.simulation.market.runs import run_seed, run_seeds

SEEDS = range(1, 121)


def test_every_rule_holds() -> None:
    tally = run_seeds(SEEDS)
    assert tally.unsound == {}
    ends = tally.findings.ends
    assert {"purchase delivered", "purchase paid", "purchase unpaid", "purchase refused"} <= set(ends)
    assert {"sale done", "sale refund", "sale void"} <= set(ends)
    assert {hit.split(" | ")[0] for hit in tally.findings.hits} == set(PARTIES)


def test_the_plans_hold_every_fault() -> None:
    plans = [Plan.of(seed) for seed in range(400)]
    assert {plan.lie for plan in plans} == {"", *LIES}
    assert {plan.cheat for plan in plans} == {"", *CHEATS}


def test_a_seed_is_a_run(tmp_path: Path) -> None:
    for seed in range(3, 9):
        first, again = run_seed(seed), run_seed(seed, tmp_path)
        assert (first.ends, first.hits) == (again.ends, again.hits)
    assert (tmp_path / "3-buyer.db").stat().st_size > 0


def believing(sale: Sale, clock: Callable[[], float]) -> settling.Looking:
    """A seller that takes the facilitator's word."""
    answer = yield Settle(sale)
    if answer is not None and answer.success:
        return Finding(Verdict.PAID, answer.transaction), ""
    return (yield from settling_settle(sale, clock))


settling_settle = settling.settle


def used_is_paid(*arguments: Any) -> Finding:
    """A seller to whom a used nonce is a payment."""
    found = evidence_found(*arguments)
    if found.verdict is Verdict.USED_OTHERWISE:
        return Finding(Verdict.PAID, found.transaction)
    return found


evidence_found = evidence.found


def heard_as_unpaid(machine: buyer_machine.Buyer, purchase: Purchase, answer: Any) -> Purchase:
    """A buyer that believes a seller who refuses."""
    heard = buyer_heard(machine, purchase, answer)
    return replace(heard, state=PurchaseState.UNPAID) if heard.state is PurchaseState.UNKNOWN else heard


buyer_heard = buyer_machine.Buyer._heard


def worked_again(machine: seller_machine.Seller, sale: Sale) -> Generator[Any, Any, Sale]:
    """A seller that begins anew what it had begun."""
    if sale.state is not SaleState.RUNNING or sale.key in machine.under_way:
        return (yield from seller_recover(machine, sale))
    worked = yield Work(sale.resource, sale.input_text, sale.caller, sale.purchase)
    sale = machine._worked(sale, worked)
    yield KeepSale(sale)
    return sale


seller_recover = seller_machine.Seller.recover


def recovered_as_read(machine: seller_machine.Seller, sale: Sale) -> Generator[Any, Any, Sale]:
    """A seller that recovers a sale as it was read a while ago."""
    steps = seller_recover(machine, sale)
    came: Any = None
    try:
        while True:
            step = steps.send(came)
            came = sale if isinstance(step, FindSale) else (yield step)
    except StopIteration as end:
        recovered: Sale = end.value
        return recovered


def take_and_leave(table: Challenges, remote: bytes, correlation_id: str, now: float) -> OpenChallenge | None:
    """A challenge that may be answered as often as one likes."""
    return table._open.get((remote, correlation_id))


def take_again(database: Any, sale: Sale) -> str:
    """A seller that takes a nonce as often as it comes."""
    if sales_take(database, sale):
        sales.keep(database, sale)
    return ""


sales_take = sales.take


def keep_nothing(*_: Any) -> None:
    """A table that forgets."""


def reserve_nothing(*_: Any) -> str:
    """A buyer that signs before it has written."""
    return ""


def expired_too_soon(*arguments: Any) -> Finding:
    """Who takes an unused nonce for an unpaid one before its time is over."""
    found = evidence_found(*arguments)
    return Finding(Verdict.EXPIRED) if not arguments[0].used else found


BROKEN: dict[str, list[tuple[Any, str, Any]]] = {
    "the facilitator is believed": [(seller_machine, "settle", believing)],
    "a used nonce is a payment": [(settling, "found", used_is_paid)],
    "a refusal is believed": [(buyer_machine.Buyer, "_heard", heard_as_unpaid)],
    "work is begun twice": [(seller_machine.Seller, "recover", worked_again)],
    "old records are believed": [(seller_machine.Seller, "recover", recovered_as_read)],
    "challenges and nonces are taken twice": [
        (Challenges, "take", take_and_leave),
        (sales, "take", take_again),
    ],
    "the seller's end is not kept": [(sales, "keep", keep_nothing)],
    "the authorization is not kept": [(purchases, "reserve", reserve_nothing)],
    "unused is unpaid at the buyer": [(buyer_machine, "found", expired_too_soon)],
    "unused is unpaid at the seller": [(settling, "found", expired_too_soon)],
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_audit_sees_what_is_broken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, attribute, broken in BROKEN[name]:
        monkeypatch.setattr(owner, attribute, broken)
    for seed in range(1, 400):
        if not run_seed(seed).sound:
            return
    pytest.fail("400 runs of broken machines, and nothing was seen")


def test_time_runs_in_order() -> None:
    agenda, seen = Agenda(), []
    agenda.at(20, lambda: seen.append((agenda.now_ms, "b")))
    agenda.at(10, lambda: agenda.after(10, lambda: seen.append((agenda.now_ms, "c"))))
    agenda.run(19)
    assert (seen, agenda.now_ms) == ([], 19)
    agenda.run(20)
    assert seen == [(20, "b"), (20, "c")]


def test_the_verb_gives_the_same_figures_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for name in ("one.json", "two.json"):
        assert (
            run(["simulate", "market", "--runs", "5", "--seed", "3", "--report", str(tmp_path / name)]) == 0
        )
        found.append(json.loads((tmp_path / name).read_text()))
        del found[-1]["seconds"]
    assert found[0] == found[1]
    assert "unpaid deliveries: 0" in capsys.readouterr().out
    assert run(["simulate", "market", "--runs", "2", "--report", str(tmp_path / "r.md")]) == 0
    assert "**Every rule held.**" in (tmp_path / "r.md").read_text()
