"""Who announced what, until a while after we heard it. Times are arguments, milliseconds since 1970 by our clock.

A peer's own clock only tells which of its announcements is the newer one: an older one, replayed by whoever kept it, is
refused, even after the entry has expired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mesh.apps.agent.records import FoundPeer, ServiceInfo
from mesh.apps.agent.service_reading import read_service
from mesh.errors import DecodeError
from mesh.protocols.openclaw.announcement import Announcement
from mesh.protocols.openclaw.attestation import Attestation

TTL_MS: Final = 15 * 60 * 1000
MAX_SKEW_MS: Final = 3600 * 1000
"""An announcement's clock may be so far from ours."""
MAX_PEERS: Final = 4096


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
        services = _services(announcement)
        found = FoundPeer(
            peer,
            announcement.multiaddrs,
            services,
            announcement.bsv_identity_key,
            now_ms,
            attested=_attested(announcement, now_ms),
        )
        words = "\n".join(f"{each.id}\n{each.name}\n{each.description or ''}" for each in services).casefold()
        fresh = self._entries.pop(peer, None) is None
        self._entries[peer] = _Entry(found, timestamp, words)
        if len(self._entries) > MAX_PEERS:
            del self._entries[next(iter(self._entries))]
        return found, fresh

    def expire(self, now_ms: int) -> list[str]:
        """Drop what was not heard of for long enough; the peers that went."""
        gone = []
        for peer, entry in self._entries.items():
            if now_ms - entry.found.last_seen < self._ttl_ms:
                break
            gone.append(peer)
        for peer in gone:
            del self._entries[peer]
        self._newest = {
            peer: at
            for peer, at in self._newest.items()
            if peer in self._entries or at >= now_ms - MAX_SKEW_MS
        }
        return gone

    def find(self, service: str = "", peer: str = "", text: str = "") -> list[FoundPeer]:
        """Peers with that service id, that id, that text in a service's id, name or description (any case); the one heard
        of last comes first."""
        wanted = text.casefold()
        return [
            entry.found
            for name, entry in reversed(self._entries.items())
            if (not peer or name == peer)
            and (not service or any(each.id == service for each in entry.found.services))
            and (not wanted or wanted in entry.words)
        ]

    def addresses_of(self, peer: str) -> Sequence[str]:
        """What a peer announced."""
        entry = self._entries.get(peer)
        return () if entry is None else entry.found.multiaddrs

    def _remember(self, peer: str, timestamp: int, now_ms: int) -> None:
        """The newest announcement of a peer, for as long as an older one could pass as new."""
        self._newest.pop(peer, None)
        self._newest[peer] = timestamp
        if len(self._newest) > 2 * MAX_PEERS:
            del self._newest[next(iter(self._newest))]


def _services(announcement: Announcement) -> tuple[ServiceInfo, ...]:
    """The services that make sense; an announcement with others is not refused for them."""
    found = []
    for document in announcement.services:
        try:
            found.append(read_service(document))
        except DecodeError:
            continue
    return tuple(found)


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
