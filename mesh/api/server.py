"""The control API of a node: bound before it serves, run inside the node's loop, ended in order.

async with Node(config) as node, ControlApi(node, "127.0.0.1:4003") as api:
    print(api.url)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import uvicorn

from mesh.api import token
from mesh.api.application import PREFIX, make_application
from mesh.api.binding import Bound, bind
from mesh.api.desk import Desk
from mesh.api.guard import HEALTH, METRICS, Guard
from mesh.api.note import Note
from mesh.errors import UsageError
from mesh.node import Node

if TYPE_CHECKING:
    from mesh.apps.beam.beam import Beam
    from mesh.apps.lethean.service import LetheanService

FILE_NAME: Final = "api.json"
MAX_CONNECTIONS: Final = 64
KEEP_ALIVE_S: Final = 30
END_S: Final = 2
"""Whole seconds that answers under way get when the API ends."""


class ControlApi:
    """The API of a running node. ``folder`` keeps the token and says where the API is; without one the token is made
    anew. ``url`` and ``token`` hold from `start` to `stop`."""

    def __init__(
        self,
        node: Node,
        listen: str,
        folder: Path | None = None,
        lethean: LetheanService | None = None,
        beam: Beam | None = None,
    ) -> None:
        self._desk = Desk(node, lethean, beam)
        self._listen = listen
        self._folder = folder
        self._metrics = node.config.api.metrics
        self._server: ApiServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._bound: Bound | None = None
        self._guard: Guard | None = None
        self._note = Note(folder, FILE_NAME)
        self.token = ""

    @property
    def url(self) -> str:
        """`http://HOST:PORT`, or `unix:/path`. Raises `UsageError` when the API does not run."""
        if self._bound is None:
            raise UsageError("the control API is not running")
        return self._bound.url

    async def start(self) -> None:
        """Bind and serve. Raises `AddressInUse`, `NetworkError`, `UsageError`, `StorageError`, `ConfigError`; nothing is
        left open then."""
        if self._bound is not None:
            raise UsageError("the control API has been started already")
        self.token = token.make_token() if self._folder is None else token.load_or_create(self._folder)
        self._bound = bound = bind(self._listen)
        try:
            self._server = server = ApiServer(self._configuration(bound))
            self._desk.watch.start()
            self._serving = asyncio.create_task(server.serve([bound.socket]), name="control API")
            await server.wait_started(self._serving)
            self._note.write(bound.url, str(self._desk.node.peer_id))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End event streams, let answers leave, close; safe to call twice."""
        self._note.remove()
        self._desk.watch.stop()
        bound, server, serving = self._bound, self._server, self._serving
        self._bound = self._server = self._serving = None
        try:
            if server is not None and serving is not None:
                server.end()
                if self._guard is not None:
                    self._guard.end()
                await asyncio.wait([serving])
                await server.wait_gone()
        finally:
            if bound is not None:
                bound.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    # -- within ------------------------------------------------------------------------------------------------------

    def _configuration(self, bound: Bound) -> uvicorn.Config:
        open_paths = {HEALTH} | ({PREFIX + METRICS} if self._metrics == "open" else set())
        self._guard = Guard(make_application(self._desk), self.token, bound.hosts, frozenset(open_paths))
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


class ApiServer(uvicorn.Server):
    """A server that leaves signals alone and sleeps until it is told to end, instead of looking ten times a second."""

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
