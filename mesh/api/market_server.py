"""The marketplace's API: the real node's routes on a port of their own, bound before it serves, ended in order.

async with Node(config) as node, Market(node, config) as market, MarketApi(market, "127.0.0.1:8424") as api:
    print(api.url)
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from fastapi.routing import APIRoute

from mesh import __version__
from mesh.api import market_agent_routes, market_page, market_state_routes, market_workflow_routes, token
from mesh.api.agent_server import is_loopback
from mesh.api.binding import Bound, bind
from mesh.api.market_answers import install
from mesh.api.market_guard import MarketGuard
from mesh.api.note import Note
from mesh.api.server import END_S, KEEP_ALIVE_S, ApiServer
from mesh.apps.market.market import Market
from mesh.errors import UsageError

TOKEN_FILE: Final = "market.token"
NOTE_FILE: Final = "market.json"
MAX_CONNECTIONS: Final = 256


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


class MarketApi:
    """The API of a running marketplace. ``folder`` keeps the token; without one it is made anew. ``url`` and ``token``
    hold from `start` to `stop`."""

    def __init__(self, market: Market, listen: str, folder: Path | None = None) -> None:
        self._market = market
        self._listen = listen
        self._folder = folder
        self._server: ApiServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._bound: Bound | None = None
        self._guard: MarketGuard | None = None
        self._note = Note(folder, NOTE_FILE)
        self.token = ""

    @property
    def url(self) -> str:
        """`http://HOST:PORT`. Raises `UsageError` when the API does not run."""
        if self._bound is None:
            raise UsageError("the marketplace's API is not running")
        return self._bound.url

    async def start(self) -> None:
        """Bind and serve. Raises `AddressInUse`, `NetworkError`, `UsageError`, `StorageError`, `ConfigError`; nothing is
        left open then."""
        if self._bound is not None:
            raise UsageError("the marketplace's API has been started already")
        made = token.make_token() if self._folder is None else token.load_or_create(self._folder, TOKEN_FILE)
        self.token = made
        self._bound = bound = bind(self._listen)
        try:
            self._server = server = ApiServer(self._configuration(bound))
            self._serving = asyncio.create_task(server.serve([bound.socket]), name="market API")
            await server.wait_started(self._serving)
            self._note.write(bound.url, str(self._market.node.peer_id))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let answers leave, close; safe to call twice."""
        self._note.remove()
        bound, server, serving = self._bound, self._server, self._serving
        self._bound = self._server = self._serving = None
        if bound is None:
            return
        try:
            if server is not None and serving is not None:
                server.end()
                if self._guard is not None:
                    self._guard.end()
                await asyncio.wait([serving])
                await server.wait_gone()
        finally:
            bound.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def _configuration(self, bound: Bound) -> uvicorn.Config:
        origins = self._market.settings.market.api_origins
        named = (urlsplit(each).hostname or "" for each in origins)
        self._guard = MarketGuard(
            make_market_application(self._market),
            self.token,
            hosts=bound.hosts | frozenset(f"[{each}]" if ":" in each else each for each in named),
            any_address=not is_loopback(self._listen),
            origins=frozenset(origins),
            all_need_token=False,
        )
        return uvicorn.Config(
            self._guard,
            lifespan="off",
            ws="none",
            http="h11",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=END_S,
            limit_concurrency=MAX_CONNECTIONS,
        )


def _operation_id(route: APIRoute) -> str:
    return route.name
