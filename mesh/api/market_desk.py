"""What every route of the marketplace's API gets: the marketplace."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from mesh.apps.market.market import Market


async def market_of(request: Request) -> Market:
    """The marketplace of the application that a request came to."""
    market: Market = request.app.state.market
    return market


AtMarket = Annotated[Market, Depends(market_of)]
