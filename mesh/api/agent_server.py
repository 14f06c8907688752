"""The agent API of a daemon: on a port of its own, bound before it serves, ended in order.

async with Node(config) as node, Agent(node, config) as agent, AgentApi(agent, "127.0.0.1:4003") as api:
    print(api.url)
"""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import uvicorn

from mesh.api import token
from mesh.api.agent_application import make_agent_application
from mesh.api.agent_desk import AgentDesk
from mesh.api.agent_guard import AgentGuard
from mesh.api.agent_page import OPEN_PATHS
from mesh.api.binding import Bound, bind
from mesh.api.note import Note
from mesh.api.server import END_S, KEEP_ALIVE_S, ApiServer
from mesh.apps.agent.agent import Agent
from mesh.errors import UsageError

TOKEN_FILE: Final = "agent.token"
NOTE_FILE: Final = "agent.json"
MAX_CONNECTIONS: Final = 256
MAX_FRAME_BYTES: Final = 64 * 1024
"""Of what a listener of events sends."""


class AgentApi:
    """The API of a running agent. ``folder`` keeps the token; without one it is made anew. ``url`` and ``token`` hold
    from `start` to `stop`."""

    def __init__(self, agent: Agent, listen: str, folder: Path | None = None) -> None:
        self._section = agent.settings.agent
        self._desk = AgentDesk(agent)
        self._listen = listen
        self._folder = folder
        self._server: ApiServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._bound: Bound | None = None
        self._guard: AgentGuard | None = None
        self._note = Note(folder, NOTE_FILE)
        self.token = ""

    @property
    def url(self) -> str:
        """`http://HOST:PORT`. Raises `UsageError` when the API does not run."""
        if self._bound is None:
            raise UsageError("the agent API is not running")
        return self._bound.url

    async def start(self) -> None:
        """Bind and serve. Raises `AddressInUse`, `NetworkError`, `UsageError`, `StorageError`, `ConfigError`; nothing is
        left open then."""
        if self._bound is not None:
            raise UsageError("the agent API has been started already")
        made = token.make_token() if self._folder is None else token.load_or_create(self._folder, TOKEN_FILE)
        self.token = made
        self._bound = bound = bind(self._listen)
        self._desk.start()
        try:
            self._server = server = ApiServer(self._configuration(bound))
            self._serving = asyncio.create_task(server.serve([bound.socket]), name="agent API")
            await server.wait_started(self._serving)
            self._note.write(bound.url, self._desk.peer_id)
            if self._desk.agent.waking is not None:
                self._desk.agent.waking.api_url = bound.url
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End event streams, let answers leave, close; safe to call twice."""
        self._note.remove()
        bound, server, serving = self._bound, self._server, self._serving
        self._bound = self._server = self._serving = None
        if bound is None:
            return
        try:
            await self._desk.stop()
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
        self._guard = AgentGuard(
            make_agent_application(self._desk),
            self.token,
            hosts=bound.hosts | frozenset(map(_host_of, self._section.api_origins)),
            any_address=not is_loopback(self._listen),
            origins=frozenset(self._section.api_origins),
            all_need_token=self._section.api_token == "all",
            open_paths=OPEN_PATHS,
        )
        return uvicorn.Config(
            self._guard,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=MAX_FRAME_BYTES,
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


def _host_of(origin: str) -> str:
    """The name in an origin, as it stands in a Host header."""
    host = urlsplit(origin).hostname or ""
    return f"[{host}]" if ":" in host else host


def is_loopback(listen: str) -> bool:
    """Whether `HOST:PORT` can be reached from this machine alone."""
    host = listen.rpartition(":")[0].strip("[]").lower()
    return host == "localhost" or _is_loopback_address(host)


def _is_loopback_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
