"""Peers that others told of: whom mDNS, peer exchange or a rendezvous point named, dialled while more peers are wanted.

Whoever names peers may lie, so naming one costs this node at most a failed dial: a source names so many a minute, a few
are dialled at once, and one that fails again and again is left alone for longer and longer (`network.blacklist`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol

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


class Selection(Protocol):
    """Who decides whom of those that wait to dial, and when."""

    def has_room(self, dialling: int) -> bool:
        """Whether another may be dialled while so many are."""

    def admits(self, peer: PeerId) -> bool:
        """Whether somebody is worth waiting for."""

    def choose(self, waiting: Mapping[PeerId, tuple[Multiaddr, ...]]) -> PeerId:
        """The next of several."""

    def began(self, peer: PeerId) -> None:
        """This one is being dialled."""

    def ended(self, peer: PeerId) -> None:
        """The dial has ended: it is connected, or cannot be reached."""


class UpTo:
    """As many as are ``wanted``, in the order in which they were named; ``peer_count`` says how many are connected."""

    def __init__(self, wanted: int, peer_count: Callable[[], int]) -> None:
        self._wanted = wanted
        self._peer_count = peer_count

    def has_room(self, dialling: int) -> bool:
        return self._peer_count() + dialling < self._wanted

    def admits(self, _peer: PeerId) -> bool:
        return True

    def choose(self, waiting: Mapping[PeerId, tuple[Multiaddr, ...]]) -> PeerId:
        return next(iter(waiting))

    def began(self, peer: PeerId) -> None:
        """Nothing to note."""

    def ended(self, peer: PeerId) -> None:
        """Nothing to note."""


class FoundPeers:
    """Who was named and waits to be dialled. ``connect`` dials a peer at addresses, ``is_connected`` says whether a
    direct connection stands, ``selection`` decides whom of them to dial and when."""

    def __init__(
        self,
        local: PeerId,
        connect: Connect,
        is_connected: Callable[[PeerId], bool],
        selection: Selection,
        counters: Counters,
    ) -> None:
        self._local = local
        self._connect = connect
        self._is_connected = is_connected
        self.selection = selection
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

    @property
    def names(self) -> list[PeerId]:
        """Who they are."""
        return list(self._waiting)

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
                    peer = self.selection.choose(self._waiting)
                    addresses = self._waiting.pop(peer)
                    if not self._is_connected(peer):
                        self._dialling.add(peer)
                        self.selection.began(peer)
                        dials.create_task(self._dial(peer, addresses), name=f"found {peer.short()}")
                await self._awake.wait()
                self._awake.clear()

    @property
    def _room(self) -> bool:
        busy = len(self._dialling)
        return busy < DIALS_AT_ONCE and self.selection.has_room(busy)

    def _refusal(self, peer: PeerId, addresses: tuple[Multiaddr, ...], source: str) -> str | None:
        if peer == self._local or not addresses:
            return "nobody"
        if self._is_connected(peer) or peer in self._dialling:
            return "connected"
        if not self.selection.admits(peer):
            return "no better"
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
            self.selection.ended(peer)
            self._awake.set()
