"""Other agents found at rendezvous points, where pubsub reaches nobody: behind relays that pass no topics on.

This agent registers under the name of the announcement topic and connects to whom it finds there; behind two NATs that
leads through a relay, and from there to a direct connection where hole punching is on. Pubsub runs on that one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from mesh.errors import MeshError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.openclaw.announcement import ANNOUNCE_TOPIC

if TYPE_CHECKING:
    from mesh.node import Node
    from mesh.services.rendezvous.client import Found

log = logging.getLogger(__name__)

NAMESPACE: Final = ANNOUNCE_TOPIC
SOURCE: Final = "rendezvous"
FOUND_PER_MINUTE: Final = 120
"""Peers that all points together may have dialled."""
MAX_FOUND: Final = 100
"""Taken of one answer; the next one goes on from there."""
LOOK_S: Final = 2.0
"""How often own addresses are looked at."""
LEAST_STAY_S: Final = 60.0
"""Between two registrations at unchanged addresses, whatever a point grants."""
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 300.0
"""After a point refused or did not answer; twice as long each time."""


class Finding:
    """``points`` are addresses of rendezvous points, each asked every ``interval_s``."""

    def __init__(self, node: Node, points: Sequence[str], interval_s: float) -> None:
        """Raises `DecodeError` for what is no address."""
        self._node = node
        self._points = [Multiaddr.parse(each) for each in points]
        self._interval_s = interval_s

    async def run(self) -> None:
        """Register and look, at all points. For ever."""
        self._node.discovery.found.limit(SOURCE, FOUND_PER_MINUTE)
        async with asyncio.TaskGroup() as group:
            for point in self._points:
                group.create_task(self._attend(point), name=f"rendezvous at {point}")

    async def _attend(self, point: Multiaddr) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                await self._stay(point)
            except MeshError as error:
                self._node.counters.count("agent.rendezvous:failed")
                if time.monotonic() - began > LONGEST_PAUSE_S:
                    pause_s = FIRST_PAUSE_S
                log.info("rendezvous at %s: %s; again in %g s", point, error, pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                pause_s = FIRST_PAUSE_S

    async def _stay(self, point: Multiaddr) -> None:
        """Register, and look for others until it is time to register anew. Raises `MeshError`."""
        node = self._node
        told = tuple(node.own_addresses)
        granted_s = await node.rendezvous.register(point, NAMESPACE)
        node.counters.count("agent.rendezvous:registered")
        end = time.monotonic() + max(granted_s / 2, LEAST_STAY_S)
        cookie = b""
        while tuple(node.own_addresses) == told and (left_s := end - time.monotonic()) > 0:
            answer = await node.rendezvous.discover(point, NAMESPACE, MAX_FOUND, cookie)
            cookie = answer.cookie
            for found in answer.peers:
                self._offer(found)
            more = len(answer.peers) == MAX_FOUND
            await self._wait(told, min(LOOK_S if more else self._interval_s, left_s))

    async def _wait(self, told: Sequence[Multiaddr], wait_s: float) -> None:
        """Until then, or until this node is reached elsewhere."""
        until = time.monotonic() + wait_s
        while tuple(self._node.own_addresses) == told:
            if (left_s := until - time.monotonic()) <= 0:
                return
            await asyncio.sleep(min(LOOK_S, left_s))

    def _offer(self, found: Found) -> None:
        """Have a peer dialled that is not connected, be it through a relay."""
        node = self._node
        if found.peer != node.peer_id and not node.swarm.is_connected(found.peer):
            node.discovery.found.offer(found.peer, found.addresses, SOURCE)
