"""The marketplace's API: the real node's routes on a port of their own, bound before it serves, ended in order.

async with Node(config) as node, Market(node, config) as market, MarketApi(market, "127.0.0.1:8424") as api:
    print(api.url)
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute

from mesh import __version__
from mesh.api import market_agent_routes, market_page, market_state_routes, market_workflow_routes
from mesh.api.binding import Bound, is_loopback
from mesh.api.credentials import hosts_of
from mesh.api.market_answers import install
from mesh.api.market_guard import MarketGuard
from mesh.api.served import Served
from mesh.apps.market.market import Market


def make_market_application(market: Market) -> FastAPI:
    """All routes of a marketplace, without the guard."""
    app = FastAPI(
        title="mesh marketplace API",
        version=__version__,
        description="Agents that sell work to each other. Errors are plain text.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.market = market
    install(app)
    for each in (market_agent_routes, market_state_routes, market_workflow_routes, market_page):
        app.include_router(each.router)
    return app


class MarketApi(Served):
    """The API of a running marketplace; see `Served`."""

    title = "the marketplace's API"
    token_file = MarketGuard.token_file
    note_file = "market.json"
    max_connections = 256

    def __init__(self, market: Market, listen: str, folder: Path | None = None) -> None:
        super().__init__(listen, folder)
        self._market = market

    @property
    def owner(self) -> str:
        return str(self._market.node.peer_id)

    def guarded(self, bound: Bound) -> MarketGuard:
        origins = self._market.settings.market.api_origins
        return MarketGuard(
            make_market_application(self._market),
            self.token,
            hosts=bound.hosts | hosts_of(origins),
            any_address=not is_loopback(self._listen),
            origins=frozenset(origins),
            all_need_token=False,
        )


def _operation_id(route: APIRoute) -> str:
    return route.name
