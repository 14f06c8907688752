"""Paid calls between live nodes, settled on a private chain: executed once, written down, kept within caps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from mesh.api.market_server import MarketApi
from mesh.apps.market.agents import Offer
from mesh.apps.market.calls import PurchaseFailed
from mesh.apps.market.market import Market
from mesh.apps.market.work import CallableWorker
from mesh.errors import ConfigError
from mesh.protocols.market.naming import node_did
from mesh.protocols.market.workflows import left, spent, steps_of
from mesh.protocols.x402.records import PurchaseState
from tests.apps.agent.agents import until
from tests.apps.market.markets import Markets, join, shouting
from tests.network.live import eventually

pytest.importorskip("eth_account")
pytest.importorskip("eth")

from mesh.development.chain import ETHER, ChainPlan, PrivateChain
from mesh.development.chain_server import ChainServer
from mesh.development.facilitator import Facilitator
from mesh.development.facilitator_server import FacilitatorServer
from mesh.development.rpc_caller import RpcCaller
from tests.development.world import BUYER, SELLER, VECTORS, bytes_of

FUNDS = 10_000_000


@dataclass
class Trade:
    """A seller and a buyer who know each other, on one chain."""

    markets: Markets
    seller: Market
    buyer: Market
    settings: dict[str, Any]
    chain: PrivateChain

    async def paid(self) -> int:
        """Atomic units that the seller has, as the chain says."""
        assert self.seller.money.ledger is not None
        return await self.seller.money.ledger.token_balance(bytes_of(SELLER))

    async def offer(self, name: str = "shout", price: float = 0.5, **worker: Any) -> str:
        """List an agent of the seller's; its id, once the buyer knows it."""
        offer, usual = shouting(name, price)
        agent = await self.seller.register(offer, worker.get("worker", usual))
        await eventually(lambda: self.buyer.get(agent.did), "the listing")
        return agent.did


@pytest.fixture
async def trade(markets: Markets) -> AsyncIterator[Trade]:
    import time

    chain = PrivateChain(ChainPlan(units={bytes_of(BUYER): FUNDS}, wei={bytes_of(BUYER): ETHER}), time.time)
    async with (
        ChainServer(chain) as server,
        FacilitatorServer(Facilitator(RpcCaller(server.url))) as facilitator,
    ):
        settings = {"rpc_url": server.url, "facilitator_url": facilitator.url}
        seller = await markets.market(settings=settings, wallet_key=VECTORS["seller_private_key_hex"])
        buyer = await markets.market(settings=settings, wallet_key=VECTORS["buyer_private_key_hex"])
        await join(buyer, seller)
        yield Trade(markets, seller, buyer, settings, chain)
        await markets.aclose()


async def test_a_paid_call(trade: Trade) -> None:
    agent_id = await trade.offer()
    outcome = await trade.buyer.execute(agent_id, "hello")
    assert outcome.output == "HELLO"
    purchase = outcome.purchase
    assert purchase is not None
    assert (purchase.state, purchase.amount) == (PurchaseState.DELIVERED, 500_000)
    assert await trade.paid() == 500_000
    again = await trade.buyer.execute(agent_id, "hello", purchase_id=purchase.id)
    assert again.output == "HELLO"
    assert await trade.paid() == 500_000
    caller = node_did(trade.buyer.node.key.public)
    sold = await until(lambda: trade.seller.sessions.get(agent_id, caller), lambda found: found is not None)
    for session in (sold, await trade.buyer.sessions.get(agent_id, caller)):
        assert session is not None
        assert session.exchanges is not None
        payment = session.exchanges[0].payment
        assert payment is not None
        assert (payment.tx_hash, payment.amount) == (purchase.tx_hash, "500000")
        assert payment.payer == VECTORS["buyer_address"]
    [sale] = await trade.seller.sales()
    assert sale.purchase == purchase.id


async def test_an_agent_that_fails_after_it_was_paid_owes_a_refund(trade: Trade) -> None:
    def fail(text: str) -> str:
        raise RuntimeError("broken")

    agent_id = await trade.offer("broken", worker=CallableWorker(fail))
    with pytest.raises(PurchaseFailed) as failure:
        await trade.buyer.execute(agent_id, "hello")
    purchase = failure.value.purchase
    assert purchase.state is PurchaseState.PAID
    assert purchase.receipt is not None
    [sale] = await trade.seller.sales()
    assert sale.state.value == "refund"


