"""Telling the DHT what is here, and finding there who has what is not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from mesh.errors import MeshError
from mesh.multiformats.cid import Cid
from mesh.network.scope import Spawn
from mesh.services.bitswap.host import Host
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

ANNOUNCED_AT_ONCE: Final = 8
MAX_WAITING: Final = 65_536
"""Announcements that wait; further ones are left out and counted."""
FIRST_WAIT_S: Final = 10.0
LONGEST_WAIT_S: Final = 600.0
"""Between tries of an announcement that reached nobody; the DHT itself repeats those that went well."""
MAX_TRIES: Final = 8
SEARCHES_AT_ONCE: Final = 8
MAX_SEARCHES: Final = 1024
SEARCH_S: Final = 30.0
FOUND_PEERS: Final = 10
"""Providers taken of one search."""


class Providing:
    """Without a DHT nothing happens."""

    def __init__(self, host: Host, spawn: Spawn, counters: Counters) -> None:
        self._host = host
        self._spawn = spawn
        self._counters = counters
        self._announcing: dict[bytes, None] = {}
        self._announcements = asyncio.Semaphore(ANNOUNCED_AT_ONCE)
        self._searching: set[bytes] = set()
        self._searches = asyncio.Semaphore(SEARCHES_AT_ONCE)

    def announce(self, cid: Cid) -> None:
        """Announce a block, soon; repeated until it reached somebody, and then every 22 hours."""
        key = cid.multihash.to_bytes()
        if self._host.directory is None or key in self._announcing:
            return
        if len(self._announcing) >= MAX_WAITING:
            self._counters.count("bitswap.not_announced")
            return
        self._announcing[key] = None
        self._spawn(self._announce(cid, key), "bitswap announce")

    async def withdraw(self, cid: Cid) -> None:
        """Announce a block no more."""
        directory = self._host.directory
        self._announcing.pop(cid.multihash.to_bytes(), None)
        if directory is not None:
            with contextlib.suppress(MeshError):
                await directory.withdraw(cid)

    def search(self, cid: Cid) -> None:
        """Connect to peers that say they have a block."""
        key = cid.multihash.to_bytes()
        if self._host.directory is None or key in self._searching or len(self._searching) >= MAX_SEARCHES:
            return
        self._searching.add(key)
        self._spawn(self._search(cid, key), "bitswap search")

    async def _announce(self, cid: Cid, key: bytes) -> None:
        wait_s = FIRST_WAIT_S
        try:
            for _ in range(MAX_TRIES):
                directory = self._host.directory
                if directory is None or key not in self._announcing:
                    return
                try:
                    async with self._announcements:
                        reached = (await directory.provide(cid)).reached
                except MeshError as error:
                    log.debug("%s is not announced: %s", cid, error)
                    reached = False
                if reached:
                    self._counters.count("bitswap.announced")
                    return
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        finally:
            self._announcing.pop(key, None)

    async def _search(self, cid: Cid, key: bytes) -> None:
        try:
            async with self._searches:
                await self._reach_providers(cid)
        finally:
            self._searching.discard(key)

    async def _reach_providers(self, cid: Cid) -> None:
        directory, host = self._host.directory, self._host
        if directory is None:
            return
        self._counters.count("bitswap.searched")
        with contextlib.suppress(TimeoutError, MeshError):
            async with asyncio.timeout(SEARCH_S):
                async with contextlib.aclosing(directory.find_providers(cid, FOUND_PEERS)) as found:
                    async for provider in found:
                        if provider.peer == host.peer_id or host.connection_to(provider.peer) is not None:
                            continue
                        with contextlib.suppress(MeshError):
                            await host.connect(provider.peer, provider.addresses)
                            self._counters.count("bitswap.found")
