"""Money for tests: a private chain behind JSON-RPC, a facilitator that settles on it, a till and a purse with wallets."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mesh.apps.market.payments.facilitator import WebFacilitator
from mesh.apps.market.payments.ledger import RpcLedger
from mesh.apps.market.payments.purse import Exchanging, Purse
from mesh.apps.market.payments.rules import Caps
from mesh.apps.market.payments.store import FILE_NAME, PaymentStore
from mesh.apps.market.payments.till import Till, WorkFailed
from mesh.apps.market.payments.wallet import Wallet
from mesh.development.chain import ChainPlan, PrivateChain
from mesh.development.chain_server import ChainServer
from mesh.development.facilitator import Facilitator
from mesh.development.facilitator_server import FacilitatorServer
from mesh.development.faults import fault_named
from mesh.development.rpc_caller import RpcCaller
from mesh.identity.peer_id import PeerId
from mesh.protocols.x402.records import Purchase
from tests.apps.market.payments.records import SELLER
from tests.protocols.x402.vectors import BUYER_KEY, SELLER_KEY, USDC

BUYER_PEER = PeerId(bytes.fromhex("0024080112200b") + bytes(31))
SELLER_PEER = PeerId(SELLER)
THIEF_PEER = PeerId(bytes.fromhex("0024080112200d") + bytes(31))
FUNDS = 10_000_000
PRICES = {"agent": 1000, "dear": 50_000, "free": 0}


@dataclass
class EchoShop:
    """Sells an echo; what it did, for whom. ``gate`` is called before the work is done."""

    prices: dict[str, int] = field(default_factory=lambda: dict(PRICES))
    done: list[tuple[str, str, str, str]] = field(default_factory=list)
    failure: str = ""
    output: str = ""
    gate: Callable[[], Any] | None = None

    def price(self, resource: str) -> int | None:
        return self.prices.get(resource)

    async def run(self, resource: str, input_text: str, caller: str, purchase_id: str) -> str:
        self.done.append((resource, input_text, caller, purchase_id))
        if self.gate is not None:
            await self.gate()
        if self.failure:
            raise WorkFailed(self.failure)
        return self.output or f"echo: {input_text}"


@dataclass
class Market:
    """All of it, in one process. ``exchange`` hands frames to the till as a stream would."""

    chain: ChainServer
    facilitator: FacilitatorServer
    shop: EchoShop
    till: Till
    purse: Purse
    sold: PaymentStore
    bought: PaymentStore
    ledger: RpcLedger
    seller: Wallet
    buyer: Wallet

    def exchange(self, peer: PeerId = BUYER_PEER) -> Exchanging:
        async def exchange(kind: str, data: bytes) -> tuple[str, bytes]:
            return await self.till.answer(kind, data, peer)

        return exchange

    async def buy(self, resource: str = "agent", limit: int = 5000, **options: Any) -> Purchase:
        exchange = options.pop("exchange", None) or self.exchange()
        return await self.purse.buy(SELLER_PEER, resource, "2+2", limit, exchange, **options)

    def faults(self, *named: str) -> None:
        """What the facilitator does wrong next."""
        self.facilitator.faults.add(*map(fault_named, named))

    async def paid(self) -> int:
        """What the seller has been paid, as the chain says."""
        return await self.ledger.token_balance(self.seller.address)

    def pass_time(self, seconds: int) -> None:
        """Let the chain's time pass, to a new block."""
        self.chain.chain.shift_s += seconds
        self.chain.chain.mine()


class Markets:
    """Opens markets for a test, and reopens the parts of one on its files."""

    def __init__(self, stack: contextlib.AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    async def open_beside(self, name: str) -> Market:
        """Another market, in a folder of its own."""
        return await Markets(self._stack, self._folder / name).open()

    async def open(
        self,
        clock: Callable[[], float] = time.time,
        preemptive: bool = False,
        caps: Caps | None = None,
        **till_options: Any,
    ) -> Market:
        seller, buyer = Wallet(SELLER_KEY), Wallet(BUYER_KEY)
        plan = ChainPlan(units={buyer.address: FUNDS})
        enter = self._stack.enter_async_context
        chain = await enter(ChainServer(PrivateChain(plan, clock)))
        facilitator = await enter(FacilitatorServer(Facilitator(RpcCaller(chain.url), clock=clock)))
        ledger = await enter(RpcLedger(chain.url, USDC))
        settler = await enter(WebFacilitator(facilitator.url))
        sold = await enter(PaymentStore(self._folder / "seller" / FILE_NAME))
        bought = await enter(PaymentStore(self._folder / "buyer" / FILE_NAME))
        shop = EchoShop()
        till = await enter(
            Till(
                shop,
                sold,
                USDC,
                wallet=seller,
                ledger=ledger,
                facilitator=settler,
                preemptive=preemptive,
                clock=clock,
                **till_options,
            )
        )
        purse = Purse(
            bought, USDC, wallet=buyer, ledger=ledger, caps=caps, caller="did:key:z6MkCaller", clock=clock
        )
        return Market(chain, facilitator, shop, till, purse, sold, bought, ledger, seller, buyer)


@pytest.fixture
async def markets(tmp_path: Path) -> AsyncIterator[Markets]:
    async with contextlib.AsyncExitStack() as stack:
        yield Markets(stack, tmp_path)


@pytest.fixture
async def market(markets: Markets) -> Market:
    return await markets.open()
