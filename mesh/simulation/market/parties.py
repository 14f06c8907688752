"""Buyer, seller and facilitator of a run. Their tables outlive them; what else they know is gone when they stop."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from mesh.apps.market.payments import purchases, sales
from mesh.apps.market.payments.rules import Caps
from mesh.apps.market.payments.store import make_tables
from mesh.apps.market.payments.wallet import Wallet, recover
from mesh.protocols.x402.buyer import Buyer, BuyerTerms
from mesh.protocols.x402.records import Purchase, PurchaseState, Sale
from mesh.protocols.x402.seller import Crypto, Seller, SellerTerms
from mesh.protocols.x402.steps import (
    Answer,
    Exchange,
    FindPurchase,
    FindSale,
    KeepPurchase,
    KeepSale,
    Pause,
    ReadHead,
    ReadReceipt,
    ReadUse,
    ReservePurchase,
    Settle,
    SettleAnswer,
    Step,
    TakeSale,
    Work,
    Worked,
)
from mesh.protocols.x402.typed_data import Authorization, Token, authorization_digest
from mesh.simulation.market.agenda import Agenda
from mesh.simulation.market.chain import EPOCH_S, ModelChain
from mesh.simulation.market.plan import Plan
from mesh.simulation.market.process import Answered, Process

EXCHANGE_LIMIT_MS: Final = 30_000
SETTLE_LIMIT_MS: Final = 10_000
LEDGER_LIMIT_MS: Final = 5_000
RECOVER_INTERVAL_MS: Final = 5_000
PRICES: Final = {"agent": 1000, "dear": 50_000, "free": 0}
LIMIT: Final = 20_000
MAX_ID: Final = 12
FAILURE: Final = "no luck"

T = TypeVar("T")


def open_tables(path: str = ":memory:") -> sqlite3.Connection:
    """The payments of one party, on disk or in memory."""
    database = sqlite3.connect(path, isolation_level=None)
    make_tables(database)
    return database


def committed(database: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """What a piece of work gives, in a transaction of its own."""
    database.execute("BEGIN IMMEDIATE")
    try:
        result = work(database)
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
    return result


class Party(Process):
    """A process with a clock of its own, and a way to the ledger."""

    def __init__(self, name: str, world: Agenda, plan: Plan, chain: ModelChain) -> None:
        super().__init__(name, world, plan.crashes[name])
        self.plan = plan
        self.chain = chain

    def clock(self) -> float:
        return EPOCH_S + self.world.now_s + self.plan.skews_s[self.name]

    def ask_ledger(self, step: ReadHead | ReadReceipt | ReadUse, answered: Answered) -> None:
        """The ledger's answer after a moment, or None after its limit."""
        if not self.plan.ledger_answers(self.world.now_ms):
            self.later(LEDGER_LIMIT_MS, lambda: answered(None))
            return

        def read() -> None:
            match step:
                case ReadHead():
                    answered(self.chain.head())
                case ReadReceipt(transaction):
                    answered(self.chain.receipt(transaction))
                case ReadUse(authorization):
                    answered(self.chain.nonce_use(authorization))

        self.later(10 + self.plan.draws.randrange(30), read)


