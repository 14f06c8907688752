"""HTTP for one application on a socket that is bound already, inside the caller's loop, ended in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from typing import Final, Protocol

import uvicorn
from starlette.types import Receive, Scope, Send

from mesh.api.binding import Bound

KEEP_ALIVE_S: Final = 30
END_S: Final = 2
"""Whole seconds that answers under way get when a server ends."""


class Guarded(Protocol):
    """An ASGI application that can be told to finish its answers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def end(self) -> None: ...


class HttpServer:
    """``name`` is that of its task. WebSockets are spoken with ``max_frame_bytes`` alone: what a client may send in one
    message. The socket is closed with the server."""

    def __init__(
        self, app: Guarded, bound: Bound, name: str, *, max_connections: int, max_frame_bytes: int = 0
    ) -> None:
        self._app = app
        self._bound = bound
        self._name = name
        self._serving: asyncio.Task[None] | None = None
        self._server = _Server(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="websockets-sansio" if max_frame_bytes else "none",
                ws_max_size=max_frame_bytes,
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
                limit_concurrency=max_connections,
            )
        )

    async def start(self) -> None:
        """Return when connections are taken; raises what kept the server from it, and is stopped then."""
        self._serving = asyncio.create_task(self._server.serve([self._bound.socket]), name=self._name)
        try:
            await self._server.wait_started(self._serving)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let answers leave, then close; safe to call twice, and without `start`."""
        serving, self._serving = self._serving, None
        try:
            if serving is not None:
                self._server.end()
                self._app.end()
                await asyncio.wait([serving])
                await self._server.wait_gone()
        finally:
            self._bound.close()

    def drop(self, client: tuple[str, int]) -> None:
        """Break the connection of a client, without an answer."""
        for each in list(self._server.server_state.connections):
            transport = getattr(each, "transport", None)
            if transport is not None and getattr(each, "client", None) == client:
                transport.abort()


class _Server(uvicorn.Server):
    """Leaves signals alone and sleeps until it is told to end, instead of looking ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()
        self._running = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def main_loop(self) -> None:
        self._running.set()
        await self._ending.wait()

    def end(self) -> None:
        self.should_exit = True
        self._ending.set()

    async def wait_started(self, serving: asyncio.Task[None]) -> None:
        """Return when connections are taken; raises what kept the server from it."""
        running = asyncio.create_task(self._running.wait())
        try:
            await asyncio.wait([running, serving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            running.cancel()
        if serving.done():
            serving.result()

    async def wait_gone(self) -> None:
        """After the end: tasks that had to be cancelled have ended, transports are closed."""
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks))
