"""Peers that never ask: a Betar node does not look at connections made while it started (marketplace, section 1.8).

It lacks a head that it was told of and asks nobody for it, until it is connected anew. So one that dialled us, and wants
nothing within `PATIENCE_S` of a head, is closed and dialled once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.scope import Spawn
from mesh.services.bitswap.host import Host
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

PROTOCOL: Final = "/betar/marketplace/1.0.0"
PATIENCE_S: Final = 10.0
MAX_CURED: Final = 4096


class DeafPeers:
    """``asked`` says whether a peer ever wanted anything over its present connections, ``reconnect`` dials it anew."""

    def __init__(
        self,
        host: Host,
        asked: Callable[[PeerId], bool],
        reconnect: Callable[[PeerId], Awaitable[Connection]],
        spawn: Spawn,
        counters: Counters,
    ) -> None:
        self._host = host
        self._asked = asked
        self._reconnect = reconnect
        self._spawn = spawn
        self._counters = counters
        self._cured: dict[PeerId, None] = {}

    def told(self, peers: Iterable[PeerId]) -> None:
        """These peers were told of something that they may lack."""
        for peer in peers:
            if peer not in self._cured and self._seems_deaf(peer):
                while len(self._cured) >= MAX_CURED:
                    del self._cured[next(iter(self._cured))]
                self._cured[peer] = None
                self._spawn(self._cure(peer), "bitswap deaf peer")

    def _seems_deaf(self, peer: PeerId) -> bool:
        connection = self._host.connection_to(peer)
        return (
            connection is not None
            and connection.inbound
            and PROTOCOL in (connection.remote_protocols or ())
            and not self._asked(peer)
        )

    async def _cure(self, peer: PeerId) -> None:
        before = self._host.connection_to(peer)
        await asyncio.sleep(PATIENCE_S)
        if self._host.connection_to(peer) is not before or not self._seems_deaf(peer):
            self._cured.pop(peer, None)
            return
        try:
            await self._reconnect(peer)
        except MeshError as error:
            self._counters.count("bitswap.deaf_lost")
            log.info("%s asks for nothing, and cannot be dialled: %s", peer, error)
