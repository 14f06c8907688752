"""Agents: those of everybody, those of this node, having them work; the A2A cards."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request
from starlette.responses import Response

from mesh.api.market_answers import Refused, answer, answer_list, body_of
from mesh.api.market_desk import AtMarket
from mesh.api.market_shapes import ExecuteAsked, Executed, Listed, RegisterAsked
from mesh.apps.market.agents import Offer
from mesh.errors import MeshError
from mesh.protocols.market.board import Entry, Query
from mesh.protocols.market.cards import cards_of
from mesh.protocols.market.listing import atomic_price

router = APIRouter(tags=["agents"])


@router.get("/agents")
async def list_agents(market: AtMarket) -> Response:
    """Every listing, by name. What a registry on a chain says of them is never there."""
    return answer_list(market.all_listings())


@router.get("/agents/local")
async def list_own_agents(market: AtMarket) -> Response:
    """The agents of this node."""
    return answer_list(market.agents.shown(each) for each in market.agents.all)


@router.get("/agents/reputation/{token_id}")
async def show_reputation(token_id: str) -> Response:
    """What a registry on a chain says: none is asked."""
    if not (token_id.isascii() and token_id.isdigit()):
        raise Refused(400, "invalid tokenId")
    raise Refused(503, "this node asks no registry of reputation")


@router.post("/agents")
async def register_agent(market: AtMarket, request: Request) -> Response:
    """Offer an agent, whose work a command or an endpoint does, and list it everywhere."""
    asked = await body_of(request, RegisterAsked)
    named = tuple(each.name for each in asked.services or ())
    offer = Offer(
        asked.name,
        asked.description,
        asked.price,
        asked.image,
        asked.capabilities or named,
        asked.command,
        asked.url,
    )
    return answer(market.agents.shown(await market.register(offer)))


@router.delete("/agents/{agent_id}")
async def withdraw_agent(market: AtMarket, agent_id: str) -> Response:
    """Offer an agent no more; its listing disappears everywhere."""
    return answer(market.agents.shown(await market.withdraw(agent_id)))


@router.post("/agents/{agent_id}/execute")
async def execute_agent(market: AtMarket, agent_id: str, request: Request) -> Response:
    """Have an agent work; if it is another node's, that is a purchase."""
    asked = await body_of(request, ExecuteAsked)
    try:
        limit = None if asked.limit is None else atomic_price(asked.limit)
        outcome = await market.execute(agent_id, asked.input, limit, asked.purchase_id or None)
    except MeshError as error:
        raise Refused(500, f"execution failed: {str(error).partition(chr(10))[0]}") from None
    bought = outcome.purchase
    if bought is None:
        return answer(Executed(outcome.output))
    amount = str(bought.amount) if bought.amount else ""
    return answer(Executed(outcome.output, bought.id, amount, bought.tx_hash))


@router.get("/listings")
async def search_listings(
    market: AtMarket,
    text: str = "",
    capability: str = "",
    seller: str = "",
    max_price: float | None = None,
    verified: bool = False,
    sort: str = "name",
    reverse: bool = False,
) -> Response:
    """Listings that are wanted, in order, and whose word each is."""
    query = Query(text, capability, seller, max_price, verified, sort, reverse)
    return answer_list(map(_listed, market.find(query)))


@router.get("/listings/{agent_id}")
async def show_listing(market: AtMarket, agent_id: str) -> Response:
    """One listing."""
    entry = market.get(agent_id)
    if entry is None:
        raise Refused(404, f"agent not found: {agent_id[:256]}")
    return answer(_listed(entry))


@router.get("/.well-known/agent.json")
async def list_cards(market: AtMarket) -> Response:
    """Every listing as an A2A card; null without listings, as on the real node."""
    cards = cards_of(market.all_listings())
    return answer(cards or None)


def _listed(entry: Entry) -> Listed:
    age_s = max(0.0, round(time.time() - entry.heard_s, 3))
    return Listed(entry.listing, entry.verified, entry.trust.name.lower(), age_s)
