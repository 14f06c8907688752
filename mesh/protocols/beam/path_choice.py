"""Which of several paths to a peer is used, and when another one takes its place (Beam digest, section 5).

Paths are compared every 30 s and when one fails. A living path is left only for one that is better by a tenth, so that
two of nearly the same quality do not take turns; one that failed is left at once for the best that remains.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mesh.identity.peer_id import PeerId

EVALUATION_S: Final = 30.0
BETTER_BY: Final = 1.1
LEAST_GAIN: Final = 0.01
"""What the tenth is at least: of a score near 0 it would be nothing."""
KEPT_SWITCHES: Final = 64

DIRECT, PUNCHED, RELAYED, CHAINED = "direct", "punched", "relayed", "chained"


@dataclass(frozen=True, slots=True)
class PathKey:
    """What a path is: its kind, and the peers between its ends."""

    kind: str
    relays: tuple[PeerId, ...] = ()

    def __str__(self) -> str:
        if not self.relays:
            return self.kind
        return f"{self.kind} by {', '.join(map(str, self.relays))}"


@dataclass(frozen=True, slots=True)
class Switch:
    """Another path was taken: when, from which (None: there was none), to which (None: none is left), and why."""

    at: float
    before: PathKey | None
    after: PathKey | None
    reason: str

    def __str__(self) -> str:
        return f"{self.before or 'no path'} -> {self.after or 'no path'}: {self.reason}"


class PathChoice:
    """The path to one peer. ``switches`` are the last ones."""

    def __init__(self) -> None:
        self.current: PathKey | None = None
        self.switches: deque[Switch] = deque(maxlen=KEPT_SWITCHES)
        self._due: float | None = None

    def deadline(self) -> float | None:
        """When paths are to be compared again; None before there was one."""
        return self._due

    def evaluate(self, scores: Mapping[PathKey, float], now: float) -> Switch | None:
        """Compare the paths that live, by score; a path that is not among them is gone."""
        self._due = now + EVALUATION_S
        best = _best(scores)
        current = self.current
        if best == current:
            return None
        if current is None or current not in scores or best is None:
            return self._take(
                best, now, "the first path" if current is None else f"{current} is there no more"
            )
        held, offered = scores[current], scores[best]
        if offered < held + max(abs(held) * (BETTER_BY - 1), LEAST_GAIN):
            return None
        return self._take(best, now, f"score {offered:.3f} instead of {held:.3f}")

    def failed(self, path: PathKey, rest: Mapping[PathKey, float], reason: str, now: float) -> Switch | None:
        """A path ended or fell silent; ``rest`` are the ones that live. None when it was not the one in use."""
        if path != self.current:
            return None
        self._due = now + EVALUATION_S
        return self._take(_best({key: score for key, score in rest.items() if key != path}), now, reason)

    def _take(self, path: PathKey | None, now: float, reason: str) -> Switch:
        switch = Switch(now, self.current, path, reason)
        self.current = path
        self.switches.append(switch)
        return switch


def _best(scores: Mapping[PathKey, float]) -> PathKey | None:
    """The first of the highest; fewer relays where scores are equal."""
    return max(scores, key=lambda key: (scores[key], -len(key.relays)), default=None)
