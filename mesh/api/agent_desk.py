"""What every route of the agent API gets: the agent, its health, its feed of events."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from mesh.api.agent_feed import AgentFeed
from mesh.apps.agent.agent import Agent
from mesh.apps.agent.health import Health, HealthWatch

log = logging.getLogger(__name__)


class AgentDesk:
    """A running agent as the routes see it."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.feed = AgentFeed(agent.events)
        self._watch = HealthWatch(agent)
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow the agent's events, and its health."""
        self._watch.start()
        self.feed.start()
        self._watching = asyncio.create_task(self._follow_health(), name="agent health")

    async def stop(self) -> None:
        """Follow them no more; whoever listens is told the end."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self.feed.stop()
        self._watch.stop()

    @property
    def peer_id(self) -> str:
        return str(self.agent.node.peer_id)

    @property
    def uptime_s(self) -> int:
        """Whole seconds since the agent started."""
        return max(0, (self.now - self.agent.started_at) // 1000)

    @property
    def now(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def health(self) -> Health:
        """How the agent does now."""
        return self._watch.look(self.now)

    async def _follow_health(self) -> None:
        """Write to the log what became of health, every `agent.health_interval_s`, when it changed."""
        before: tuple[str, ...] | None = None
        while True:
            errors = self.health().errors
            if errors != before:
                log.info("health: %s", "; ".join(errors) or "all is well")
            before = errors
            await asyncio.sleep(self.agent.settings.agent.health_interval_s)


async def desk_of(connection: HTTPConnection) -> AgentDesk:
    """The desk of the application that a request came to."""
    desk: AgentDesk = connection.app.state.agent_desk
    return desk


AtAgentDesk = Annotated[AgentDesk, Depends(desk_of)]
