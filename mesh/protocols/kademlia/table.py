"""The routing table: who is asked first, and who is named in answers (libp2p specs kad-dht, "Routing table").

Buckets hold peers by the length of the prefix their key shares with ours, and serve admission only: k members each, and
beside them a few newcomers that found their bucket full. A member that keeps answering is never displaced, however many
newcomers come; one that failed, or was not useful within the grace, gives its place to a newcomer at once.

The closest members of any key come from one sorted list of all keys (`nearest`), laid out anew when somebody asks after
a change.

Never admit a peer because another named it: only who proved to serve the protocol may come in.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic

from mesh.protocols.kademlia.diversity import GroupCounts
from mesh.protocols.kademlia.key import KEY_BITS, Candidate, PeerT, key_of
from mesh.protocols.kademlia.nearest import Nearest
from mesh.protocols.kademlia.settings import K, TableSettings

MAX_EVENTS = 1024
"""Changes kept for `events`; the oldest are dropped when nobody takes them."""


class Admission(Enum):
    """What became of a peer that asked to be let in; the value is a reason to print."""

    ADDED = "added"
    KNOWN = "already a member"
    REPLACED = "took the place of a member that failed or was not useful"
    WAITING = "bucket full, remembered as a replacement"
    IS_LOCAL = "that is this node"
    NOT_DIVERSE = "too many peers of its network"
    NO_NETWORK = "no address with a known ip"

    @property
    def admitted(self) -> bool:
        """Whether the peer is a member now."""
        return self in (Admission.ADDED, Admission.KNOWN, Admission.REPLACED)


@dataclass(slots=True)
class PeerAdded(Generic[PeerT]):
    """A peer became a member."""

    peer: PeerT


@dataclass(slots=True)
class PeerRemoved(Generic[PeerT]):
    """A peer is no member any more."""

    peer: PeerT


@dataclass(eq=False, slots=True)
class Entry(Generic[PeerT]):
    """A member. Times in seconds of the caller's clock; `payload` belongs to whoever drives the table."""

    candidate: Candidate[PeerT]
    bucket: int
    """The length of the prefix its key shares with the local one."""
    added_at: float
    useful_at: float | None = None
    failed_at: float | None = None
    failures: int = 0
    """Failures in a row since it was last useful."""
    payload: Any = None
    place: int = 0
    """Its place in the order of keys, when that was last looked at."""

    @property
    def peer(self) -> PeerT:
        return self.candidate.peer

    @property
    def key(self) -> int:
        return self.candidate.key

    @property
    def seen_at(self) -> float:
        """When it was last useful, or else added."""
        return self.added_at if self.useful_at is None else self.useful_at


@dataclass(frozen=True, slots=True)
class BucketRow(Generic[PeerT]):
    """A bucket for display: `prefix_length` as libp2p counts, `number` as Beam does (255 - prefix length)."""

    prefix_length: int
    number: int
    entries: tuple[Entry[PeerT], ...]
    replacements: tuple[PeerT, ...]
    failing: int
    """Entries with a failure since they were last useful."""
    stale: int
    """Entries not useful within the grace."""


@dataclass(slots=True)
class _Waiting(Generic[PeerT]):
    candidate: Candidate[PeerT]
    payload: Any


class _Bucket(Generic[PeerT]):
    """Members in order of admission, and replacements with the newest last; both by key."""

    __slots__ = ("entries", "replacements")

    def __init__(self) -> None:
        self.entries: dict[int, Entry[PeerT]] = {}
        self.replacements: dict[int, _Waiting[PeerT]] = {}