async def test_a_workflow_within_its_budget(trade: Trade) -> None:
    first, second = await trade.offer("first", 0.5), await trade.offer("second", 0.25)
    flow = await trade.buyer.workflows.create([first, second], "abc", budget=1.0)
    flow = await trade.buyer.workflows.ended(flow.id)
    assert (flow.status, flow.output, flow.total_cost) == ("completed", "ABC", "0.75")
    assert [each.payment.amount for each in steps_of(flow) if each.payment] == ["500000", "250000"]
    assert (spent(flow), left(flow)) == (750_000, 250_000)
    assert await trade.paid() == 750_000
    flow = await trade.buyer.workflows.create([first, second], "abc", budget=0.6)
    flow = await trade.buyer.workflows.ended(flow.id)
    assert (flow.status, flow.total_cost) == ("failed", "0.5")
    assert "100000 are left" in steps_of(flow)[1].error
    assert await trade.paid() == 1_250_000


async def test_caps_and_limits(trade: Trade) -> None:
    agent_id = await trade.offer()
    with pytest.raises(PurchaseFailed, match="refused"):
        await trade.buyer.execute(agent_id, "hello", limit=499_999)
    careful = await trade.markets.market(
        settings={**trade.settings, "max_per_day": "0.6"}, wallet_key=VECTORS["buyer_private_key_hex"]
    )
    await join(careful, trade.seller)
    await eventually(lambda: careful.get(agent_id), "the listing")
    assert (await careful.execute(agent_id, "hello")).output == "HELLO"
    with pytest.raises(PurchaseFailed, match="refused"):
        await careful.execute(agent_id, "hello again")
    assert await trade.paid() == 500_000


async def test_a_seller_that_asks_for_more_than_it_listed(trade: Trade) -> None:
    agent_id = await trade.offer()
    own = trade.seller.agents._agents[agent_id]
    dearer = Offer(own.offer.name, own.offer.description, 5.0)
    await trade.seller.agents.add(dearer, CallableWorker(str.upper))
    with pytest.raises(PurchaseFailed, match="refused"):
        await trade.buyer.execute(agent_id, "hello")
    assert await trade.paid() == 0


async def test_the_api_of_who_pays(trade: Trade) -> None:
    agent_id = await trade.offer()
    async with (
        MarketApi(trade.buyer, "127.0.0.1:0") as api,
        httpx.AsyncClient(base_url=api.url, trust_env=False, timeout=30) as caller,
    ):
        bearer = {"authorization": f"Bearer {api.token}"}
        body = {"input": "hello"}
        assert (await caller.post(f"/agents/{agent_id}/execute", json=body)).status_code == 401
        assert await trade.paid() == 0
        answer = await caller.post(f"/agents/{agent_id}/execute", json=body, headers=bearer)
        done = answer.json()
        assert (done["output"], done["amount"]) == ("HELLO", "500000")
        balance = (await caller.get("/wallet/balance")).json()
        assert balance == {"address": VECTORS["buyer_address"], "balance": "1", "usdcBalance": "9.5"}
        [bought] = (await caller.get("/purchases")).json()
        assert bought["txHash"] == done["txHash"]
        assert (await caller.get("/status")).json()["walletAddress"] == VECTORS["buyer_address"]
    async with (
        MarketApi(trade.seller, "127.0.0.1:0") as api,
        httpx.AsyncClient(base_url=api.url, trust_env=False) as caller,
    ):
        [sold] = (await caller.get("/sales")).json()
        assert (sold["purchase"], sold["state"]) == (done["purchaseId"], "done")


async def test_a_buyer_needs_the_chain_alone(trade: Trade) -> None:
    agent_id = await trade.offer()
    settings = {"rpc_url": trade.settings["rpc_url"]}
    buyer = await trade.markets.market(settings=settings, wallet_key=VECTORS["buyer_private_key_hex"])
    assert not buyer.money.sells
    await join(buyer, trade.seller)
    await eventually(lambda: buyer.get(agent_id), "the listing")
    assert (await buyer.execute(agent_id, "hello")).output == "HELLO"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rpc_url": "https://rpc.example"}, "allow_chain"),
        ({"rpc_url": "https://rpc.example", "allow_chain": ("84532",)}, "max_per_day"),
        ({"rpc_url": "http://127.0.0.1:1", "facilitator_url": "https://settle.example"}, "allow_chain"),
        ({"rpc_url": "http://127.0.0.1:1", "chain_id": 8453}, "allow_chain"),
        ({"rpc_url": "http://127.0.0.1:1", "chain_id": 31337}, "market.token"),
    ],
)
async def test_where_money_may_not_move(markets: Markets, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        await markets.market(settings=settings)
