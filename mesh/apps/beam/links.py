"""This node's direct links, measured every few seconds and told in ROUTE_UPDATEs; and others' heard.

A forwarder tells of all its links; a node that offers services of the best to forwarders, for those to be believed who
say that they lead to it; any other one of none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from mesh.identity.peer_id import PeerId
from mesh.network.swarm import Swarm
from mesh.protocols.beam.gossip_message import ROUTE_UPDATE, GossipMessage
from mesh.protocols.beam.link_report import reported_links
from mesh.protocols.beam.path_quality import PathMeter, Quality
from mesh.protocols.beam.route_table import UPDATE_S, RouteTable

MEASURE_S: Final = 5.0
TELL_AT_ONCE_S: Final = 1.0
"""After a change of who is connected."""

Publish = Callable[[str, Mapping[str, Any]], Awaitable[object]]


class Links:
    """``publish`` says something to everybody. ``table`` gets what others tell of theirs. ``offers`` says whether this
    node has services."""

    def __init__(
        self, swarm: Swarm, table: RouteTable, publish: Publish, forward: bool, offers: Callable[[], bool]
    ) -> None:
        self._swarm = swarm
        self._table = table
        self._publish = publish
        self._forward = forward
        self._offers = offers
        self._meters: dict[PeerId, PathMeter] = {}
        self._changed = asyncio.Event()
        self._told: set[PeerId] = set()
        self._told_at = -UPDATE_S

    def heard(self, message: GossipMessage) -> None:
        """What somebody tells of its own links."""
        if message.kind == ROUTE_UPDATE:
            self._table.update(
                message.origin, message.ts_ms, message.links, time.monotonic(), forwards=message.forwards
            )

    def changed(self) -> None:
        """Somebody came or went."""
        self._changed.set()

    def qualities(self) -> dict[PeerId, Quality]:
        """Of every peer that is directly connected, as it is now."""
        self._measure()
        now = time.monotonic()
        return {peer: meter.quality(now) for peer, meter in self._meters.items()}

    async def run(self) -> None:
        """Measure, and tell of it, for ever."""
        while True:
            self._measure()
            await self._tell(time.monotonic())
            try:
                async with asyncio.timeout(MEASURE_S):
                    await self._changed.wait()
                await asyncio.sleep(TELL_AT_ONCE_S)
            except TimeoutError:
                pass

    async def _tell(self, now: float) -> None:
        """Every `UPDATE_S`, and sooner when somebody came, went or began to forward."""
        links = []
        if self._forward or self._offers():
            links = reported_links(self.qualities(), self._forward, self._table.forwards)
        told = {each.peer for each in links}
        news = self._changed.is_set() or len(told) > len(self._told) or not self._told <= self._meters.keys()
        if not links or now - self._told_at < (MEASURE_S if news else UPDATE_S):
            if not links:
                self._changed.clear()
            return
        self._changed.clear()
        self._told_at, self._told = now, told
        body: dict[str, Any] = {"links": [each.document() for each in links]}
        await self._publish(ROUTE_UPDATE, body if self._forward else body | {"forwards": False})

    def _measure(self) -> None:
        now = time.monotonic()
        found: dict[PeerId, PathMeter] = {}
        for connection in self._swarm.connections:
            if connection.relay is not None or not connection.usable:
                continue
            meter = found[connection.peer] = self._meters.get(connection.peer) or PathMeter()
            meter.counted(connection.driver.received_bytes + connection.driver.sent_bytes, now)
            if connection.rtt_s is not None:
                meter.answered(connection.rtt_s)
        self._meters = found
