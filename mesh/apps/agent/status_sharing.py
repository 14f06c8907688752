"""This node's status, told every minute, and the last one of every other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from mesh.apps.agent.pulse import Pulse
from mesh.apps.agent.records import NodeStatus
from mesh.errors import MeshError
from mesh.protocols.openclaw.announcement import Status
from mesh.services.gossip.topic import Topic

log = logging.getLogger(__name__)

KEPT_MS: Final = 3600 * 1000
"""A status is shown for so long after it was heard; a stock daemon shows it for ever."""
MAX_PEERS: Final = 4096
LOOK_S: Final = 2.0
GAP_S: Final = 5.0


class StatusSharing:
    """``make`` gives this node's status as it is now. ``last_broadcast`` is when it was told last, 0 for never."""

    def __init__(
        self,
        topics: Sequence[Topic],
        make: Callable[[], NodeStatus],
        interval_s: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._topics = topics
        self._make = make
        self._now_ms = now_ms
        self._pulse = Pulse(interval_s, GAP_S)
        self._heard: dict[str, tuple[NodeStatus, int]] = {}
        self._neighbours: set[str] = set()
        self.last_broadcast = 0

    def hear(self, status: Status) -> NodeStatus | None:
        """Keep another's status, whose author was checked; None for one that is older than what is kept."""
        found = NodeStatus(
            status.peer_id,
            status.name,
            status.multiaddrs,
            status.services,
            status.version,
            status.uptime,
            status.connected_peers,
            status.timestamp,
        )
        before = self._heard.pop(found.peer_id, None)
        if before is not None and before[0].timestamp >= found.timestamp:
            self._heard[found.peer_id] = before
            return None
        self._heard[found.peer_id] = (found, self._now_ms())
        if len(self._heard) > MAX_PEERS:
            del self._heard[next(iter(self._heard))]
        return found

    @property
    def peers(self) -> tuple[NodeStatus, ...]:
        """The last status of each other that was heard within an hour."""
        oldest = self._now_ms() - KEPT_MS
        return tuple(status for status, at in self._heard.values() if at >= oldest)

    async def broadcast(self) -> None:
        """Tell it now."""
        status = self._make()
        data = Status(
            status.peer_id,
            status.name,
            status.multiaddrs,
            status.services,
            status.version,
            status.uptime,
            status.connected_peers,
            status.timestamp,
        ).encode()
        for topic in self._topics:
            try:
                await topic.publish(data)
            except MeshError as error:
                log.warning("the status was not published: %s", error)
        self.last_broadcast = self._now_ms()

    async def run(self) -> None:
        """Tell it when it is time, and to newcomers. For ever."""
        while True:
            await self.broadcast()
            while not await self._pulse.due(LOOK_S):
                neighbours = {str(peer) for topic in self._topics for peer in topic.peers()}
                if neighbours - self._neighbours:
                    self._pulse.hurry()
                self._neighbours = neighbours
