"""Peers that others told of: whom mDNS, peer exchange or a rendezvous point named, dialled while more peers are wanted.

Whoever names peers may lie, so naming one costs this node at most a failed dial: a source names so many a minute, a few
are dialled at once, and one that fails again and again is left alone for longer and longer (`network.blacklist`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.blacklist import Blacklist
from mesh.protocols.allowance import Allowance
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

DIALS_AT_ONCE: Final = 8
MAX_WAITING: Final = 256
MAX_ADDRESSES: Final = 16
"""Taken of one peer at a time."""

Connect = Callable[[PeerId, tuple[Multiaddr, ...]], Awaitable[object]]


class FoundPeers:
    """Who was named and waits to be dialled. ``connect`` dials a peer at addresses, ``is_connected`` says whether a
    direct connection stands, ``peer_count`` says how many are connected; at ``wanted`` nobody more is dialled."""

    def __init__(
        self,
        local: PeerId,
        connect: Connect,
        is_connected: Callable[[PeerId], bool],
        peer_count: Callable[[], int],
        wanted: int,
        counters: Counters,
    ) -> None:
        self._local = local
        self._connect = connect
        self._is_connected = is_connected
        self._peer_count = peer_count
        self._wanted = wanted
        self._counters = counters
        self._allowances: dict[str, Allowance] = {}
        self._waiting: dict[PeerId, tuple[Multiaddr, ...]] = {}
        self._dialling: set[PeerId] = set()
        self._awake = asyncio.Event()
        self.blacklist = Blacklist()

    @property
    def waiting(self) -> int:
        """How many will be dialled when it is their turn."""
        return len(self._waiting)

    def limit(self, source: str, per_minute: int) -> None:
        """So many peers a source may name a minute, half of them at once."""
        self._allowances[source] = Allowance(per_minute / 60.0, max(1.0, per_minute / 2))

    def offer(self, peer: PeerId, addresses: Iterable[Multiaddr], source: str) -> bool:
        """``source`` says that a peer is there. Whether it is going to be dialled, which `limit` must allow.

        Why not is counted as ``discovery.declined:<reason>``.
        """
        bare = dict.fromkeys(each for given in addresses if (each := given.without_peer()))
        given = tuple(bare)[:MAX_ADDRESSES]
        if (reason := self._refusal(peer, given, source)) is not None:
            self._counters.count(f"discovery.declined:{reason}")
            return False
        self._counters.count(f"discovery.found:{source}")
        self._waiting[peer] = given
        self._awake.set()
        return True

    def look(self) -> None:
        """Somebody left: there may be room for those that wait."""
        self._awake.set()

    async def run(self) -> None:
        """Dial those that wait, for ever."""
        async with asyncio.TaskGroup() as dials:
            while True:
                while self._waiting and self._room:
                    peer = next(iter(self._waiting))
                    addresses = self._waiting.pop(peer)
                    if not self._is_connected(peer):
                        self._dialling.add(peer)
                        dials.create_task(self._dial(peer, addresses), name=f"found {peer.short()}")
                await self._awake.wait()
                self._awake.clear()

    @property
    def _room(self) -> bool:
        busy = len(self._dialling)
        return busy < DIALS_AT_ONCE and self._peer_count() + busy < self._wanted

    def _refusal(self, peer: PeerId, addresses: tuple[Multiaddr, ...], source: str) -> str | None:
        if peer == self._local or not addresses:
            return "nobody"
        if self._is_connected(peer) or peer in self._dialling:
            return "connected"
        now = time.monotonic()
        if self.blacklist.wait(peer, now):
            return "blacklisted"
        if peer in self._waiting:
            return "waiting"
        if len(self._waiting) >= MAX_WAITING:
            return "full"
        if not self._allowances[source].take(now):
            return "too-many"
        return None

    async def _dial(self, peer: PeerId, addresses: tuple[Multiaddr, ...]) -> None:
        try:
            await self._connect(peer, addresses)
        except MeshError as error:
            self._counters.count("discovery.unreachable")
            barred = self.blacklist.note_failure(peer, time.monotonic())
            log.debug("found peer %s: %s%s", peer, error, "; left alone for now" if barred else "")
        else:
            self._counters.count("discovery.reached")
            self.blacklist.note_success(peer)
        finally:
            self._dialling.discard(peer)
            self._awake.set()
