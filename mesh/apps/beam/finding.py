"""How a service is found: what was found lately, what was heard, the DHT, and at last a question to everybody.

Whose a name is limits who may serve it: the owner and those its record lists; where a name was seen before but no record
can be found now, its owner alone. A service with a dot in its name, and one that is asked for at a provider, belongs to
whoever signs for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mesh.apps.beam.directory import Directory
from mesh.apps.beam.gossip import Gossip
from mesh.apps.beam.name_book import NameBook
from mesh.config import BeamSection
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam.gossip_message import QUERY
from mesh.protocols.beam.name_record import NameRecord
from mesh.protocols.beam.record_keys import Target
from mesh.protocols.beam.service_record import ServiceRecord
from mesh.protocols.beam.service_table import ServiceTable

MAX_ADDRESSES: Final = 32


@dataclass(frozen=True, slots=True)
class Provider:
    """Who provides a service, and where its node is said to be."""

    record: ServiceRecord
    addresses: tuple[Multiaddr, ...]
    last_seen_s: float

    def document(self) -> dict[str, Any]:
        return self.record.document(self.last_seen_s) | {"addresses": [str(each) for each in self.addresses]}


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a service. ``source`` is the step that answered; ``left_out`` provide it without a right to the
    name."""

    service_id: str
    owner: NameRecord | None
    providers: tuple[Provider, ...]
    left_out: tuple[PeerId, ...]
    source: str
    took_s: float = 0.0


@dataclass(slots=True)
class _Remembered:
    found: Found
    at: float


