"""HTTP on loopback for the development servers: bound before they serve, ended in order."""

from __future__ import annotations

import asyncio
from typing import Final

import uvicorn
from fastapi import Request
from starlette.datastructures import Address
from starlette.types import ASGIApp

from mesh.api.agent_server import is_loopback
from mesh.api.binding import Bound, bind
from mesh.api.guard import Guard
from mesh.api.server import ApiServer
from mesh.errors import UsageError

MAX_CONNECTIONS: Final = 256
END_S: Final = 1


class LoopbackServer:
    """One application at `HOST:PORT`. ``paths`` are all it has; none needs a token, as nothing behind them is worth
    anything, but no other machine and no web page of another origin gets through."""

    def __init__(self, app: ASGIApp, listen: str, paths: frozenset[str]) -> None:
        if not is_loopback(listen):
            raise UsageError(f"{listen}: what is for development listens on loopback alone")
        self._bound: Bound = bind(listen)
        self._guard = Guard(app, "", self._bound.hosts, paths)
        self._server = ApiServer(
            uvicorn.Config(
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
                timeout_graceful_shutdown=END_S,
                limit_concurrency=MAX_CONNECTIONS,
            )
        )
        self._serving: asyncio.Task[None] | None = None
        self.url = self._bound.url

    async def start(self) -> None:
        self._serving = asyncio.create_task(
            self._server.serve([self._bound.socket]), name="development server"
        )
        try:
            await self._server.wait_started(self._serving)
        except BaseException:
            await self.stop()
            raise

    def drop(self, client: Address | None) -> None:
        """Break the connection of a client, without an answer."""
        for each in list(self._server.server_state.connections):
            if getattr(each, "client", None) == (client and tuple(client)):
                transport = getattr(each, "transport", None)
                if transport is not None:
                    transport.abort()

    async def hold(self, request: Request) -> None:
        """Keep a client without an answer until it goes away, or this server ends."""
        while (await request.receive())["type"] != "http.disconnect":
            pass

    async def stop(self) -> None:
        """Let answers leave, then close; safe to call twice."""
        serving, self._serving = self._serving, None
        try:
            if serving is not None:
                self._server.end()
                self._guard.end()
                await asyncio.wait([serving])
                await self._server.wait_gone()
        finally:
            self._bound.close()
