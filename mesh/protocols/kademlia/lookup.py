"""One iterative lookup: ask the nearest peers known for nearer ones (libp2p specs kad-dht, "FIND_NODE").

As in go, up to `alpha` requests run at once, and the search ends when the `beta` closest reachable peers have all
answered. Then the rest of the k closest are asked once (the follow-up), since the caller wants to store at, or read
from, all of them. Unlike go, what they name still counts, so a nearer peer found late is asked too; and peers outside
the k closest are not asked while the k closest are at work.

A request that takes longer than its peer usually needs is overdue: it no longer holds a place nor keeps the search from
ending, but its answer is used until `request_limit_s`. So a dead peer costs a few round trips, not ten seconds.

Against lying peers: an answer counts for `max_per_answer` peers, a group of addresses for `max_per_group` of them, and
who named `max_bad_names` peers that all failed is believed no further. With disjoint paths a liar misleads one of them.

Order of use, as with every machine: after each of `answered`, `failed`, `wake`, `stop` take `requests`, `deadline` and
`events`, and look at `finished`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Sequence
from enum import IntEnum
from heapq import heappop, heappush
from typing import Generic

from mesh.errors import UsageError
from mesh.protocols.kademlia.diversity import crowded
from mesh.protocols.kademlia.key import KEY_BITS, Candidate, PeerT
from mesh.protocols.kademlia.round_trips import RoundTrips
from mesh.protocols.kademlia.settings import LookupSettings
from mesh.protocols.kademlia.trace import Answered, Asked, Ended, Ending, Failed, Overdue, Result, Step

TIMEOUT = "timeout"
"""The cause of a failure by `request_limit_s`."""

_UNCLAIMED = -1
_EVERYWHERE = 2**KEY_BITS


class _Status(IntEnum):
    HEARD = 0
    WAITING = 1
    OVERDUE = 2
    ANSWERED = 3
    FAILED = 4


_HEARD, _WAITING, _OVERDUE, _ANSWERED, _FAILED = _Status


class _Known(Generic[PeerT]):
    """What a lookup knows of one peer. `path` is the one that asked it; `named` are distances."""

    __slots__ = (
        "asked_at",
        "bad_names",
        "candidate",
        "distance",
        "good_name",
        "hop",
        "named",
        "named_by",
        "path",
        "status",
    )

    def __init__(
        self, candidate: Candidate[PeerT], distance: int, hop: int, named_by: _Known[PeerT] | None
    ) -> None:
        self.candidate = candidate
        self.distance = distance
        self.hop = hop
        self.named_by = named_by
        self.path = _UNCLAIMED
        self.status = _HEARD
        self.asked_at = 0.0
        self.bad_names = 0
        self.good_name = False
        self.named: list[int] = []


class Lookup(Generic[PeerT]):
    """A lookup of one key. Keys identify peers; a peer is asked at most once."""

    __slots__ = (
        "_answers",
        "_awaited",
        "_boundary",
        "_clock",
        "_ending",
        "_events",
        "_exclude",
        "_failures",
        "_following_up",
        "_known",
        "_late",
        "_of_peer",
        "_outbox",
        "_overdue",
        "_paths",
        "_reachable",
        "_requests",
        "_round_trips",
        "_running",
        "_settings",
        "_started_at",
        "_stopped_at",
        "_trace",
        "_window",
        "changes",
        "forgotten",
        "target_key",
    )

    def __init__(
        self,
        target_key: int,
        seeds: Sequence[Candidate[PeerT]],
        settings: LookupSettings,
        round_trips: RoundTrips[PeerT],
        now: float,
        *,
        exclude: Collection[int] = (),
        trace: bool = False,
    ) -> None:
        """`seeds` are the nearest peers of the routing table; `exclude` keys never to ask, our own among them.

        `round_trips` is shared by the lookups of a node; answers are measured into it. `trace` records `events`.
        """
        self.target_key = target_key
        self._settings = settings
        self._window = settings.k if settings.follow_up else max(settings.alpha, settings.beta)
        self._round_trips = round_trips
        self._exclude = frozenset(exclude)
        self._trace = trace
        self._started_at = self._stopped_at = now
        self._known: dict[int, _Known[PeerT]] = {}
        self._of_peer: dict[PeerT, _Known[PeerT]] = {}
        self._reachable: list[int] = []
        # Distances each path heard of, like _reachable sorted and without those that failed; one path has just that.
        paths = max(settings.paths, 1)
        self._paths: list[list[int]] = [self._reachable] if paths == 1 else [[] for _ in range(paths)]
        self._running = [0] * paths
        self._outbox: list[PeerT] = []
        self._events: list[Step[PeerT]] = []
        self._clock: list[tuple[float, int]] = []
        self._following_up = False
        self._awaited = 0
        self._boundary = 0
        self.changes = 0
        """How often a peer was added to, or taken from, those that may be near."""
        self.forgotten = 0
        """How often a peer was dropped; it counts again when another names it."""
        self._ending: Ending | None = None
        self._requests = self._answers = self._failures = self._late = self._overdue = 0
        for number, seed in enumerate(sorted(seeds, key=lambda each: each.key ^ target_key)):
            self._hear(seed, None, number % paths)
        self._advance(now)

    # --- the caller's side -------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether the result stands; requests under way may be given up."""
        return self._ending is not None

    def requests(self) -> list[PeerT]:
        """Peers to ask now for those nearest to the target. The caller must report each by `answered` or `failed`."""
        outbox = self._outbox
        self._outbox = []
        return outbox

    @property
    def wants_repeats(self) -> bool:
        """Whether `answered` needs peers that were named before as well, and not new ones alone."""
        return self._trace or len(self._paths) > 1 or self._settings.max_per_group > 0

    def answered(self, peer: PeerT, closer: Sequence[Candidate[PeerT]], now: float) -> bool:
        """A peer answered and named `closer` ones. Raises UsageError if it was not asked; too late is ignored, which the
        result tells."""
        known = self._asked(peer)
        if self._ending is not None or known.status not in (_WAITING, _OVERDUE):
            return False
        late = known.status is _OVERDUE
        rtt_s = now - known.asked_at
        self._round_trips.observed(peer, rtt_s)
        if late:
            self._overdue -= 1
            self._reach(known.distance, known.path)
        else:
            self._running[known.path] -= 1
            if self._awaited and known.distance <= self._boundary:
                self._awaited -= 1
        known.status = _ANSWERED
        self._answers += 1
        if known.named_by is not None:
            known.named_by.good_name = True
        before = len(self._known)
        self._learn(closer, known)
        if self._trace:
            new = len(self._known) - before
            self._events.append(Answered(now, peer, known.hop, rtt_s, len(closer), new, late))
        if not self._awaited:
            self._advance(now)
        return True

    def failed(self, peer: PeerT, now: float, cause: str = "") -> None:
        """A peer could not be dialled or did not answer. Raises UsageError if it was not asked."""
        known = self._asked(peer)
        if self._ending is None and known.status in (_WAITING, _OVERDUE):
            self._fail(known, now, cause)
            self._advance(now)

    def stop(self, now: float) -> None:
        """Enough: the quorum is reached, or the caller gives up. The result has what answered so far."""
        if self._ending is None:
            self._end(Ending.STOPPED, now)

    def deadline(self) -> float | None:
        """When `wake` is due: a request becomes overdue or is given up, or the lookup is. None when finished."""
        if self._ending is not None:
            return None
        clock = self._clock
        while clock and self._known[clock[0][1]].status not in (_WAITING, _OVERDUE):
            heappop(clock)
        limit = self._started_at + self._settings.limit_s
        return min(clock[0][0], limit) if clock else limit

    def wake(self, now: float) -> None:
        """Time has passed."""
        if self._ending is not None:
            return
        clock = self._clock
        while clock and clock[0][0] <= now:
            known = self._known[heappop(clock)[1]]
            given_up = known.asked_at + self._settings.request_limit_s
            if known.status is _WAITING and now < given_up:
                self._mark_overdue(known, now)
                heappush(clock, (given_up, known.distance))
            elif known.status in (_WAITING, _OVERDUE):
                self._fail(known, now, TIMEOUT)
        if now >= self._started_at + self._settings.limit_s:
            self._end(Ending.TIME_LIMIT, now)
        else:
            self._advance(now)

    def nearest(self, count: int) -> list[Candidate[PeerT]]:
        """The `count` nearest peers heard of so far, asked or not, without those that failed or are overdue."""
        return [self._known[far].candidate for far in self._reachable[:count]]

    def events(self) -> list[Step[PeerT]]:
        """Steps since the last call, empty unless traced; at most four for each request."""
        events = self._events
        self._events = []
        return events

    def result(self) -> Result[PeerT]:
        """What was found so far; final once `finished`."""
        found = [self._known[far] for far in self._reachable if self._known[far].status is _ANSWERED]
        found = found[: self._settings.k]
        return Result(
            closest=[known.candidate for known in found],
            path_lengths=[known.hop for known in found],
            ending=self._ending or Ending.STOPPED,
            requests=self._requests,
            answers=self._answers,
            failures=self._failures,
            overdue=self._late,
            duration_s=self._stopped_at - self._started_at,
        )

    def credibility(self) -> dict[PeerT, bool]:
        """Who named somebody that answered (True), and who `max_bad_names` peers of whom none did."""
        most = self._settings.max_bad_names
        return {
            peer: known.good_name
            for peer, known in self._of_peer.items()
            if known.status is _ANSWERED and (known.good_name or 0 < most <= known.bad_names)
        }

    # --- learning ----------------------------------------------------------------------------------------------------

    def _asked(self, peer: PeerT) -> _Known[PeerT]:
        known = self._of_peer.get(peer)
        if known is None:
            raise UsageError(f"{peer} was not asked by this lookup")
        return known

    def _learn(self, closer: Sequence[Candidate[PeerT]], source: _Known[PeerT]) -> None:
        """Take in what a peer named."""
        settings = self._settings
        closer = closer[: settings.max_per_answer]
        if settings.max_per_group:
            excess = crowded([each.groups for each in closer], settings.max_per_group)
            if excess:
                closer = [each for each in closer if excess.isdisjoint(each.groups or ())]
        target, known = self.target_key, self._known
        single = len(self._paths) == 1
        for candidate in closer:
            if single and candidate[1] ^ target in known:
                continue
            self._hear(candidate, source, source.path)

    def _hear(self, candidate: Candidate[PeerT], source: _Known[PeerT] | None, path: int) -> None:
        """A path hears of a peer, perhaps not for the first time."""
        far = candidate.key ^ self.target_key
        known = self._known.get(far)
        if known is None:
            if candidate.key in self._exclude or not self._room_for(far):
                return
            known = _Known(candidate, far, 1 if source is None else source.hop + 1, source)
            self._known[far] = known
            if source is not None:
                source.named.append(far)
            self._reach(far, path)
        elif len(self._paths) > 1 and known.status is _HEARD:
            heard = self._paths[path]
            at = bisect_left(heard, far)
            if at == len(heard) or heard[at] != far:
                heard.insert(at, far)

    def _room_for(self, far: int) -> bool:
        """Whether a new peer may be remembered, if need be instead of the farthest that was not asked."""
        if len(self._known) < self._settings.max_candidates:
            return True
        for farthest in reversed(self._reachable):
            if farthest < far:
                return False
            if self._known[farthest].status is _HEARD:
                self._drop(self._known[farthest])
                return True
        return False

    def _drop(self, known: _Known[PeerT]) -> None:
        """Forget a peer that was not asked, as if nobody had named it."""
        self._unreach(known.distance)
        del self._known[known.distance]
        self.forgotten += 1

    def _reach(self, far: int, path: int) -> None:
        insort(self._reachable, far)
        self.changes += 1
        if far < self._boundary:
            self._awaited = 0
        if len(self._paths) > 1:
            insort(self._paths[path], far)

    def _unreach(self, far: int) -> None:
        del self._reachable[bisect_left(self._reachable, far)]
        self.changes += 1
        self._awaited = 0
        if len(self._paths) > 1:
            for heard in self._paths:
                at = bisect_left(heard, far)
                if at < len(heard) and heard[at] == far:
                    del heard[at]

    # --- asking ------------------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Ask whom there is to ask, or end."""
        if not self._following_up:
            share = max(self._settings.alpha // len(self._paths), 1)
            busy = False
            for path in range(len(self._paths)):
                busy |= self._search(path, share, now)
            if not busy:
                self._following_up = True
        if self._following_up:
            self._conclude(now)

    def _search(self, path: int, share: int, now: float) -> bool:
        """Let one path ask; returns whether it goes on."""
        settings, known = self._settings, self._known
        seen = answered = 0
        ask: list[_Known[PeerT]] = []
        free = min(share - self._running[path], settings.max_requests - self._requests)
        for far in self._paths[path]:
            each = known[far]
            if each.path not in (_UNCLAIMED, path):
                continue
            seen += 1
            if each.status is _ANSWERED:
                answered += 1
            elif each.status is _HEARD and free > 0:
                ask.append(each)
                free -= 1
            if seen == settings.beta and answered == seen:
                return False
            if seen == self._window or (free <= 0 and seen >= settings.beta):
                break
        for each in ask:
            self._ask(each, path, now)
        return self._running[path] > 0

    def _conclude(self, now: float) -> None:
        """Ask the rest of the k closest, and end when all of them have answered or failed: `_awaited` have not, and as
        long as the k closest stay the same there is nothing else to do."""
        settings, known = self._settings, self._known
        waiting = 0
        if settings.follow_up:
            closest = self._reachable[: settings.k]
            for far in closest:
                each = known[far]
                if each.status is _HEARD:
                    if self._requests >= settings.max_requests:
                        continue
                    self._ask(each, 0, now)
                if each.status is _WAITING:
                    waiting += 1
            self._awaited = waiting
            self._boundary = closest[-1] if len(closest) == settings.k else _EVERYWHERE
        if waiting or (self._answers < settings.beta and self._overdue):
            return  # with hardly an answer yet the estimates are wrong rather than the peers dead
        beta = [known[far].status for far in self._reachable[: settings.beta]]
        if beta == [_ANSWERED] * settings.beta:
            self._end(Ending.CONVERGED, now)
        else:
            limited = self._requests >= settings.max_requests and _HEARD in beta
            self._end(Ending.REQUEST_LIMIT if limited else Ending.STARVED, now)

    def _ask(self, known: _Known[PeerT], path: int, now: float) -> None:
        peer = known.candidate.peer
        timeout_s = self._round_trips.timeout_s(peer)
        known.status = _WAITING
        known.path = path
        known.asked_at = now
        self._of_peer[peer] = known
        self._running[path] += 1
        self._requests += 1
        self._outbox.append(peer)
        heappush(self._clock, (now + min(timeout_s, self._settings.request_limit_s), known.distance))
        if self._trace:
            named_by = None if known.named_by is None else known.named_by.candidate.peer
            shared = KEY_BITS - known.distance.bit_length()
            self._events.append(Asked(now, peer, known.hop, path, named_by, shared, timeout_s))

    def _mark_overdue(self, known: _Known[PeerT], now: float) -> None:
        self._running[known.path] -= 1
        self._overdue += 1
        known.status = _OVERDUE
        self._unreach(known.distance)
        self._late += 1
        self._blame(known.named_by)
        if self._trace:
            self._events.append(Overdue(now, known.candidate.peer, known.hop))

    def _fail(self, known: _Known[PeerT], now: float, cause: str) -> None:
        if known.status is _WAITING:
            self._running[known.path] -= 1
            self._unreach(known.distance)
            self._blame(known.named_by)
        else:
            self._overdue -= 1
        known.status = _FAILED
        self._failures += 1
        if self._trace:
            self._events.append(Failed(now, known.candidate.peer, known.hop, cause))

    def _blame(self, source: _Known[PeerT] | None) -> None:
        """A peer that `source` named failed or is overdue; when all it named did, drop what nobody else named first."""
        if source is None:
            return
        source.bad_names += 1
        if source.bad_names != self._settings.max_bad_names or source.good_name:
            return
        for far in source.named:
            known = self._known.get(far)
            if known is not None and known.named_by is source and known.status is _HEARD:
                self._drop(known)

    def _end(self, ending: Ending, now: float) -> None:
        self._ending = ending
        self._stopped_at = now
        self._outbox.clear()
        self._clock.clear()
        if self._trace:
            self._events.append(Ended(now, ending))
