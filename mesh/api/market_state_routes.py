"""This node in the marketplace: health, peers, wallet, orders, sessions, what was bought and sold."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from mesh.api.market_answers import Refused, answer, answer_list, body_of
from mesh.api.market_desk import AtMarket
from mesh.api.market_shapes import Balance, Bought, OrderAsked, Peer, Sold, Status
from mesh.identity.peer_id import PeerId
from mesh.protocols.x402.amounts import amount_in_words
from mesh.protocols.x402.records import Purchase, Sale

router = APIRouter(tags=["market"])
Most = Annotated[int, Field(ge=1, le=1000)]
WEI: int = 10**18


@router.get("/health")
async def show_health() -> Response:
    """That it runs."""
    return answer({"status": "ok"})


@router.get("/status")
async def show_status(market: AtMarket) -> Response:
    """Who this node is."""
    node = market.node
    wallet, folder = market.money.wallet, node.config.node.path
    return answer(
        Status(
            str(node.peer_id),
            tuple(str(each) for each in node.listen_addrs),
            len(node.swarm.peers),
            "" if wallet is None else wallet.address_text,
            "" if folder is None else str(folder),
        )
    )


@router.get("/peers")
async def list_peers(market: AtMarket) -> Response:
    """Connected peers and where they are reached."""
    node = market.node
    found = []
    for peer in node.swarm.peers:
        connection = node.swarm.connection_to(peer)
        addresses = () if connection is None else (str(connection.remote),)
        found.append(Peer(str(peer), addresses))
    return answer_list(found)


@router.get("/wallet/balance")
async def show_balance(market: AtMarket) -> Response:
    """What the wallet has, as the chain says."""
    wallet, ledger = market.money.wallet, market.money.ledger
    if wallet is None or ledger is None:
        raise Refused(503, "payments are off: set market.rpc_url")
    coins = Decimal(await ledger.balance(wallet.address)) / WEI
    tokens = await ledger.token_balance(wallet.address)
    return answer(Balance(wallet.address_text, f"{coins:f}", amount_in_words(tokens)))


@router.get("/orders")
async def list_orders(market: AtMarket) -> Response:
    """Orders made and taken, the one that changed last at the end."""
    return answer_list(market.orders.all)


@router.post("/orders")
async def make_order(market: AtMarket, request: Request) -> Response:
    """Make an order, at the agent's seller too if it is known."""
    asked = await body_of(request, OrderAsked)
    if not asked.agent_id:
        raise Refused(400, "agentId is required")
    entry = market.get(asked.agent_id)
    seller = "" if entry is None else entry.listing.seller_id
    return answer(await market.orders.create(asked.agent_id, asked.price, seller))


@router.get("/sessions/{agent_id}")
async def list_sessions(market: AtMarket, agent_id: str) -> Response:
    """Every session with an agent."""
    return answer_list(await market.sessions.of_agent(agent_id))


@router.get("/sessions/{agent_id}/{caller_id}")
async def show_session(market: AtMarket, agent_id: str, caller_id: str) -> Response:
    """The session of one caller."""
    found = await market.sessions.get(agent_id, caller_id)
    if found is None:
        raise Refused(404, "session not found")
    return answer(found)


@router.get("/purchases")
async def list_purchases(market: AtMarket, most: Most = 100) -> Response:
    """What was bought, the newest first."""
    purse = market.calls.purse
    found = [] if purse is None else await purse.purchases(most)
    return answer_list(map(_bought, found))


@router.get("/sales")
async def list_sales(market: AtMarket, most: Most = 100) -> Response:
    """What was sold for pay, the newest first; state refund is owed to its buyer."""
    return answer_list(map(_sold, await market.sales(most)))


def _bought(purchase: Purchase) -> Bought:
    return Bought(
        purchase.id,
        purchase.state.value,
        str(PeerId(purchase.seller)),
        purchase.resource,
        str(purchase.amount),
        purchase.tx_hash,
        purchase.reason,
        int(purchase.created_at_s),
    )


def _sold(sale: Sale) -> Sold:
    return Sold(
        sale.purchase,
        sale.state.value,
        str(PeerId(sale.remote)),
        sale.resource,
        str(sale.authorization.amount),
        "" if sale.transaction is None else f"0x{sale.transaction.hex()}",
        sale.reason,
        int(sale.taken_at_s),
    )