class RoutingTable(Generic[PeerT]):
    """The table of one node: at most `bucket_size` members for each of 256 buckets, in truth about k log2(n/k)."""

    __slots__ = (
        "_buckets",
        "_by_key",
        "_by_peer",
        "_events",
        "_groups",
        "_keys",
        "_nearest",
        "_ordered",
        "_payloads",
        "_settings",
        "local_key",
    )

    def __init__(self, local: bytes, settings: TableSettings | None = None) -> None:
        """`local` is the bytes of our own peer id."""
        self.local_key = key_of(local)
        self._settings = settings or TableSettings()
        self._buckets: dict[int, _Bucket[PeerT]] = {}
        self._keys: list[int] = []
        self._nearest: Nearest | None = None
        self._ordered: list[Entry[PeerT]] = []
        self._payloads: list[Any] = []
        self._by_key: dict[int, Entry[PeerT]] = {}
        self._by_peer: dict[PeerT, Entry[PeerT]] = {}
        self._groups = GroupCounts(self._settings.max_per_group, self._settings.max_per_group_in_bucket)
        self._events: deque[PeerAdded[PeerT] | PeerRemoved[PeerT]] = deque(maxlen=MAX_EVENTS)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, peer: object) -> bool:
        return peer in self._by_peer

    def __iter__(self) -> Iterator[Entry[PeerT]]:
        """Members in order of their keys."""
        return iter([self._by_key[key] for key in self._keys])

    def get(self, peer: PeerT) -> Entry[PeerT] | None:
        """The member, None when it is none."""
        return self._by_peer.get(peer)

    @property
    def deepest(self) -> int:
        """The longest prefix a member shares with the local key, -1 when there is no member."""
        return max((length for length, bucket in self._buckets.items() if bucket.entries), default=-1)

    # --- admission ---------------------------------------------------------------------------------------------------

    def admit(
        self, candidate: Candidate[PeerT], now: float, *, useful: bool = False, payload: Any = None
    ) -> Admission:
        """Let in a peer that proved to serve the protocol. `useful` says that it just answered a request of ours.

        A known member keeps its place; its addresses' groups stay those of its admission, a payload that is given
        replaces the old one.
        """
        known = self._by_key.get(candidate.key)
        if known is not None:
            if payload is not None:
                self._describe(known, payload)
            if useful:
                self.useful(known.peer, now)
            return Admission.KNOWN
        if candidate.key == self.local_key:
            return Admission.IS_LOCAL
        if self._settings.diverse and candidate.groups is None:
            return Admission.NO_NETWORK
        length = KEY_BITS - (candidate.key ^ self.local_key).bit_length()
        bucket = self._buckets.get(length)
        if bucket is None:
            bucket = self._buckets[length] = _Bucket()
        leaving = None
        if len(bucket.entries) >= self._settings.bucket_size:
            leaving = self._replaceable(bucket, now)
            if leaving is None:
                return self._remember(bucket, candidate, payload)
        if not self._diverse(length, candidate, leaving):
            return Admission.NOT_DIVERSE
        if leaving is not None:
            self._take_out(leaving)
        bucket.replacements.pop(candidate.key, None)
        self._put_in(bucket, length, candidate, now, payload, now if useful else None)
        return Admission.ADDED if leaving is None else Admission.REPLACED

    def describe(self, peer: PeerT, payload: Any) -> None:
        """Give a member another payload; others are ignored."""
        entry = self._by_peer.get(peer)
        if entry is not None:
            self._describe(entry, payload)

    def remove(self, peer: PeerT, now: float) -> bool:
        """Forget a peer, for instance because it no longer serves the protocol; a replacement takes its place.

        Returns whether it was a member.
        """
        entry = self._by_peer.get(peer)
        if entry is None:
            for bucket in self._buckets.values():
                for key, waiting in bucket.replacements.items():
                    if waiting.candidate.peer == peer:
                        del bucket.replacements[key]
                        return False
            return False
        self._take_out(entry)
        self._promote(entry.bucket, now)
        return True

    # --- liveness ----------------------------------------------------------------------------------------------------

    def useful(self, peer: PeerT, now: float) -> bool:
        """A member answered a request of ours; others are ignored. Returns whether it is one."""
        entry = self._by_peer.get(peer)
        if entry is None:
            return False
        entry.useful_at = now
        entry.failures = 0
        return True

    def failed(self, peer: PeerT, now: float) -> bool:
        """A member could not be reached or did not answer; others are ignored.

        It goes at once when a replacement waits, else at the `max_failures`-th failure in a row. Returns whether it
        went.
        """
        entry = self._by_peer.get(peer)
        if entry is None:
            return False
        entry.failures += 1
        entry.failed_at = now
        bucket = self._buckets[entry.bucket]
        spare = any(
            self._diverse(entry.bucket, each.candidate, entry) for each in bucket.replacements.values()
        )
        if not spare and entry.failures < self._settings.max_failures:
            return False
        self._take_out(entry)
        self._promote(entry.bucket, now)
        return True

    def due_for_check(self, now: float, count: int = K) -> list[Entry[PeerT]]:
        """Members that ought to be asked something: those that failed `retry_s` ago, those not useful within the grace.

        At most `count`, longest unseen first. Tell `useful` or `failed` what came of it.
        """
        settings = self._settings
        due = [
            entry
            for entry in self._by_key.values()
            if (
                now - entry.failed_at >= settings.retry_s
                if entry.failures and entry.failed_at is not None
                else now - entry.seen_at >= settings.grace_s
            )
        ]
        due.sort(key=lambda entry: (entry.seen_at, entry.key))
        return due[:count]

    def events(self) -> list[PeerAdded[PeerT] | PeerRemoved[PeerT]]:
        """Members that came and went since the last call, the last `MAX_EVENTS` at most."""
        events = list(self._events)
        self._events.clear()
        return events

    # --- looking -----------------------------------------------------------------------------------------------------

    def closest(self, key: int, count: int = K, exclude: Collection[int] = ()) -> list[Entry[PeerT]]:
        """Up to `count` members nearest to `key`, nearest first, without those whose keys are in `exclude`."""
        places = self._layout().places(key, count + len(exclude))
        ordered = self._ordered
        found = [ordered[place] for place in places]
        if exclude:
            found = [entry for entry in found if entry.key not in exclude]
            del found[count:]
        return found

    def payloads(self, key: int, count: int = K, without: PeerT | None = None) -> list[Any]:
        """What was given for each of up to `count` members nearest to `key`, nearest first, leaving out one peer."""
        nearest = self._layout()
        entry = None if without is None else self._by_peer.get(without)
        if entry is None:
            places = nearest.places(key, count)
        else:
            places = nearest.places(key, count + 1)
            if entry.place in places:
                places.remove(entry.place)
            del places[count:]
        payloads = self._payloads
        return [payloads[place] for place in places]

    def reach(self, count: int = K) -> int:
        """How far the `count` nearest members lie from us, which is how far those of any key will: keys are uniform.

        The whole keyspace with fewer members. For 20 it is within a factor of two, whatever the network's size.
        """
        found = self.closest(self.local_key, count)
        return found[-1].key ^ self.local_key if len(found) == count else 2**KEY_BITS - 1

    def rows(self, now: float) -> list[BucketRow[PeerT]]:
        """Every bucket that has members or replacements, shortest prefix first."""
        stale_before = now - self._settings.grace_s
        return [
            BucketRow(
                prefix_length=length,
                number=max(KEY_BITS - 1 - length, 0),
                entries=tuple(bucket.entries.values()),
                replacements=tuple(each.candidate.peer for each in bucket.replacements.values()),
                failing=sum(entry.failures > 0 for entry in bucket.entries.values()),
                stale=sum(entry.seen_at <= stale_before for entry in bucket.entries.values()),
            )
            for length, bucket in sorted(self._buckets.items())
            if bucket.entries or bucket.replacements
        ]

    def _layout(self) -> Nearest:
        """The order of the members' keys, and `_ordered` and `_payloads` in step with it."""
        nearest = self._nearest
        if nearest is None:
            keys, by_key = self._keys, self._by_key
            nearest = self._nearest = Nearest(keys[:])
            self._ordered = [by_key[key] for key in keys]
            self._payloads = [entry.payload for entry in self._ordered]
            for place, entry in enumerate(self._ordered):
                entry.place = place
        return nearest

    # --- inside ------------------------------------------------------------------------------------------------------

    def _describe(self, entry: Entry[PeerT], payload: Any) -> None:
        entry.payload = payload
        if self._nearest is not None:
            self._payloads[entry.place] = payload

    def _replaceable(self, bucket: _Bucket[PeerT], now: float) -> Entry[PeerT] | None:
        """The member that a newcomer may displace: the one failing most, else the one longest not useful."""
        stale_before = now - self._settings.grace_s
        worst = min(bucket.entries.values(), key=lambda entry: (-entry.failures, entry.seen_at, entry.key))
        return worst if worst.failures or worst.seen_at <= stale_before else None

    def _diverse(self, length: int, candidate: Candidate[PeerT], leaving: Entry[PeerT] | None) -> bool:
        if not self._settings.diverse:
            return True
        gone = None if leaving is None else leaving.candidate.groups
        return self._groups.admits(length, candidate.groups or (), gone)

    def _remember(self, bucket: _Bucket[PeerT], candidate: Candidate[PeerT], payload: Any) -> Admission:
        """Keep a newcomer for later, the newest last; few of one network, else they would push out the rest."""
        waiting = bucket.replacements
        waiting.pop(candidate.key, None)
        if self._settings.diverse:
            for group in candidate.groups or ():
                same = sum(group in (each.candidate.groups or ()) for each in waiting.values())
                if same >= self._settings.max_per_group_in_bucket:
                    return Admission.NOT_DIVERSE
        waiting[candidate.key] = _Waiting(candidate, payload)
        if len(waiting) > self._settings.max_replacements:
            del waiting[next(iter(waiting))]
        return Admission.WAITING

    def _promote(self, length: int, now: float) -> None:
        """Give a free place in a bucket to the newest replacement that may have it; drop a bucket left empty."""
        bucket = self._buckets[length]
        for key in reversed(bucket.replacements):
            waiting = bucket.replacements[key]
            if self._diverse(length, waiting.candidate, None):
                del bucket.replacements[key]
                self._put_in(bucket, length, waiting.candidate, now, waiting.payload, None)
                return
        if not bucket.entries and not bucket.replacements:
            del self._buckets[length]

    def _put_in(
        self,
        bucket: _Bucket[PeerT],
        length: int,
        candidate: Candidate[PeerT],
        now: float,
        payload: Any,
        useful_at: float | None,
    ) -> None:
        entry = Entry(candidate, length, now, useful_at=useful_at, payload=payload)
        bucket.entries[candidate.key] = self._by_key[candidate.key] = self._by_peer[candidate.peer] = entry
        insort(self._keys, candidate.key)
        self._nearest = None
        self._groups.add(length, candidate.groups or ())
        self._events.append(PeerAdded(candidate.peer))

    def _take_out(self, entry: Entry[PeerT]) -> None:
        key = entry.key
        del self._buckets[entry.bucket].entries[key], self._by_key[key], self._by_peer[entry.peer]
        del self._keys[bisect_left(self._keys, key)]
        self._nearest = None
        self._groups.discard(entry.bucket, entry.candidate.groups or ())
        self._events.append(PeerRemoved(entry.peer))
