"""Frames of gossip to connected peers: a short queue and one stream for each, opened when there is something to say."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.network.swarm import Swarm
from mesh.protocols.beam.gossip_message import PROTOCOL_ID
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

MAX_WAITING_BYTES: Final = 512 * 1024
"""Of one neighbour that does not read; what comes then is dropped: others tell it."""
WRITE_S: Final = 10.0
IDLE_S: Final = 60.0


class Neighbours:
    """Whoever is connected and speaks `/beam/gossip/1.0.0`. ``admits`` says with whom to have to do."""

    def __init__(
        self, swarm: Swarm, scope: Scope, admits: Callable[[PeerId], bool], counters: Counters
    ) -> None:
        self._swarm = swarm
        self._scope = scope
        self._admits = admits
        self._counters = counters
        self._queues: dict[PeerId, _Queue] = {}

    def peers(self) -> list[PeerId]:
        """Each once."""
        found = [each for each in self._swarm.peers if self._admits(each)]
        return [each for each in found if self._connection(each) is not None]

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Queue a frame; it is dropped where too much waits."""
        queue = self._queues.get(peer)
        if queue is None:
            queue = self._queues[peer] = _Queue()
            self._scope.spawn(self._write(peer, queue), "beam gossip to a neighbour")
        if queue.bytes + len(frame) > MAX_WAITING_BYTES:
            self._counters.count("beam.gossip:dropped")
            return
        queue.bytes += len(frame)
        queue.frames.append(frame)
        queue.filled.set()
        queue.empty.clear()

    async def written(self) -> None:
        """Wait until every queue is empty."""
        for queue in list(self._queues.values()):
            await queue.empty.wait()

    def _connection(self, peer: PeerId) -> Connection | None:
        connection = self._swarm.connection_to(peer)
        if connection is None or connection.limited is not None or not connection.usable:
            return None
        return connection if PROTOCOL_ID in (connection.remote_protocols or ()) else None

    async def _write(self, peer: PeerId, queue: _Queue) -> None:
        """Write frames until the queue was empty for a while, or the peer is gone."""
        try:
            connection = self._connection(peer)
            if connection is None:
                return
            async with asyncio.timeout(WRITE_S):
                stream = await connection.open([PROTOCOL_ID])
            async with stream:
                while await queue.wait():
                    frame = queue.frames.popleft()
                    queue.bytes -= len(frame)
                    async with asyncio.timeout(WRITE_S):
                        await stream.write_message(frame)
                    if not queue.frames:
                        queue.empty.set()
                    self._counters.count("beam.gossip:sent")
        except (MeshError, TimeoutError) as error:
            log.debug("gossip to %s ended: %s", peer, error)
        finally:
            queue.empty.set()
            self._queues.pop(peer, None)


class _Queue:
    __slots__ = ("bytes", "empty", "filled", "frames")

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.bytes = 0
        self.filled = asyncio.Event()
        self.empty = asyncio.Event()

    async def wait(self) -> bool:
        """Until there is a frame; False when none came for a while."""
        while not self.frames:
            self.filled.clear()
            try:
                async with asyncio.timeout(IDLE_S):
                    await self.filled.wait()
            except TimeoutError:
                return False
        return True
