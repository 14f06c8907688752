"""Who announced what, until a while after we heard it. Times are arguments, milliseconds since 1970 by our clock.

A peer's own clock only tells which of its announcements is the newer one: an older one, replayed by whoever kept it, is
refused, even after the entry has expired.

What agents tell of others (section 4.2) is hearsay: kept apart, told as such, never in place of what a peer said itself,
and never told on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final, NamedTuple

from mesh.apps.agent.records import FoundPeer, ServiceInfo
from mesh.apps.agent.service_reading import read_service
from mesh.errors import DecodeError
from mesh.protocols.openclaw.announcement import Announcement
from mesh.protocols.openclaw.attestation import Attestation
from mesh.protocols.openclaw.listing import Listed

TTL_MS: Final = 15 * 60 * 1000
MAX_SKEW_MS: Final = 3600 * 1000
"""An announcement's clock may be so far from ours."""
MAX_PEERS: Final = 4096
MAX_TELLERS: Final = 256
"""Whose last listing is kept, at most 50 peers each."""


class _Entry(NamedTuple):
    found: FoundPeer
    timestamp: int
    words: str


class Directory:
    """The peers heard of, at most 4096; the one not heard of for longest makes room."""

    def __init__(self, ttl_ms: int = TTL_MS) -> None:
        self._ttl_ms = ttl_ms
        self._entries: dict[str, _Entry] = {}
        self._newest: dict[str, int] = {}
        self._told: dict[str, tuple[int, dict[str, _Entry]]] = {}
        self.refused = 0
        """Announcements that were older than what is known, or too far from our clock."""

    def __len__(self) -> int:
        return len(self._entries)

    def hear(self, announcement: Announcement, now_ms: int) -> tuple[FoundPeer, bool] | None:
        """Enter an announcement whose author was checked; the entry and whether its peer is new. None for one that is
        refused."""
        peer, timestamp = announcement.peer_id, announcement.timestamp
        if abs(timestamp - now_ms) > MAX_SKEW_MS or timestamp <= self._newest.get(peer, -1):
            self.refused += 1
            return None
        self._remember(peer, timestamp, now_ms)
        services = _services(announcement.services)
        found = FoundPeer(
            peer,
            announcement.multiaddrs,
            services,
            announcement.bsv_identity_key,
            now_ms,
            attested=_attested(announcement, now_ms),
        )
        fresh = self._entries.pop(peer, None) is None
        self._entries[peer] = _Entry(found, timestamp, _words(services))
        if len(self._entries) > MAX_PEERS:
            del self._entries[next(iter(self._entries))]
        return found, fresh

    def hear_of(self, teller: str, listing: Sequence[Listed], now_ms: int) -> None:
        """Enter what an agent says that it heard from others, in place of what it said before."""
        found = {}
        for each in listing:
            last_seen = min(each.last_seen, now_ms)
            if each.peer_id != teller and now_ms - last_seen < self._ttl_ms:
                services = _services(each.services)
                heard = FoundPeer(each.peer_id, each.multiaddrs, services, "", last_seen, heard_from=teller)
                found[each.peer_id] = _Entry(heard, last_seen, _words(services))
        self._told.pop(teller, None)
        self._told[teller] = now_ms, found
        if len(self._told) > MAX_TELLERS:
            del self._told[next(iter(self._told))]

    def listing(self, rng: Random) -> list[Listed]:
        """What this agent may tell others: peers that it heard itself, in an order of chance."""
        entries = list(self._entries.values())
        rng.shuffle(entries)
        return [
            Listed(
                each.peer_id, each.multiaddrs, tuple(one.document() for one in each.services), each.last_seen
            )
            for each, _, _ in entries
        ]

    def expire(self, now_ms: int) -> list[str]:
        """Drop what was not heard of for long enough; the peers that went."""
        gone = []
        for peer, entry in self._entries.items():
            if now_ms - entry.found.last_seen < self._ttl_ms:
                break
            gone.append(peer)
        for peer in gone:
            del self._entries[peer]
        self._told = {
            teller: (at, entries)
            for teller, (at, entries) in self._told.items()
            if now_ms - at < self._ttl_ms
        }
        self._newest = {
            peer: at
            for peer, at in self._newest.items()
            if peer in self._entries or at >= now_ms - MAX_SKEW_MS
        }
        return gone

    def find(self, service: str = "", peer: str = "", text: str = "") -> list[FoundPeer]:
        """Peers with that service id, that id, that text in a service's id, name or description (any case); the one heard
        of last comes first, those that others told of come behind them."""
        wanted = text.casefold()
        return [
            entry.found
            for name, entry in (*reversed(self._entries.items()), *self._hearsay().items())
            if (not peer or name == peer)
            and (not service or any(each.id == service for each in entry.found.services))
            and (not wanted or wanted in entry.words)
        ]

    def addresses_of(self, peer: str) -> Sequence[str]:
        """What a peer announced, else what others told of it."""
        entry = self._entries.get(peer) or self._hearsay().get(peer)
        return () if entry is None else entry.found.multiaddrs

    def _hearsay(self) -> dict[str, _Entry]:
        """Peers that only others told of, each as who saw it last says; that one first."""
        found: dict[str, _Entry] = {}
        for _, told in self._told.values():
            for peer, entry in told.items():
                if peer not in self._entries and (
                    peer not in found or found[peer].timestamp < entry.timestamp
                ):
                    found[peer] = entry
        return dict(sorted(found.items(), key=lambda each: -each[1].timestamp))

    def _remember(self, peer: str, timestamp: int, now_ms: int) -> None:
        """The newest announcement of a peer, for as long as an older one could pass as new."""
        self._newest.pop(peer, None)
        self._newest[peer] = timestamp
        if len(self._newest) > 2 * MAX_PEERS:
            del self._newest[next(iter(self._newest))]


def _services(documents: Sequence[Mapping[str, Any]]) -> tuple[ServiceInfo, ...]:
    """The services that make sense; who announces others as well is not refused for them."""
    found = []
    for document in documents:
        try:
            found.append(read_service(document))
        except DecodeError:
            continue
    return tuple(found)


def _words(services: Sequence[ServiceInfo]) -> str:
    return "\n".join(f"{each.id}\n{each.name}\n{each.description or ''}" for each in services).casefold()


def _attested(announcement: Announcement, now_ms: int) -> bool:
    """Whether the BSV key that it names vouches for its peer id."""
    if not announcement.attestation:
        return False
    try:
        attestation = Attestation.parse(announcement.attestation)
        attestation.check(now_ms)
    except DecodeError:
        return False
    return (
        str(attestation.peer_id) == announcement.peer_id
        and attestation.key.hex() == announcement.bsv_identity_key
    )
