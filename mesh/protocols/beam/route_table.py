"""Which chains of peers lead to a peer, from what others sign about their own links (Beam digest, section 5).

A ROUTE_UPDATE counts for the direct links of its signer alone; nothing in it is passed on as knowledge about others. A
link that both ends tell of is as good as the worse of the two says. One that the other end, which tells of its own, does
not know is none; one to somebody who tells of nothing counts for half, so who boasts of links to everybody gains little.
Who does not say that it forwards is the relay of no route: providers of services tell of links to forwarders alone, so
that nobody else boasts of leading to them. Who was tried and delivered nothing (a black hole) loses half of its standing
each time and is left out below a quarter, until time or a success restores it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mesh.errors import UsageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.gossip_message import MAX_LINKS, Link
from mesh.protocols.beam.path_quality import Quality, route_score, worse

MAX_RELAYS: Final = 3
"""MAX_HOP_COUNT of the documents: peers between the two ends."""
MAX_ORIGINS: Final = 4096
MAX_BLAMED: Final = 4096
UPDATE_S: Final = 30.0
STALE_S: Final = 3 * UPDATE_S
ONE_SIDED: Final = 0.5
"""What is left of the score of a link whose other end tells of nothing."""
LEAST_STANDING: Final = 0.25
PROVEN_S: Final = 3.0
"""Through whom bytes came since, by whatever way, did not fail: a path that falls silent is given up after 4 s."""
RECOVERY_S: Final = 60.0
"""After so long a lost half of somebody's standing is back."""
_NONE: Final[Mapping[PeerId, float]] = {}


@dataclass(frozen=True, slots=True)
class Route:
    """Peers in order, the destination last, and the scores of the hops that lead to each."""

    peers: tuple[PeerId, ...]
    hops: tuple[float, ...]

    @property
    def destination(self) -> PeerId:
        return self.peers[-1]

    @property
    def relays(self) -> tuple[PeerId, ...]:
        return self.peers[:-1]

    @property
    def score(self) -> float:
        return route_score(self.hops)


def check_route(own: PeerId, peers: Sequence[PeerId]) -> None:
    """Raises `UsageError` for a route that is empty, too long, or comes back to where it was."""
    if not 1 <= len(peers) <= MAX_RELAYS + 1:
        raise UsageError(f"a route of {len(peers)} hops; 1 to {MAX_RELAYS + 1} are possible")
    if own in peers or len(set(peers)) != len(peers):
        raise UsageError("a route that comes back to where it was")


@dataclass(slots=True)
class _Origin:
    ts_ms: int
    heard_at: float
    forwards: bool
    links: dict[PeerId, Quality]


_Layer = dict[PeerId, tuple[tuple[PeerId, ...], tuple[float, ...]]]


