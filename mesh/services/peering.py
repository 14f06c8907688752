"""Peers that are kept connected: never trimmed, and dialled again for ever when they are not there.

The first dial of a lost peer comes at once. After a failure, and after a connection that did not last, there are pauses
that double from 1 s up to 5 minutes, each a quarter longer or shorter so that many nodes do not dial in step. A change of
this machine's network ends all pauses.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mesh.errors import ConfigError, MeshError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.services.bootstrap import FIRST_PAUSE_S, LONGEST_PAUSE_S

log = logging.getLogger(__name__)

LASTING_S: Final = 30.0
"""A connection that ended sooner counts as a failure: somebody may not want it."""
LOOK_S: Final = 60.0
TAG: Final = "peering"
SETTING: Final = "network.peering"


@dataclass(slots=True)
class PeeringPeer:
    """One of the list. ``failures`` counts those in a row, ``failure`` says why the last one failed; times are those of
    the steady clock."""

    peer: PeerId
    addresses: tuple[Multiaddr, ...]
    connected: bool = False
    failures: int = 0
    failure: str = ""
    next_at: float = 0.0
    connected_at: float = 0.0
    dialling: bool = False

    @property
    def due(self) -> bool:
        """Whether it is to be dialled at ``next_at``."""
        return not self.connected and not self.dialling


class Peering:
    """Keeps at it. ``connect`` dials a peer at addresses, ``is_connected`` knows about one; ``protect`` and ``unprotect``
    tell the connection manager whom to spare, with `TAG`."""

    def __init__(
        self,
        addresses: Iterable[str],
        connect: Callable[[PeerId, tuple[Multiaddr, ...]], Awaitable[object]],
        is_connected: Callable[[PeerId], bool],
        protect: Callable[[PeerId, str], object],
        unprotect: Callable[[PeerId, str], object],
    ) -> None:
        self._connect = connect
        self._is_connected = is_connected
        self._protect = protect
        self._unprotect = unprotect
        self._awake = asyncio.Event()
        self.peers: dict[PeerId, PeeringPeer] = {}
        for text in addresses:
            try:
                self.add(Multiaddr.parse(text))
            except UsageError as error:
                raise ConfigError(f"{SETTING}: {error}") from None

    def add(self, address: Multiaddr) -> PeeringPeer:
        """Another peer, or another address of one. Raises `UsageError` for an address without a peer id."""
        data = address.peer_id_bytes()
        if data is None:
            raise UsageError(f"{address} names no peer: it has to end in /p2p/<peer id>")
        peer = PeerId.from_bytes(data)
        kept = self.peers.setdefault(peer, PeeringPeer(peer, ()))
        if (bare := address.without_peer()) and bare not in kept.addresses:
            kept.addresses += (bare,)
        kept.connected = self._is_connected(peer)
        kept.next_at = 0.0
        self._protect(peer, TAG)
        self._awake.set()
        return kept

    def remove(self, peer: PeerId) -> bool:
        """Keep a peer no longer; a connection to it stays. Whether it was kept."""
        self._unprotect(peer, TAG)
        return self.peers.pop(peer, None) is not None

    def hurry(self) -> None:
        """End every pause: the network is another one."""
        for each in self.peers.values():
            each.next_at = 0.0
        self._awake.set()

    def connected(self, peer: PeerId) -> None:
        """A connection to somebody stands."""
        kept = self.peers.get(peer)
        if kept is not None and not kept.connected:
            kept.connected, kept.failure, kept.connected_at = True, "", time.monotonic()

    def disconnected(self, peer: PeerId) -> None:
        """The last connection to somebody has gone."""
        kept = self.peers.get(peer)
        if kept is None or not kept.connected:
            return
        kept.connected = False
        now = time.monotonic()
        if now - kept.connected_at >= LASTING_S:
            kept.failures, kept.next_at = 0, now
        else:
            self._pause_after(kept, "the connection did not last")
        self._awake.set()

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as attempts:
            while True:
                now = time.monotonic()
                for each in self.peers.values():
                    if each.due and each.next_at <= now:
                        each.dialling = True
                        attempts.create_task(self._attempt(each), name=f"peering {each.peer.short()}")
                await self._pause()

    async def _attempt(self, kept: PeeringPeer) -> None:
        try:
            await self._connect(kept.peer, kept.addresses)
        except MeshError as error:
            pause = self._pause_after(kept, str(error))
            level = logging.WARNING if kept.failures == 1 else logging.INFO
            log.log(level, "peering %s: %s; next try in %.0f s", kept.peer, error, pause)
        else:
            self.connected(kept.peer)
            if not self._is_connected(kept.peer):
                self.disconnected(kept.peer)
        finally:
            kept.dialling = False
            self._awake.set()

    def _pause_after(self, kept: PeeringPeer, failure: str) -> float:
        pause = min(FIRST_PAUSE_S * float(2**kept.failures), LONGEST_PAUSE_S) * random.uniform(0.75, 1.25)
        kept.failures = min(kept.failures + 1, 30)
        kept.failure = failure
        kept.next_at = time.monotonic() + pause
        return pause

    async def _pause(self) -> None:
        waiting = [each.next_at for each in self.peers.values() if each.due]
        wait = min([each - time.monotonic() for each in waiting], default=LOOK_S)
        try:
            async with asyncio.timeout(max(0.0, min(wait, LOOK_S))):
                await self._awake.wait()
        except TimeoutError:
            pass
        self._awake.clear()
