"""The services that a node has heard of: the newest record of each provider of a service (Beam digest, section 3.1).

Merging is commutative and idempotent: whatever order records come in, the one with the greatest `seq` of a provider
stands; a withdrawn one stands until it expires, so that an older one cannot come back. Nobody's trust is needed for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.service_record import ServiceRecord

MAX_RECORDS: Final = 16_384
MAX_OF_PEER: Final = 256
MAX_OF_SERVICE: Final = 256
MAX_BYTES: Final = 32 * 1024 * 1024
"""Of all records together, as they were signed."""

Place = tuple[str, PeerId]


class Merged(Enum):
    """What became of a record."""

    ADDED = "added"
    UPDATED = "updated"
    WITHDRAWN = "withdrawn"
    KNOWN = "known"
    OLDER = "older"
    EXPIRED = "expired"
    NO_ROOM = "no room"

    @property
    def changed(self) -> bool:
        return self in (Merged.ADDED, Merged.UPDATED, Merged.WITHDRAWN)


@dataclass(slots=True)
class Entry:
    """A record and when its provider was last heard of, in Unix seconds. ``wanted``: this node offers it, or looked for
    it; it was not only heard."""

    record: ServiceRecord
    last_seen_s: float
    wanted: bool = False


class ServiceTable:
    """Bounded in all, for each provider and for each service. What was only heard is refused where there is no room; what
    is wanted takes the room of what was only heard, the oldest first. Instants are Unix seconds."""

    __slots__ = ("_bytes", "_entries", "_of_peer", "_services")

    def __init__(self) -> None:
        self._bytes = 0
        self._entries: dict[Place, Entry] = {}
        self._services: dict[str, dict[PeerId, Entry]] = {}
        self._of_peer: dict[PeerId, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def merge(self, record: ServiceRecord, now_s: float, *, wanted: bool = False) -> Merged:
        """Take in a record that has been verified."""
        if not record.counts(now_s):
            return Merged.EXPIRED
        place = (record.service_id, record.peer_id)
        held = self._entries.get(place)
        if held is None:
            if not self._has_room(place, record) and not (wanted and self._make_room(place, record)):
                return Merged.NO_ROOM
            self._add(place, Entry(record, now_s, wanted))
            return Merged.WITHDRAWN if record.withdrawn else Merged.ADDED
        held.wanted |= wanted
        if record.seq < held.record.seq:
            return Merged.OLDER
        if record.seq == held.record.seq:
            if record == held.record:
                held.last_seen_s = max(held.last_seen_s, now_s)
                return Merged.KNOWN
            if record.envelope <= held.record.envelope:
                return Merged.OLDER
        self._bytes += len(record.envelope) - len(held.record.envelope)
        held.record = record
        held.last_seen_s = max(held.last_seen_s, now_s)
        return Merged.WITHDRAWN if record.withdrawn else Merged.UPDATED

    def heard(self, peer: PeerId, services: tuple[str, ...], now_s: float) -> None:
        """A provider says that it is there with these services."""
        for service_id in services:
            entry = self._entries.get((service_id, peer))
            if entry is not None:
                entry.last_seen_s = max(entry.last_seen_s, now_s)

    def providers(self, service_id: str, now_s: float) -> list[Entry]:
        """Who offers a service, whoever was heard of last first."""
        found = [
            each
            for each in self._services.get(service_id, {}).values()
            if each.record.counts(now_s) and not each.record.withdrawn
        ]
        return sorted(found, key=lambda each: (-each.last_seen_s, each.record.peer_id))

    def get(self, service_id: str, peer: PeerId) -> Entry | None:
        """What is held of a provider, withdrawn or expired though it may be."""
        return self._entries.get((service_id, peer))

    def offered(self, now_s: float) -> Iterator[Entry]:
        """Everything that counts and is offered, by service."""
        for service_id in sorted(self._services):
            yield from self.providers(service_id, now_s)

    def counting(self, now_s: float) -> Iterator[ServiceRecord]:
        """Every record that counts, withdrawn ones among them."""
        return (each.record for each in self._entries.values() if each.record.counts(now_s))

    def expire(self, now_s: float) -> list[ServiceRecord]:
        """Drop what counts no more; what was dropped."""
        gone = [place for place, entry in self._entries.items() if entry.record.expires_s <= now_s]
        return [self._drop(place).record for place in gone]

    # -- within ------------------------------------------------------------------------------------------------------

    def _make_room(self, place: Place, record: ServiceRecord) -> bool:
        """Drop what was only heard, of this service or of all, until there is room; whether there is."""
        service_id, _ = place
        while not self._has_room(place, record):
            crowded = len(self._services.get(service_id, ())) >= MAX_OF_SERVICE
            oldest = next(
                (
                    each
                    for each, entry in self._entries.items()
                    if not entry.wanted and (not crowded or each[0] == service_id)
                ),
                None,
            )
            if oldest is None or self._of_peer.get(place[1], 0) >= MAX_OF_PEER:
                return False
            self._drop(oldest)
        return True

    def _has_room(self, place: Place, record: ServiceRecord) -> bool:
        service_id, peer = place
        return (
            len(self._entries) < MAX_RECORDS
            and self._bytes + len(record.envelope) <= MAX_BYTES
            and self._of_peer.get(peer, 0) < MAX_OF_PEER
            and len(self._services.get(service_id, ())) < MAX_OF_SERVICE
        )

    def _add(self, place: Place, entry: Entry) -> None:
        service_id, peer = place
        self._entries[place] = entry
        self._bytes += len(entry.record.envelope)
        self._services.setdefault(service_id, {})[peer] = entry
        self._of_peer[peer] = self._of_peer.get(peer, 0) + 1

    def _drop(self, place: Place) -> Entry:
        service_id, peer = place
        entry = self._entries.pop(place)
        self._bytes -= len(entry.record.envelope)
        del self._services[service_id][peer]
        if not self._services[service_id]:
            del self._services[service_id]
        self._of_peer[peer] -= 1
        if not self._of_peer[peer]:
            del self._of_peer[peer]
        return entry
