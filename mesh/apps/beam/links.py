"""This node's direct links, measured every few seconds and told in ROUTE_UPDATEs where it forwards; and others' heard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from mesh.identity.peer_id import PeerId
from mesh.network.swarm import Swarm
from mesh.protocols.beam.gossip_message import (
    MAX_BANDWIDTH,
    MAX_LATENCY_MS,
    MAX_LINKS,
    ROUTE_UPDATE,
    GossipMessage,
    Link,
)
from mesh.protocols.beam.path_quality import PathMeter, Quality
from mesh.protocols.beam.route_table import UPDATE_S, RouteTable

MEASURE_S: Final = 5.0
TELL_AT_ONCE_S: Final = 1.0
"""After a change of who is connected."""

Publish = Callable[[str, Mapping[str, Any]], Awaitable[object]]


class Links:
    """``publish`` says something to everybody. ``table`` gets what others tell of theirs."""

    def __init__(self, swarm: Swarm, table: RouteTable, publish: Publish, forward: bool) -> None:
        self._swarm = swarm
        self._table = table
        self._publish = publish
        self._forward = forward
        self._meters: dict[PeerId, PathMeter] = {}
        self._changed = asyncio.Event()

    def heard(self, message: GossipMessage) -> None:
        """What somebody tells of its own links."""
        if message.kind == ROUTE_UPDATE:
            self._table.update(message.origin, message.ts_ms, message.links, time.monotonic())

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
        told_at = -UPDATE_S
        while True:
            self._measure()
            now = time.monotonic()
            if self._forward and now - told_at >= (MEASURE_S if self._changed.is_set() else UPDATE_S):
                self._changed.clear()
                told_at = now
                links = [_link(peer, quality) for peer, quality in self.qualities().items()][:MAX_LINKS]
                await self._publish(ROUTE_UPDATE, {"links": [each.document() for each in links]})
            try:
                async with asyncio.timeout(MEASURE_S):
                    await self._changed.wait()
                await asyncio.sleep(TELL_AT_ONCE_S)
            except TimeoutError:
                pass
            if not self._forward:
                self._changed.clear()

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


def _link(peer: PeerId, quality: Quality) -> Link:
    return Link(
        peer,
        min(round(quality.latency_s * 1000, 3), MAX_LATENCY_MS),
        min(round(quality.bandwidth), MAX_BANDWIDTH),
        round(quality.reliability, 4),
        round(quality.congestion, 4),
    )
