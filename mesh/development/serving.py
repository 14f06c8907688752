"""HTTP on loopback for the development servers: bound before they serve, ended in order."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from starlette.datastructures import Address
from starlette.types import ASGIApp

from mesh.api.binding import bind, is_loopback
from mesh.api.guard import Guard
from mesh.api.http_server import HttpServer
from mesh.errors import UsageError

MAX_CONNECTIONS: Final = 256


class LoopbackServer:
    """One application at `HOST:PORT`. ``paths`` are all it has; none needs a token, as nothing behind them is worth
    anything, but no other machine and no web page of another origin gets through."""

    def __init__(self, app: ASGIApp, listen: str, paths: frozenset[str]) -> None:
        if not is_loopback(listen):
            raise UsageError(f"{listen}: what is for development listens on loopback alone")
        bound = bind(listen)
        guard = Guard(app, "", bound.hosts, paths)
        self._server = HttpServer(guard, bound, "development server", max_connections=MAX_CONNECTIONS)
        self.url = bound.url

    async def start(self) -> None:
        await self._server.start()

    def drop(self, client: Address | None) -> None:
        """Break the connection of a client, without an answer."""
        if client is not None:
            self._server.drop((client.host, client.port))

    async def hold(self, request: Request) -> None:
        """Keep a client without an answer until it goes away, or this server ends."""
        while (await request.receive())["type"] != "http.disconnect":
            pass

    async def stop(self) -> None:
        """Let answers leave, then close; safe to call twice."""
        await self._server.stop()