class SellerParty(Party):
    """Sells `agent` and `dear`; ``works`` counts how often the work was done for each payer and nonce."""

    def __init__(
        self,
        world: Agenda,
        plan: Plan,
        chain: ModelChain,
        facilitator: FacilitatorParty,
        wallet: Wallet,
        database: sqlite3.Connection,
        preemptive: bool,
    ) -> None:
        super().__init__("seller", world, plan, chain)
        self.wallet = wallet
        self.database = database
        self.works: Counter[str] = Counter()
        self.unpaid_works: list[str] = []
        self._facilitator = facilitator
        self._terms = SellerTerms(chain.token, wallet.address, preemptive)
        self._seller = self._new_seller()

    def _new_seller(self) -> Seller:
        crypto = replace(self.wallet.crypto(), entropy=self.plan.draws.randbytes)
        return Seller(self._terms, PRICES.get, self.clock, crypto)

    def begin(self) -> None:
        self._seller = self._new_seller()
        self.later(100, self._recover)

    def _recover(self) -> None:
        """Each open sale in a while: what was read of it may be old by then."""
        for sale in sales.unfinished(self.database):
            recover = self._seller.recover(sale)
            self.later(self.plan.draws.randrange(4_000), partial(self.run, recover, lambda _: None))
        self.later(RECOVER_INTERVAL_MS, self._recover)

    @property
    def idle(self) -> bool:
        """Whether every sale has come to its end."""
        return not self.busy and not sales.unfinished(self.database)

    def hear(self, frame: Answer, remote: bytes, answered: Callable[[Answer], None]) -> None:
        """A frame came on a stream; what answers it goes to ``answered``, if the process lives so long."""
        if self.up:
            self.run(self._seller.answer(*frame, remote), answered)

    def perform(self, step: Step, answered: Answered) -> None:
        match step:
            case TakeSale(sale):
                answered(committed(self.database, lambda database: sales.take(database, sale)))
            case KeepSale(sale):
                answered(committed(self.database, lambda database: sales.keep(database, sale)))
            case FindSale(remote, nonce):
                answered(sales.find(self.database, remote, nonce))
            case Settle(sale):
                self._settle(sale, answered)
            case ReadHead() | ReadReceipt() | ReadUse():
                self.ask_ledger(step, answered)
            case Pause(seconds):
                self.later(int(1000 * seconds), lambda: answered(None))
            case Work():
                self._work(step, answered)

    def _settle(self, sale: Sale, answered: Answered) -> None:
        reply = Once(answered)
        self.later(SETTLE_LIMIT_MS, lambda: reply(None))

        def come_back(answer: SettleAnswer) -> None:
            for delay_ms in self.plan.leg(self.world.now_ms).delays_ms:
                self.later(delay_ms, lambda: reply(answer))

        for delay_ms in self.plan.leg(self.world.now_ms).delays_ms:
            self.world.after(
                delay_ms, lambda: self._facilitator.settle(sale.authorization, sale.signature, come_back)
            )

    def _work(self, work: Work, answered: Answered) -> None:
        self.works[work.purchase] += 1
        if not any(
            row.purchase == work.purchase and self._is_paid(row) for row in sales.newest(self.database)
        ):
            self.unpaid_works.append(work.purchase)
        fails = self.plan.draws.random() < self.plan.work_fails
        worked = Worked("", FAILURE) if fails else Worked(output_for(work.input_text))
        self.later(self.plan.draws.choice((5, 500, 5_000)), lambda: answered(worked))

    def _is_paid(self, sale: Sale) -> bool:
        return any(
            (each.payer, each.nonce, each.payee, each.amount)
            == (*sale.key, self.wallet.address, PRICES[sale.resource])
            for each in self.chain.transfers
        )


class FacilitatorParty(Party):
    """Verifies signatures and sends transactions; lies when the plan says so. It keeps nothing."""

    def __init__(self, world: Agenda, plan: Plan, chain: ModelChain, crypto: Crypto) -> None:
        super().__init__("facilitator", world, plan, chain)
        self._crypto = crypto
        self._taken = 0

    def settle(
        self, authorization: Authorization, signature: bytes, answered: Callable[[SettleAnswer], None]
    ) -> None:
        """Asked to settle; it may be down, stop on the way, or lie."""
        if not self.up:
            return
        digest = authorization_digest(self.chain.token, authorization, self._crypto.keccak)
        signed = recover(digest, signature) == authorization.payer
        settle = Settling(authorization, signed, self.plan.lies(self.world.now_ms))

        def told(answer: Any) -> None:
            answered(answer)

        self.run(settle.steps(), told)

    def perform(self, step: Step, answered: Answered) -> None:
        match step:
            case Settling() as settling:
                answered(self._sent(settling))
            case ReadReceipt(transaction):
                self.later(500, lambda: answered(self.chain.receipt(transaction)))

    def _sent(self, settling: Settling) -> SettleAnswer:
        lie = settling.lie
        if lie == "says that it settled and does not":
            return SettleAnswer(True, self.plan.draws.randbytes(32), "")
        transaction = self.chain.send_transfer(settling.authorization, settling.signed)
        if lie == "settles and says that it did not":
            return SettleAnswer(False, None, "insufficient_funds")
        if lie == "names a transaction that is none":
            return SettleAnswer(True, self.plan.draws.randbytes(32), "")
        if lie == "names the transaction of another payment" and self.chain.transfers:
            return SettleAnswer(True, self.chain.transfers[0].transaction, "")
        return SettleAnswer(True, transaction, "")


class Settling:
    """A settlement as a machine: the transaction is sent, then its receipt is waited for."""

    def __init__(self, authorization: Authorization, signed: bool, lie: str) -> None:
        self.authorization = authorization
        self.signed = signed
        self.lie = lie

    def steps(self) -> Any:
        answer: SettleAnswer = yield self
        if self.lie or answer.transaction is None:
            return answer
        for _ in range(12):
            receipt = yield ReadReceipt(answer.transaction)
            if receipt is not None:
                if receipt.succeeded:
                    return answer
                return SettleAnswer(False, answer.transaction, "invalid_transaction_state")
        return SettleAnswer(False, None, "timeout")


