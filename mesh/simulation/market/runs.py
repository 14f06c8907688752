"""One run of a seed, and many."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from mesh.apps.market.payments.rules import Caps
from mesh.apps.market.payments.wallet import Wallet
from mesh.protocols.x402 import messages
from mesh.protocols.x402.records import Purchase, PurchaseState
from mesh.protocols.x402.seller import Body
from mesh.protocols.x402.steps import Answer
from mesh.protocols.x402.typed_data import Authorization
from mesh.simulation.market.agenda import Agenda
from mesh.simulation.market.audit import Findings, audit
from mesh.simulation.market.chain import EPOCH_S, ModelChain
from mesh.simulation.market.parties import (
    LIMIT,
    BuyerParty,
    FacilitatorParty,
    SellerParty,
    open_tables,
    token_of_the_world,
)
from mesh.simulation.market.plan import END_MS, FAULTS_END_MS, Plan

BUYER_PEER = bytes.fromhex("0024080112200b") + bytes(31)
SELLER_PEER = bytes.fromhex("0024080112200c") + bytes(31)
OTHER_PEER = bytes.fromhex("0024080112200d") + bytes(31)
_BUYER = Wallet(b"\x11" * 32)
_SELLER = Wallet(b"\x22" * 32)


@dataclass(slots=True)
class Tally:
    """What many runs came to; ``unsound`` maps a seed to what was wrong."""

    runs: int = 0
    findings: Findings = field(default_factory=Findings)
    faults: Counter[str] = field(default_factory=Counter)
    unsound: dict[int, list[str]] = field(default_factory=dict)

    def add(self, seed: int, found: Findings) -> None:
        total = self.findings
        self.runs += 1
        total.unpaid_deliveries += found.unpaid_deliveries
        total.double_settlements += found.double_settlements
        total.left_unknown += found.left_unknown
        total.untrue += found.untrue
        total.ends.update(found.ends)
        total.hits.update(found.hits)
        self.faults.update(Plan.of(seed).faults())
        if not found.sound:
            wrong = [found.unpaid_deliveries, found.double_settlements, found.left_unknown, found.untrue]
            self.unsound[seed] = [each for kind in wrong for each in kind]


def run_seed(seed: int, folder: Path | None = None) -> Findings:
    """One run; its tables are in memory, or in files of a folder."""
    plan = Plan.of(seed)
    world = Agenda()
    chain = ModelChain(world, token_of_the_world())
    crypto = _SELLER.crypto()
    with ExitStack() as opened:

        def tables(name: str) -> sqlite3.Connection:
            path = ":memory:" if folder is None else str(folder / f"{seed}-{name}.db")
            return opened.enter_context(closing(open_tables(path)))

        facilitator = FacilitatorParty(world, plan, chain, crypto)
        seller = SellerParty(world, plan, chain, facilitator, _SELLER, tables("seller"), False)
        buyer = BuyerParty(
            world, plan, chain, seller, _BUYER, tables("buyer"), BUYER_PEER, Caps(day=10 * LIMIT)
        )
        for party in (facilitator, seller, buyer):
            party.begin()
        for number, start_ms in enumerate(plan.starts_ms):
            world.at(start_ms, partial(buyer.buy, _purchase(seed, number, start_ms)))
        if plan.cheat:
            buyer.overheard = partial(_cheat, plan.cheat, chain, seller)
        world.run(FAULTS_END_MS)
        while world.now_ms < END_MS and not (buyer.idle and seller.idle):
            world.run(world.now_ms + 2_000)
        found = audit(chain, buyer, seller, plan.cheat, crypto.keccak)
        found.hits.update(facilitator.hits)
        return found


def run_seeds(seeds: Iterable[int], each: Callable[[int], None] | None = None) -> Tally:
    """Many runs; ``each`` hears of every seed that is done."""
    tally = Tally()
    for seed in seeds:
        tally.add(seed, run_seed(seed))
        if each is not None:
            each(seed)
    return tally


def _purchase(seed: int, number: int, start_ms: int) -> Purchase:
    return Purchase(
        f"{seed}-{number}",
        PurchaseState.INTENDED,
        SELLER_PEER,
        "agent",
        f"task {number}",
        "did:key:buyer",
        LIMIT,
        EPOCH_S + start_ms / 1000,
    )


def _cheat(cheat: str, chain: ModelChain, seller: SellerParty, frame: Answer) -> None:
    """The payer, or who can read its frames, cheats as a payment leaves."""
    kind, data = frame
    if kind != messages.PAID_REQUEST:
        return
    paid = messages.PaidRequest.read(data)
    payload = paid.payment.payload
    assert payload is not None
    text = payload.authorization
    payer, nonce = bytes.fromhex(text.payer[2:]), bytes.fromhex(text.nonce[2:])

    def unheard(_: Answer) -> None:
        return

    match cheat:
        case "cancels the authorization":
            chain.send_cancel(payer, nonce)
        case "pays itself with the same nonce":
            own = Authorization(payer, payer, 1, EPOCH_S - 10, EPOCH_S + 10**6, nonce)
            chain.send_transfer(own, signed=True)
        case "sends the payment twice":
            seller.hear((messages.PAID_REQUEST, data), BUYER_PEER, unheard)
            seller.hear((messages.PAID_REQUEST, data), BUYER_PEER, unheard)
        case "sends the payment from another peer":
            seller.hear((messages.PAID_REQUEST, data), OTHER_PEER, unheard)
        case "pays for something dearer":
            dear = replace(paid, body=Body("task", "dear").write())
            seller.hear((messages.PAID_REQUEST, dear.write()), BUYER_PEER, unheard)