class RouteTable:
    """The links of others as they tell of them, and how those fared who were tried. ``own`` is this node."""

    def __init__(self, own: PeerId) -> None:
        self._own = own
        self._origins: dict[PeerId, _Origin] = {}
        self._named_by: dict[PeerId, set[PeerId]] = {}
        self._scores: dict[PeerId, dict[PeerId, float]] = {}
        self._standing: dict[PeerId, tuple[float, float]] = {}
        self._proven: dict[PeerId, float] = {}
        self.refused = 0
        """Updates that were older than what is held, too long, or one too many."""

    def __len__(self) -> int:
        """Links that are known."""
        return sum(len(each.links) for each in self._origins.values())

    def forwards(self, peer: PeerId) -> bool:
        """Whether a peer says that it lets chains pass."""
        held = self._origins.get(peer)
        return held is not None and held.forwards

    def update(
        self, origin: PeerId, ts_ms: int, links: Iterable[Link], now: float, *, forwards: bool = True
    ) -> bool:
        """What ``origin`` signed about its own links, all by which it is reached; whether it was taken."""
        given = tuple(links)
        held = self._origins.get(origin)
        if origin == self._own or len(given) > MAX_LINKS or (held is not None and held.ts_ms >= ts_ms):
            self.refused += 1
            return False
        if held is None and len(self._origins) >= MAX_ORIGINS:
            self.expire(now)
            if len(self._origins) >= MAX_ORIGINS:
                self.refused += 1
                return False
        told = {
            each.peer: Quality(
                each.latency_ms / 1000, each.bandwidth, min(each.reliability, 1.0), min(each.congestion, 1.0)
            )
            for each in given
            if each.peer != origin
        }
        before = held.links.keys() if held is not None else set()
        self._origins[origin] = _Origin(ts_ms, now, forwards, told)
        self._name(origin, told.keys() - before, before - told.keys())
        for peer in told.keys() | before | self._named_by.get(origin, set()):
            self._rate(origin, peer)
        return True

    def expire(self, now: float) -> None:
        """Forget what was not said again."""
        for origin in [who for who, each in self._origins.items() if now - each.heard_at > STALE_S]:
            links = self._origins.pop(origin).links
            self._name(origin, (), links)
            for peer in links.keys() | self._named_by.get(origin, set()):
                self._rate(origin, peer)

    def delivered(self, relays: Iterable[PeerId], now: float) -> None:
        """Bytes came through these."""
        for each in relays:
            self._proven.pop(each, None)
            self._proven[each] = now
            if len(self._proven) > MAX_BLAMED:
                del self._proven[next(iter(self._proven))]
            self._standing[each] = min(1.0, 2 * self.standing(each, now)), now
            if self._standing[each][0] >= 1.0:
                del self._standing[each]

    def failed(self, relays: Iterable[PeerId], now: float) -> None:
        """Nothing came through these: those are to blame through whom nothing came otherwise, if there are any."""
        chain = tuple(relays)
        suspects = [each for each in chain if now - self._proven.get(each, float("-inf")) > PROVEN_S]
        for each in suspects or chain:
            if each not in self._standing and len(self._standing) >= MAX_BLAMED:
                del self._standing[next(iter(self._standing))]
            self._standing[each] = self.standing(each, now) / 2, now

    def standing(self, peer: PeerId, now: float) -> float:
        """From 0 to 1: 1 for whom nothing speaks against."""
        held = self._standing.get(peer)
        return 1.0 if held is None else min(1.0, held[0] * 2 ** ((now - held[1]) / RECOVERY_S))

    def routes(self, destination: PeerId, own_links: Mapping[PeerId, Quality], now: float) -> list[Route]:
        """Ways to a peer, the best first: each is free of loops and leads through `MAX_RELAYS` peers at most. For each
        number of hops and last peer before the destination it is the best found. ``own_links`` are this node's."""
        self.expire(now)
        found: list[Route] = []
        direct = own_links.get(destination)
        if direct is not None:
            found.append(Route((destination,), (direct.seed,)))
        into = self._scores.get(destination, _NONE)
        blamed = {peer: self.standing(peer, now) for peer in self._standing}
        layer: _Layer = {}
        for peer, quality in own_links.items():
            standing = blamed.get(peer, 1.0)
            if peer != destination and self.forwards(peer) and standing >= LEAST_STANDING:
                layer[peer] = (peer,), (quality.seed * standing,)
        for hops in range(MAX_RELAYS):
            if hops:
                layer = self._next_layer(layer, destination, blamed)
            for peer in into.keys() & layer.keys():
                peers, scores = layer[peer]
                found.append(Route((*peers, destination), (*scores, into[peer])))
        found.sort(key=lambda route: (-route.score, len(route.peers), route.peers[0].to_bytes()))
        return found

    # -- within ------------------------------------------------------------------------------------------------------

    def _next_layer(self, layer: _Layer, destination: PeerId, blamed: Mapping[PeerId, float]) -> _Layer:
        """The best way to each peer that is one hop further."""
        totals: dict[PeerId, float] = {}
        best: dict[PeerId, tuple[PeerId, float]] = {}
        for peer, (peers, hops) in layer.items():
            so_far = sum(hops)
            for further, score in self._scores.get(peer, _NONE).items():
                if further in blamed:
                    standing = blamed[further]
                    if standing < LEAST_STANDING:
                        continue
                    score *= standing
                total = so_far + score
                if further in totals and total <= totals[further]:
                    continue
                if further in peers or further == destination or not self.forwards(further):
                    continue
                totals[further] = total
                best[further] = peer, score
        return {
            further: ((*layer[through][0], further), (*layer[through][1], score))
            for further, (through, score) in best.items()
        }

    def _rate(self, one: PeerId, other: PeerId) -> None:
        """Work out the score of a link anew, both ways."""
        there, back = self._told(one, other), self._told(other, one)
        if there is not None and back is not None:
            score: float | None = worse(there, back).seed
        elif there is not None and other not in self._origins:
            score = min(there.seed, there.seed * ONE_SIDED)
        elif back is not None and one not in self._origins:
            score = min(back.seed, back.seed * ONE_SIDED)
        else:
            score = None
        for begin, end in ((one, other), (other, one)):
            scores = self._scores.setdefault(begin, {})
            if score is None:
                scores.pop(end, None)
            else:
                scores[end] = score
            if not scores:
                del self._scores[begin]

    def _name(self, origin: PeerId, more: Iterable[PeerId], fewer: Iterable[PeerId]) -> None:
        """``origin`` tells of links to other peers than before."""
        for peer in more:
            self._named_by.setdefault(peer, set()).add(origin)
        for peer in fewer:
            namers = self._named_by[peer]
            namers.discard(origin)
            if not namers:
                del self._named_by[peer]

    def _told(self, origin: PeerId, peer: PeerId) -> Quality | None:
        held = self._origins.get(origin)
        return None if held is None else held.links.get(peer)