class BuyerParty(Party):
    """Buys, and reconciles every few seconds."""

    def __init__(
        self,
        world: Agenda,
        plan: Plan,
        chain: ModelChain,
        seller: SellerParty,
        wallet: Wallet,
        database: sqlite3.Connection,
        peer: bytes,
        caps: Caps,
    ) -> None:
        super().__init__("buyer", world, plan, chain)
        self.wallet = wallet
        self.database = database
        self.peer = peer
        self.overheard: Callable[[Answer], None] = lambda frame: None
        """Hears of every frame that is sent."""
        self._seller = seller
        self._caps = caps
        self._terms = BuyerTerms(chain.token, wallet.address)
        self._buyer = self._new_buyer()
        self._under_way: set[str] = set()

    def _new_buyer(self) -> Buyer:
        return Buyer(self._terms, self.clock, self.wallet.crypto())

    def begin(self) -> None:
        self._buyer = self._new_buyer()
        self._under_way = set()
        self.later(100, self._reconcile)

    def buy(self, purchase: Purchase) -> None:
        """Buy, unless the process is down."""
        if self.up:
            self._under_way.add(purchase.id)
            self.run(self._buyer.buy(purchase), self._bought)

    def _bought(self, ended: Purchase) -> None:
        """What was refused was never signed, so that it may be tried again, as another purchase."""
        self._under_way.discard(ended.id)
        if ended.state is PurchaseState.REFUSED and len(ended.id) < MAX_ID:
            again = Purchase(
                ended.id + "+",
                PurchaseState.INTENDED,
                ended.seller,
                ended.resource,
                ended.input_text,
                ended.caller,
                ended.limit,
                self.clock(),
            )
            self.later(1_000, lambda: self.buy(again))

    @property
    def idle(self) -> bool:
        """Whether everything was found out, or nobody can tell more."""
        return not self.busy and not purchases.unresolved(self.database, self.clock())

    def _reconcile(self) -> None:
        """Each open purchase in a while: what was read of it may be old by then."""
        for purchase in purchases.unresolved(self.database, self.clock()):
            self.later(self.plan.draws.randrange(4_000), partial(self._resolve, purchase))
        self.later(RECOVER_INTERVAL_MS, self._reconcile)

    def _resolve(self, purchase: Purchase) -> None:
        if purchase.id not in self._under_way:
            self._under_way.add(purchase.id)
            self.run(self._buyer.resolve(purchase), lambda ended: self._under_way.discard(ended.id))

    def perform(self, step: Step, answered: Answered) -> None:
        match step:
            case FindPurchase(purchase_id):
                answered(purchases.find(self.database, purchase_id))
            case KeepPurchase(purchase):
                answered(committed(self.database, lambda database: purchases.keep(database, purchase)))
            case ReservePurchase(purchase):
                answered(
                    committed(
                        self.database,
                        lambda database: purchases.reserve(database, purchase, self._caps),
                    )
                )
            case Exchange(_, kind, data):
                self._exchange((kind, data), answered)
            case ReadHead() | ReadReceipt() | ReadUse():
                self.ask_ledger(step, answered)
            case Pause(seconds):
                self.later(int(1000 * seconds), lambda: answered(None))

    def _exchange(self, frame: Answer, answered: Answered) -> None:
        reply = Once(answered)
        self.later(EXCHANGE_LIMIT_MS, lambda: reply(None))

        def come_back(answer: Answer) -> None:
            for delay_ms in self.plan.leg(self.world.now_ms).delays_ms:
                self.later(delay_ms, lambda: reply(answer))

        for delay_ms in self.plan.leg(self.world.now_ms).delays_ms:
            self.world.after(delay_ms, lambda: self._seller.hear(frame, self.peer, come_back))
        self.overheard(frame)


class Once:
    """Passes the first answer on: a late or doubled one is to nobody any more."""

    def __init__(self, answered: Answered) -> None:
        self._answered: Answered | None = answered

    def __call__(self, value: Any) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(value)


def output_for(input_text: str) -> str:
    """What the work gives for a task."""
    return f"echo: {input_text}"


def token_of_the_world() -> Token:
    """The token of every run."""
    return Token(84532, bytes.fromhex("036cbd53842c5426634e7929541ec2318f3dcf7e"))
