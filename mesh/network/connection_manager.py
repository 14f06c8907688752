"""Which connections to give up when there are too many: watermarks, tags and protection (libp2p digest, section 23).

Above the high mark, connections are closed down to the low mark. Spared are protected peers and connections within their
grace; of the others the peers of least value go first (the sum of their tags), and among those connections without
streams, oldest first. A decision over records: no task, socket or clock here. Times are seconds of any steady clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from mesh.errors import UsageError
from mesh.identity.peer_id import PeerId

LOW: Final = 160
HIGH: Final = 192
GRACE_S: Final = 60.0
INTERVAL_S: Final = 10.0
MAX_ABSENT_PEERS: Final = 10_000
"""Peers without connections whose tags are remembered; the one tagged first is forgotten. Protected ones do not count."""
MAX_TAGS: Final = 64


class Trimmable(Protocol):
    """What a decision needs of a connection."""

    @property
    def peer(self) -> PeerId: ...

    @property
    def stream_count(self) -> int: ...


C = TypeVar("C", bound=Trimmable)


@dataclass(frozen=True, slots=True)
class Settings:
    """Connections at which trimming ends and begins; seconds that a connection is spared, and between two trims."""

    low: int = LOW
    high: int = HIGH
    grace_s: float = GRACE_S
    interval_s: float = INTERVAL_S

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise UsageError(f"the low mark {self.low} has to lie between 0 and the high mark {self.high}")


@dataclass(frozen=True, slots=True)
class PeerStanding:
    """What speaks for a peer. ``value`` is the sum of its tags; ``connected_at`` when each connection came."""

    value: int
    tags: dict[str, int]
    protections: frozenset[str]
    connected_at: tuple[float, ...]


class _Merits:
    """Tags and protections of a peer that has some."""

    __slots__ = ("protections", "tags", "value")

    def __init__(self) -> None:
        self.protections: frozenset[str] = frozenset()
        self.tags: dict[str, int] = {}
        self.value = 0


class ConnectionManager(Generic[C]):
    """Records connections, tags and protections; `trim` says what to close. ``trimmed`` counts what it said."""

    __slots__ = ("_connections", "_last_trim", "_merits", "_settings", "trimmed")

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._connections: dict[C, float] = {}
        self._merits: dict[PeerId, _Merits] = {}
        self._last_trim: float | None = None
        self.trimmed = 0

    # -- what happens ------------------------------------------------------------------------------------------------

    def note_connected(self, connection: C, now: float) -> None:
        """A connection is established; its grace begins."""
        self._connections.setdefault(connection, now)

    def note_disconnected(self, connection: C) -> None:
        """A connection has ended; nothing happens for an unknown one. The peer's tags and protections stay."""
        self._connections.pop(connection, None)

    # -- what speaks for a peer --------------------------------------------------------------------------------------

    def tag(self, peer: PeerId, tag: str, value: int) -> None:
        """Give a peer a tag; a peer's value is the sum of its tags, negative ones included. At most 64 tags a peer
        (`UsageError`)."""
        self.upsert_tag(peer, tag, lambda _before: value)

    def upsert_tag(self, peer: PeerId, tag: str, change: Callable[[int], int]) -> None:
        """Set a tag to what ``change`` makes of its value, 0 when it is new."""
        merits = self._merits.get(peer) or _Merits()
        before = merits.tags.get(tag)
        if before is None and len(merits.tags) >= MAX_TAGS:
            raise UsageError(f"{peer} has {MAX_TAGS} tags already; {tag!r} is one too many")
        value = change(before or 0)
        merits.tags[tag] = value
        merits.value += value - (before or 0)
        self._merits[peer] = merits
        self._bound()

    def untag(self, peer: PeerId, tag: str) -> None:
        """Take a tag away; nothing happens when there is none."""
        merits = self._merits.get(peer)
        if merits is not None and tag in merits.tags:
            merits.value -= merits.tags.pop(tag)
            self._drop_empty(peer, merits)

    def protect(self, peer: PeerId, tag: str) -> None:
        """Never trim this peer, until every tag that protects it has been unprotected."""
        merits = self._merits.setdefault(peer, _Merits())
        merits.protections |= {tag}

    def unprotect(self, peer: PeerId, tag: str) -> bool:
        """End one protection; True while others protect the peer still."""
        merits = self._merits.get(peer)
        if merits is None:
            return False
        merits.protections -= {tag}
        self._drop_empty(peer, merits)
        return bool(merits.protections)

    def is_protected(self, peer: PeerId, tag: str = "") -> bool:
        """Whether ``tag`` protects the peer; an empty one asks for any."""
        merits = self._merits.get(peer)
        return merits is not None and (tag in merits.protections if tag else bool(merits.protections))

    def info(self, peer: PeerId) -> PeerStanding | None:
        """What is known of a peer; None when that is nothing. Looks through all connections."""
        connected_at = tuple(since for each, since in self._connections.items() if each.peer == peer)
        merits = self._merits.get(peer)
        if merits is None:
            return PeerStanding(0, {}, frozenset(), connected_at) if connected_at else None
        return PeerStanding(merits.value, dict(merits.tags), merits.protections, connected_at)

    # -- decisions ---------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Connections now."""
        return len(self._connections)

    def deadline(self) -> float | None:
        """When `trim` is to be called: at once (-inf) above the high mark, an interval after the last trim, or None."""
        if self.count <= self._settings.high:
            return None
        return float("-inf") if self._last_trim is None else self._last_trim + self._settings.interval_s

    def trim(self, now: float, *, force: bool = False) -> list[C]:
        """The connections to close now, most dispensable first: none up to the high mark or within 10 s of the last
        trim. ``force`` (short of memory, or asked for) trims to the low mark from anywhere, at any time.

        The caller closes them and reports each with `note_disconnected`. O(n log n) of the connections.
        """
        if not force and (self.count <= self._settings.high or self._within_interval(now)):
            return []
        surplus = self.count - self._settings.low
        if surplus <= 0:
            return []
        self._last_trim = now
        newest = now - self._settings.grace_s
        candidates: list[tuple[int, bool, float, int, C]] = []
        for index, (connection, since) in enumerate(self._connections.items()):
            if since > newest:
                continue
            merits = self._merits.get(connection.peer)
            if merits is None:
                candidates.append((0, connection.stream_count > 0, since, index, connection))
            elif not merits.protections:
                candidates.append((merits.value, connection.stream_count > 0, since, index, connection))
        candidates.sort()
        chosen = [candidate[-1] for candidate in candidates[:surplus]]
        self.trimmed += len(chosen)
        return chosen

    def _within_interval(self, now: float) -> bool:
        return self._last_trim is not None and now < self._last_trim + self._settings.interval_s

    # -- within ------------------------------------------------------------------------------------------------------

    def _drop_empty(self, peer: PeerId, merits: _Merits) -> None:
        if not merits.tags and not merits.protections:
            del self._merits[peer]

    def _bound(self) -> None:
        """Forget a tenth of the absent when there are too many."""
        if len(self._merits) <= MAX_ABSENT_PEERS + self.count:
            return
        connected = {each.peer for each in self._connections}
        absent = [
            peer for peer, merits in self._merits.items() if not merits.protections and peer not in connected
        ]
        for peer in absent[: len(absent) // 10]:
            del self._merits[peer]
