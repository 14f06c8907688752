"""This agent's announcements: at start, when services or addresses change, for newcomers, and every few minutes; and what
it heard from others, for newcomers and as often."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

from mesh.apps.agent.pulse import Pulse
from mesh.errors import MeshError
from mesh.protocols.openclaw.announcement import Announcement
from mesh.services.gossip.topic import Topic

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""How often addresses and neighbours are looked at."""
GAP_S: Final = 5.0
"""Between two announcements, whatever changes."""
GREETERS: Final = 16.0
"""So many of those who hear of a newcomer announce themselves to it, on average."""
GREETING_S: Final = 3.0
"""Within which they do so, each at a time of its own."""


class Announcing:
    """Publishes in all announcement topics that are joined. ``make`` gives the announcement as it is now."""

    def __init__(
        self,
        topics: Sequence[Topic],
        make: Callable[[], Announcement],
        addresses: Callable[[], Sequence[str]],
        interval_s: float,
    ) -> None:
        self._topics = topics
        self._make = make
        self._addresses = addresses
        self._pulse = Pulse(interval_s, GAP_S)
        self._told: tuple[str, ...] = ()
        self._neighbours: set[str] = set()

    def hurry(self) -> None:
        """Something changed: announce it soon."""
        self._pulse.hurry()

    def greet(self, known: int) -> None:
        """Somebody new was heard of; ``known`` peers are in the directory by now."""
        if random.random() < GREETERS / max(known, 1):
            asyncio.get_running_loop().call_later(random.uniform(0, GREETING_S), self._pulse.hurry)

    async def announce(self) -> None:
        """Publish now."""
        announcement = self._make()
        self._told = announcement.multiaddrs
        data = announcement.encode()
        for topic in self._topics:
            try:
                await topic.publish(data)
            except MeshError as error:
                log.warning("an announcement was not published: %s", error)

    async def run(self) -> None:
        """Announce when it is time. For ever."""
        while True:
            await self.announce()
            while not await self._pulse.due(LOOK_S):
                self._look()

    def _look(self) -> None:
        """Hurry when addresses changed, or when somebody has come who may not have heard."""
        neighbours = {str(peer) for topic in self._topics for peer in topic.peers()}
        if tuple(self._addresses()) != self._told or neighbours - self._neighbours:
            self._pulse.hurry()
        self._neighbours = neighbours


class Listing:
    """Tells what this agent heard from others in the directory topics; ``make`` gives it as it is now, empty for nothing
    to tell."""

    def __init__(self, topics: Sequence[Topic], make: Callable[[], bytes], interval_s: float) -> None:
        self._topics = topics
        self._make = make
        self._pulse = Pulse(interval_s, GAP_S)

    def hurry(self) -> None:
        """Somebody new was heard of: tell others soon."""
        self._pulse.hurry()

    async def run(self) -> None:
        """Tell when it is time. For ever."""
        while True:
            if await self._pulse.due(LOOK_S) and (data := self._make()):
                for topic in self._topics:
                    try:
                        await topic.publish(data)
                    except MeshError as error:
                        log.warning("the directory was not published: %s", error)