class Finder:
    """``table`` has what was heard of services, ``book`` of names."""

    def __init__(
        self,
        settings: BeamSection,
        table: ServiceTable,
        book: NameBook,
        directory: Directory,
        gossip: Gossip,
    ) -> None:
        self._settings = settings
        self._table = table
        self._book = book
        self._directory = directory
        self._gossip = gossip
        self._remembered: dict[Target, _Remembered] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._addresses: dict[PeerId, tuple[Multiaddr, ...]] = {}
        self.lookups = self.cache_hits = self.failures = 0
        self.lookup_s: list[float] = []
        """How long the latest lookups took that no cache answered."""

    async def find(self, target: Target, *, fresh: bool = False) -> Found:
        """Who provides a service; nobody, where nobody answered within the time of a query. ``fresh`` passes over what
        was found lately. Raises `NameDisputed`, `MeshError`."""
        began = time.monotonic()
        self.lookups += 1
        remembered = self._remembered.get(target)
        if remembered is not None and not fresh and began - remembered.at < self._settings.cache_s:
            found = self._standing(remembered.found)
            if found.providers:
                self.cache_hits += 1
                return replace(found, source="cache", took_s=time.monotonic() - began)
        found = await self._look(target, fresh)
        found = replace(found, took_s=time.monotonic() - began)
        self.lookup_s = [*self.lookup_s[-99:], found.took_s]
        if found.providers:
            self._remember(target, found, began)
        else:
            self.failures += 1
        return found

    def heard(self, record: ServiceRecord) -> None:
        """A record of a service was taken into the table: whoever waits for it goes on, what was found is found anew."""
        for target in [each for each in self._remembered if each.service_id == record.service_id]:
            del self._remembered[target]
        if (waiting := self._waiting.get(record.service_id)) is not None:
            waiting.set()

    def forget(self) -> None:
        """Remember nothing of what was found."""
        self._remembered.clear()

    @property
    def remembered(self) -> int:
        return len(self._remembered)

    # -- the steps ---------------------------------------------------------------------------------------------------

    async def _look(self, target: Target, fresh: bool) -> Found:
        service_id = target.service_id
        settled = not target.name or target.provider is not None or self._book.pins.owner(target.name)
        if settled and not fresh:
            found = await self._sift(target, "heard")
            if found.providers:
                return found
        if self._directory.on:
            await self._ask_directory(target, fresh)
            found = await self._sift(target, "dht")
            if found.providers:
                return found
        await self._ask_everybody(service_id)
        return await self._sift(target, "query")

    async def _ask_directory(self, target: Target, fresh: bool) -> None:
        """``fresh``: also for records that are here and count still."""
        service_id = target.service_id
        async with asyncio.TaskGroup() as group:
            if target.name and target.provider is None:
                group.create_task(self._directory.name(target.name))
            if target.provider is not None:
                group.create_task(self._fetch(service_id, target.provider))
                return
            newest = group.create_task(self._directory.record_of(service_id))
            providers = group.create_task(self._directory.providers(service_id))
        if (record := newest.result()) is not None:
            self._table.merge(record, time.time())
        found = providers.result()
        for peer, addresses in found.items():
            self._note(peer, addresses)
        owner = await self._book.look(target.name) if target.name else None
        admitted = found.keys() if owner is None else {owner.owner, *owner.providers}
        async with asyncio.TaskGroup() as group:
            for peer in admitted:
                entry = self._table.get(service_id, peer)
                if fresh or entry is None or not entry.record.counts(time.time()):
                    group.create_task(self._fetch(service_id, peer))

    async def _fetch(self, service_id: str, peer: PeerId) -> None:
        record = await self._directory.record_of(service_id, peer)
        if record is not None:
            self._table.merge(record, time.time(), wanted=True)

    async def _ask_everybody(self, service_id: str) -> None:
        """Ask in gossip and wait for an announcement."""
        waiting = self._waiting.setdefault(service_id, asyncio.Event())
        waiting.clear()
        try:
            await self._gossip.publish(QUERY, {"services": [service_id]})
            async with asyncio.timeout(self._settings.query_s):
                await waiting.wait()
        except TimeoutError:
            return
        finally:
            self._waiting.pop(service_id, None)

    # -- within ------------------------------------------------------------------------------------------------------

    async def _sift(self, target: Target, source: str) -> Found:
        """Those of the table that may serve."""
        owner = None
        pinned = None
        if target.name and target.provider is None:
            owner = await self._book.look(target.name)
            pinned = self._book.pins.owner(target.name)
        providers, left_out = [], []
        for entry in self._table.providers(target.service_id, time.time()):
            peer = entry.record.peer_id
            if target.provider is not None:
                admitted = peer == target.provider
            elif owner is not None:
                admitted = owner.admits(peer)
            else:
                admitted = pinned in (None, peer)
            if admitted:
                providers.append(Provider(entry.record, self._addresses_of(entry.record), entry.last_seen_s))
            else:
                left_out.append(peer)
        return Found(target.service_id, owner, tuple(providers), tuple(left_out), source)

    def _standing(self, found: Found) -> Found:
        """What was found, without providers whose record counts no more."""
        now_s = time.time()
        return replace(found, providers=tuple(each for each in found.providers if each.record.counts(now_s)))

    def _note(self, peer: PeerId, addresses: Sequence[Multiaddr]) -> None:
        self._addresses.pop(peer, None)
        self._addresses[peer] = tuple(addresses)[:MAX_ADDRESSES]
        if len(self._addresses) > self._settings.cache_entries:
            del self._addresses[next(iter(self._addresses))]

    def _addresses_of(self, record: ServiceRecord) -> tuple[Multiaddr, ...]:
        """Where a provider's node is: what the DHT says of it, and the endpoints that end in its id."""
        own = record.peer_id.to_bytes()
        said = [each.without_peer() for each in record.endpoints if each.peer_id_bytes() == own]
        return tuple(
            dict.fromkeys((*self._addresses.get(record.peer_id, ()), *(each for each in said if each)))
        )

    def _remember(self, target: Target, found: Found, at: float) -> None:
        self._remembered.pop(target, None)
        self._remembered[target] = _Remembered(found, at)
        if len(self._remembered) > self._settings.cache_entries:
            del self._remembered[next(iter(self._remembered))]
