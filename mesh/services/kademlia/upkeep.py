"""The loop that keeps the table full and fresh and the stores clean: joins, refreshes, checks, announces again."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Final

from mesh.codecs.kademlia import Message, MessageType
from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.protocols.kademlia import Refresh, RoutingTable
from mesh.protocols.kademlia.records import republish_at
from mesh.protocols.kademlia.refresh import BucketRefresh, Due, Refill, target_in_bucket
from mesh.protocols.kademlia.sweep import ReprovideSweep
from mesh.services.kademlia.content import Content
from mesh.services.kademlia.host import Host
from mesh.services.kademlia.membership import Membership
from mesh.services.kademlia.search import Search
from mesh.services.kademlia.values import Values
from mesh.storage.provider_store import ProviderStore
from mesh.storage.record_store import RecordStore

log = logging.getLogger(__name__)

ROUND_S: Final = 30.0
"""At most this long between two looks at the clock."""
SWEEP_S: Final = 3600.0
REFRESH_LIMIT_S: Final = 10.0
"""One refreshing lookup takes at most this long."""
HASHES_AT_ONCE: Final = 2000
"""Tried for a refreshing lookup's target, about 1.5 ms, before others have their turn."""


class Upkeep:
    """One node's loop. ``clock`` gives Unix seconds."""

    def __init__(
        self,
        host: Host,
        table: RoutingTable[PeerId],
        search: Search,
        refresh: Refresh,
        membership: Membership,
        stores: tuple[RecordStore, ProviderStore],
        writers: tuple[Values, Content],
        sweep: ReprovideSweep,
        clock: Callable[[], float],
    ) -> None:
        self._host = host
        self._table = table
        self._search = search
        self._refresh = refresh
        self._membership = membership
        self._values_held, self._announced = stores
        self._values, self._content = writers
        self._sweep = sweep
        self._clock = clock
        self._swept_at = time.monotonic()
        self._awake = asyncio.Event()

    def hurry(self) -> None:
        """Something changed, a first member for instance: look now."""
        self._awake.set()

    async def run(self) -> None:
        """For ever; a round that fails is logged, and the next one comes."""
        while True:
            self._awake.clear()
            try:
                await self.round()
            except MeshError as error:
                log.warning("the DHT's upkeep: %s", error)
            now = time.monotonic()
            wait = min(self._refresh.deadline(len(self._table), self._table.deepest) - now, ROUND_S)
            try:
                async with asyncio.timeout(max(wait, 0.05)):
                    await self._awake.wait()
            except TimeoutError:
                continue

    async def round(self) -> None:
        """Everything that is due now."""
        for due in self._refresh.due(time.monotonic(), len(self._table), self._table.deepest):
            await self._look_up(due)
            self._refresh.done(due, time.monotonic())
        unseen = self._table.due_for_check(time.monotonic())
        await asyncio.gather(*(self._membership.check(entry.peer) for entry in unseen))
        await self._announce_again()
        if time.monotonic() - self._swept_at >= SWEEP_S:
            self._swept_at = time.monotonic()
            await self._values_held.sweep()
            await self._announced.sweep()

    async def refresh(self) -> None:
        """Look the own key up and one key in every bucket, now."""
        self._refresh.hurry()
        for _ in range(2):  # the first tells that the own key is due, the second which buckets are
            for due in self._refresh.due(time.monotonic(), len(self._table), self._table.deepest):
                await self._look_up(due)
                self._refresh.done(due, time.monotonic())

    async def _look_up(self, due: Due) -> None:
        if isinstance(due, Refill):
            self._host.bootstrap()
            if not len(self._table):
                return
        if isinstance(due, BucketRefresh):
            target = await self._target(due.prefix_length)
        else:
            target = self._host.peer_id.to_bytes()
        try:
            async with asyncio.timeout(REFRESH_LIMIT_S):
                await self._search.run(target, Message(MessageType.FIND_NODE, target))
        except TimeoutError:
            log.debug("a refreshing lookup took longer than %g s", REFRESH_LIMIT_S)

    async def _target(self, prefix_length: int) -> bytes:
        while True:
            target = target_in_bucket(self._table.local_key, prefix_length, os.urandom(32), HASHES_AT_ONCE)
            if target is not None:
                return target
            await asyncio.sleep(0)

    async def _announce_again(self) -> None:
        now = self._clock()
        while len(self._table) and (batch := self._sweep.take(now)) is not None:
            try:
                reached = await self._content.provide_batch(batch)
            except MeshError as error:
                log.info("providers could not be announced again: %s", error)
                self._sweep.retry(batch)
                return
            log.debug("announced %d of %d keys again", reached, len(batch.keys))
        for key, published in self._values_held.own():
            if len(self._table) and republish_at(published) <= now:
                await self._values.republish(key)
