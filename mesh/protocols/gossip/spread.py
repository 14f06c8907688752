"""Random fanout with hop limits and dedup, and pull repair for whom it missed: Beam's gossip engine, without its wire.

Push. A node passes each rumour on once, when it first hears it, to a few random neighbours: never to the one it came
from, nor to the origin. `ttl` goes down by one a hop, and at 0 a rumour is kept but not passed on. With 1,000 nodes and
a fanout of 6 about one node in 400 is never told.

Pull repair finds those. Each round, say each second, a node sends to `repair_partners` neighbours its `digest`, the ids
that it heard lately. Whoever gets a digest answers with two lists: what of it is `missing` here, and what it leaves
`unmentioned`. The first node sends the rumours that were asked for (`held`) and asks in turn for what it is `missing`
of the second list. Rumours that come so are rumours like others: `receive` them.

========================  =============================================================================================
message                   what its receiver does
========================  =============================================================================================
rumour                    ``receive``; sends ``rumour(id)`` on to the peers that returns
digest                    answers ``missing(ids)`` and ``unmentioned(ids, now)``
answer to a digest        sends ``held`` of the first list, asks for ``missing`` of the second
request                   sends ``held(ids)``
========================  =============================================================================================

A repaired rumour also makes a hop, and one that may make no more is not told of. As nobody tells of a rumour for longer
than `held_s`, it has died everywhere before anybody forgets having seen it, which `SpreadSettings` insists on: or else
newcomers would keep it alive for ever. Only a liar that turns `ttl` back can do that, so what is old by its origin's
clock should be refused before it comes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Generic, Protocol, TypeVar

from mesh.errors import UsageError
from mesh.protocols.gossip.rumours import MAX_TTL, REACH, Kind, Reach, Rumour, RumourStore
from mesh.protocols.gossip.seen import SeenCache

PeerT = TypeVar("PeerT")

_MANY = 256
"""Up to so many candidates copying them all costs less than drawing again what was drawn before."""

_SPARSE = 8
"""Candidates for each pick, of which drawing again is rare."""

_COUNTED = ("started", "new", "seen", "malformed", "passed_on", "told", "asked", "given")

_ABOVE_0 = ("held_s", "held_rumours", "held_bytes", "rumour_bytes", "id_bytes", "digest_ids", "answer_bytes")


class Randomness(Protocol):
    """What is drawn from: a `random.Random`, of which one method is used."""

    def random(self) -> float:
        """A number from 0 up to but not including 1."""


@dataclass(frozen=True, slots=True)
class SpreadSettings:
    """Of a `Spread`. Times in seconds."""

    reach: Mapping[Kind, Reach] = field(default_factory=lambda: REACH)
    seen_ttl_s: float = 120.0
    seen_ids: int = 100_000
    held_s: float = 15.0
    """Rumours are told of and given away for this long."""
    held_rumours: int = 4096
    held_bytes: int = 16 * 2**20
    rumour_bytes: int = 64 * 1024
    """Of one body."""
    id_bytes: int = 128
    digest_ids: int = 512
    """Ids told of or looked at at once; of more, a random choice is told of."""
    answer_bytes: int = 512 * 1024
    """Given for one request; what is left out can be asked for again."""
    repair_fanout: int = 1
    """Neighbours told a digest each round."""

    def __post_init__(self) -> None:
        """Raises UsageError for a setting that cannot be, by its name."""
        for name in _ABOVE_0:
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} is {getattr(self, name)}: must be above 0")
        for kind in Kind:
            reach = self.reach.get(kind)
            if reach is None or not (1 <= reach.hops <= MAX_TTL and reach.fanout >= 1):
                raise UsageError(f"reach of {kind.value}: at least one neighbour and 1 to {MAX_TTL} hops")
        longest_s = max(each.hops for each in self.reach.values()) * self.held_s
        if longest_s > self.seen_ttl_s:
            raise UsageError(
                f"seen_ttl_s is {self.seen_ttl_s:g}: a rumour can live for {longest_s:g} s (hops times held_s)"
            )


class Spread(Generic[PeerT]):
    """One node's part. `peers` in calls are its neighbours, without itself, each once."""

    __slots__ = ("_reach", "_rng", "_seen", "_settings", "_store", "arrivals", "counts")

    def __init__(self, settings: SpreadSettings, rng: Randomness, now: float) -> None:
        self._settings = settings
        self._reach = settings.reach
        self._rng = rng
        self._seen = SeenCache(settings.seen_ttl_s, settings.seen_ids, now)
        self._store: RumourStore[PeerT] = RumourStore(
            settings.held_rumours, settings.held_bytes, settings.held_s
        )
        self.counts: dict[str, int] = dict.fromkeys(_COUNTED, 0)
        """`passed_on`, `told`, `asked` and `given` count copies, ids told, ids asked for, and rumours given for those."""
        self.arrivals = dict.fromkeys(range(1, 1 + max(each.hops for each in self._reach.values())), 0)
        """New rumours by the number of hops that they had made: rounds, if all hops take as long."""

    def __contains__(self, rumour_id: bytes) -> bool:
        """Whether it was heard (and not forgotten again)."""
        return rumour_id in self._seen

    def __len__(self) -> int:
        """Rumours held."""
        return len(self._store)

    def rumour(self, rumour_id: bytes) -> Rumour[PeerT] | None:
        """A rumour as it is held and sent, `ttl` counted down; None when it is not held or not any more."""
        return self._store.get(rumour_id)

    # --- push ---------------------------------------------------------------------------------------------------

    def start(self, rumour: Rumour[PeerT], peers: Sequence[PeerT], now: float) -> list[PeerT]:
        """Begin a rumour here; returns whom to send it to, as `rumour` gives it.

        Raises UsageError for one that is known already, and for one that no receiver would take.
        """
        if not self._well_formed(rumour):
            raise UsageError(
                f"a rumour of {len(rumour.id)} bytes of id, {len(rumour.body)} of body and {rumour.ttl} hops"
            )
        if not self._seen.add(rumour.id, now):
            raise UsageError(f"rumour {rumour.id.hex()} was started before")
        self.counts["started"] += 1
        reach = self._reach[rumour.kind]
        return self._pass_on(replace(rumour, ttl=min(rumour.ttl, reach.hops)), reach, (), peers, now)

    def receive(
        self, source: PeerT, rumour: Rumour[PeerT], peers: Sequence[PeerT], now: float
    ) -> list[PeerT] | None:
        """A rumour came from a neighbour: whom to send it on to, as `rumour` gives it; None if there is nothing new.

        Check who signed it before: a rumour taken here keeps out all others with its id.
        """
        counts = self.counts
        if not self._well_formed(rumour):
            counts["malformed"] += 1
            return None
        if not self._seen.add(rumour.id, now):
            counts["seen"] += 1
            return None
        counts["new"] += 1
        reach = self._reach[rumour.kind]
        ttl = min(rumour.ttl, reach.hops) - 1
        self.arrivals[reach.hops - ttl] += 1
        heard = Rumour(rumour.id, rumour.origin, rumour.kind, rumour.body, ttl)
        return self._pass_on(heard, reach, (source, rumour.origin), peers, now)

    def _pass_on(
        self,
        rumour: Rumour[PeerT],
        reach: Reach,
        knowing: tuple[PeerT, ...],
        peers: Sequence[PeerT],
        now: float,
    ) -> list[PeerT]:
        self._store.put(rumour, now)
        if not rumour.ttl:
            return []
        drawn = choose(peers, reach.fanout + len(knowing), self._rng)
        chosen = [peer for peer in drawn if peer not in knowing][: reach.fanout]
        self.counts["passed_on"] += len(chosen)
        return chosen

    def _well_formed(self, rumour: Rumour[PeerT]) -> bool:
        settings = self._settings
        return (
            0 < len(rumour.id) <= settings.id_bytes
            and len(rumour.body) <= settings.rumour_bytes
            and 0 < rumour.ttl <= MAX_TTL
        )

    # --- pull repair --------------------------------------------------------------------------------------------

    def repair_partners(self, peers: Sequence[PeerT]) -> list[PeerT]:
        """Neighbours to send this round's digest to."""
        return choose(peers, self._settings.repair_fanout, self._rng)

    def digest(self, now: float) -> list[bytes]:
        """Ids to tell of; empty ones are worth sending too, for the answer."""
        told = self._told(now)
        if len(told) > self._settings.digest_ids:
            told = choose(told, self._settings.digest_ids, self._rng)
        self.counts["told"] += len(told)
        return told

    def missing(self, ids: Iterable[bytes]) -> list[bytes]:
        """Those never heard of, each once: to be asked for. At most `digest_ids` of a peer's ids are looked at."""
        most = self._settings.id_bytes
        lacking = {
            each: None
            for each in islice(ids, self._settings.digest_ids)
            if 0 < len(each) <= most and each not in self._seen
        }
        self.counts["asked"] += len(lacking)
        return list(lacking)

    def unmentioned(self, ids: Iterable[bytes], now: float) -> list[bytes]:
        """What a digest with these ids could have told of: the newest first, at most `digest_ids`."""
        mentioned = frozenset(islice(ids, self._settings.digest_ids))
        offered = [each for each in self._told(now) if each not in mentioned]
        del offered[self._settings.digest_ids :]
        self.counts["told"] += len(offered)
        return offered

    def held(self, ids: Iterable[bytes]) -> list[Rumour[PeerT]]:
        """What is given for a request, in its order, each once, up to `answer_bytes`; not what has made all its hops."""
        settings = self._settings
        found: dict[bytes, Rumour[PeerT]] = {}
        room = settings.answer_bytes
        for each in islice(ids, settings.digest_ids):
            rumour = self._store.get(each)
            if rumour is None or not rumour.ttl or each in found:
                continue
            room -= len(rumour.body)
            if room < 0 and found:
                break
            found[each] = rumour
        self.counts["given"] += len(found)
        return list(found.values())

    def _told(self, now: float) -> list[bytes]:
        self._store.forget(now)
        return [each.id for each in self._store.latest() if each.ttl and self._reach[each.kind].repaired]


def choose(candidates: Sequence[PeerT], count: int, rng: Randomness) -> list[PeerT]:
    """So many different candidates, or all if there are fewer, in random order."""
    size = len(candidates)
    draw = rng.random
    if size > _MANY and count * _SPARSE <= size:
        picked: dict[int, None] = {}
        while len(picked) < count:
            picked[int(draw() * size)] = None
        return [candidates[each] for each in picked]
    pool = list(candidates)
    left = size
    rest = max(size - max(count, 0), 0)
    while left > rest:
        other = int(draw() * left)
        left -= 1
        pool[other], pool[left] = pool[left], pool[other]
    return pool[rest:]
