"""Peers of a topic found through the DHT, as go-libp2p-pubsub does over its routing discovery.

Who is in a topic announces itself as a provider of a key made of the topic's name, and looks that key up while it has too
few peers. Nothing of it is authenticated: whoever likes can announce itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import Callable, Iterable
from typing import Final

from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import RAW, Cid
from mesh.multiformats.multiaddr import Multiaddr
from mesh.multiformats.multihash import Multihash
from mesh.network.scope import Spawn
from mesh.services.content_routing import Directory
from mesh.services.gossip.host import Host
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

PREFIX: Final = "floodsub:"
FOUND_PEERS: Final = 20
"""Providers taken of one lookup."""
CHECK_S: Final = 1.0
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 600.0
"""Between two lookups; twice as long each time that it did not help, and less by chance, so that nodes differ."""
LONGEST_ANNOUNCE_WAIT_S: Final = 120.0
"""Between announcements that reached nobody; the DHT itself repeats those that went well."""
MOVED_S: Final = 10.0
"""How often own addresses are looked at: none leads to a node behind a NAT before a relay holds its reservation."""
SEARCH_S: Final = 10.0
DIALS_AT_ONCE: Final = 8
MAX_DIALS: Final = 128
"""Waiting ones included; further peers are not dialled."""


def topic_key(topic: str) -> Cid:
    """Under which peers of a topic announce themselves: go's namespace of the topic, as raw content."""
    digest = hashlib.sha256((PREFIX + topic).encode()).digest()
    return Cid(1, RAW, Multihash(0x12, digest))


class Dials:
    """Connects to peers that others named, a few at a time. Nothing is said when that fails."""

    def __init__(self, host: Host, spawn: Spawn, counters: Counters) -> None:
        self.host = host
        self._spawn = spawn
        self._counters = counters
        self._gate = asyncio.Semaphore(DIALS_AT_ONCE)
        self._under_way: set[PeerId] = set()

    def begin(self, peer: PeerId, addresses: Iterable[Multiaddr] = ()) -> None:
        """Connect to a peer, unless that is so already or under way, or too many are."""
        if (
            peer == self.host.peer_id
            or peer in self._under_way
            or len(self._under_way) >= MAX_DIALS
            or self.host.connection_to(peer) is not None
        ):
            return
        self._under_way.add(peer)
        self._spawn(self._dial(peer, tuple(addresses)), "gossip dial")

    async def _dial(self, peer: PeerId, addresses: tuple[Multiaddr, ...]) -> None:
        try:
            async with self._gate:
                await self.host.connect(peer, addresses)
                self._counters.count("gossip.dialled")
        except MeshError as error:
            self._counters.count("gossip.dial_failed")
            log.debug("%s, who was named in gossip: %s", peer, error)
        finally:
            self._under_way.discard(peer)


class Discovery:
    """Announces topics and looks for their peers. ``is_short`` says whether a topic has too few."""

    def __init__(
        self,
        directory: Directory,
        dials: Dials,
        spawn: Spawn,
        is_short: Callable[[str], bool],
        rng: random.Random,
        counters: Counters,
    ) -> None:
        self._directory = directory
        self._dials = dials
        self._spawn = spawn
        self._is_short = is_short
        self._rng = rng
        self._counters = counters
        self._tasks: dict[str, tuple[asyncio.Task[None], ...]] = {}

    def join(self, topic: str) -> None:
        """Announce this node in a topic, and look for others in it when there are too few."""
        key = topic_key(topic)
        self._tasks[topic] = (
            self._spawn(self._announce(topic, key), "gossip announce"),
            self._spawn(self._search(topic, key), "gossip discovery"),
        )

    async def leave(self, topic: str) -> None:
        """Announce it no more; what others hold expires."""
        for task in self._tasks.pop(topic, ()):
            task.cancel()
        with contextlib.suppress(MeshError):
            await self._directory.withdraw(topic_key(topic))

    async def _announce(self, topic: str, key: Cid) -> None:
        wait_s = FIRST_WAIT_S
        told: tuple[Multiaddr, ...] | None = None
        while True:
            own = tuple(self._dials.host.own_addresses)
            if own == told:
                await asyncio.sleep(MOVED_S)
                continue
            try:
                if (await self._directory.provide(key)).reached:
                    self._counters.count("gossip.announced")
                    told, wait_s = own, FIRST_WAIT_S
                    continue
            except MeshError as error:
                log.debug("%r is not announced: %s", topic, error)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_ANNOUNCE_WAIT_S)

    async def _search(self, topic: str, key: Cid) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            if not self._is_short(topic):
                wait_s = FIRST_WAIT_S
                await asyncio.sleep(CHECK_S)
                continue
            try:
                await self._look_up(key)
            except MeshError as error:
                log.debug("peers of %r: %s", topic, error)
            await asyncio.sleep(wait_s * self._rng.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _look_up(self, key: Cid) -> None:
        self._counters.count("gossip.lookup")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEARCH_S):
                async with contextlib.aclosing(self._directory.find_providers(key, FOUND_PEERS)) as found:
                    async for provider in found:
                        self._dials.begin(provider.peer, provider.addresses)
