"""The agent API of a daemon: on a port of its own, bound before it serves, ended in order.

async with Node(config) as node, Agent(node, config) as agent, AgentApi(agent, "127.0.0.1:4003") as api:
    print(api.url)
"""

from __future__ import annotations

from pathlib import Path

from mesh.api.agent_application import make_agent_application
from mesh.api.agent_desk import AgentDesk
from mesh.api.agent_guard import AgentGuard
from mesh.api.agent_page import OPEN_PATHS
from mesh.api.binding import Bound, is_loopback
from mesh.api.credentials import hosts_of
from mesh.api.served import Served
from mesh.apps.agent.agent import Agent


class AgentApi(Served):
    """The API of a running agent; see `Served`."""

    title = "the agent API"
    token_file = AgentGuard.token_file
    note_file = "agent.json"
    max_connections = 256
    max_frame_bytes = 64 * 1024

    def __init__(self, agent: Agent, listen: str, folder: Path | None = None) -> None:
        super().__init__(listen, folder)
        self._section = agent.settings.agent
        self._desk = AgentDesk(agent)

    @property
    def owner(self) -> str:
        return self._desk.peer_id

    def guarded(self, bound: Bound) -> AgentGuard:
        return AgentGuard(
            make_agent_application(self._desk),
            self.token,
            hosts=bound.hosts | hosts_of(self._section.api_origins),
            any_address=not is_loopback(self._listen),
            origins=frozenset(self._section.api_origins),
            all_need_token=self._section.api_token == "all",
            open_paths=OPEN_PATHS,
        )

    def begin(self, url: str) -> None:
        self._desk.start()
        if self._desk.agent.waking is not None:
            self._desk.agent.waking.api_url = url

    async def end(self) -> None:
        await self._desk.stop()
