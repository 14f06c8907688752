"""Which of several ways to a peer are tried, and when: none is waited for long, so a black hole costs a moment (Beam
digest, section 5).

The best is tried first. Each further one is, when those before had their head start or failed. Ways that share no peer
with those before come first, since one black hole may sit in many of the best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from mesh.codecs.beam_route import RouteStatus
from mesh.identity.peer_id import PeerId

TRIED: Final = 6
HEAD_START_S: Final = 0.3
LIMIT_S: Final = 5.0
"""Of one way; whoever needs longer has failed."""

WayT = TypeVar("WayT")


def diverse(
    ways: Sequence[WayT], relays: Callable[[WayT], Iterable[PeerId]], count: int = TRIED
) -> list[WayT]:
    """So many of ``ways``, the best first: first those that share none of their ``relays`` with a better one taken."""
    taken: list[WayT] = []
    used: set[PeerId] = set()
    for each in ways:
        if len(taken) == count:
            return taken
        own = set(relays(each))
        if used.isdisjoint(own):
            used |= own
            taken.append(each)
    rest = (each for each in ways if each not in taken)
    return [*taken, *(each for each, _ in zip(rest, range(count - len(taken)), strict=False))]


def innocent(status: int | None, took_s: float) -> bool:
    """Whether nobody of a chain is to be blamed for an answer that came so soon: a forwarder may have no place free."""
    return status == RouteStatus.BUSY and took_s <= HEAD_START_S


class RouteTrial(Generic[WayT]):
    """Tries ``ways``, the best first. After each call take `due`, `deadline`, and look at `finished`. Times are seconds
    of one clock."""

    def __init__(self, ways: Sequence[WayT], now: float) -> None:
        self._waiting = list(ways)
        self._under_way: dict[WayT, float] = {}
        self._next_at = now
        self.found: WayT | None = None

    @property
    def finished(self) -> bool:
        """One led to the peer, or none is left."""
        return self.found is not None or not (self._waiting or self._under_way)

    def due(self, now: float) -> list[WayT]:
        """Those to try now, one at most."""
        if self.finished or not self._waiting or now < self._next_at:
            return []
        way = self._waiting.pop(0)
        self._under_way[way] = now
        self._next_at = now + HEAD_START_S
        return [way]

    def failed(self, way: WayT, now: float) -> None:
        """A way leads nowhere: the next is due."""
        if self._under_way.pop(way, None) is not None:
            self._next_at = now

    def reached(self, way: WayT) -> None:
        """A way leads to the peer."""
        self._under_way.pop(way, None)
        if self.found is None:
            self.found = way

    def overdue(self, now: float) -> list[WayT]:
        """Those that took too long; they have failed."""
        late = [way for way, began in self._under_way.items() if now >= began + LIMIT_S]
        for way in late:
            self.failed(way, now)
        return late

    def deadline(self) -> float | None:
        """When `due` or `overdue` has something; None when finished."""
        if self.finished:
            return None
        times = [began + LIMIT_S for began in self._under_way.values()]
        if self._waiting:
            times.append(self._next_at)
        return min(times)
