"""Alerts of this node and of others, and what they have in common (Beam digest, section 8).

Kept for 24 hours. Within five minutes, what several say belongs together: five alerts of one type, three about one peer,
or three types at a time (a cascade). What one origin says again counts once, so that nobody agrees with itself; for the
same reason a peer is called down only by three origins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.reports import PEER_DOWN, AlertReport

KEPT_S: Final = 24 * 3600.0
WINDOW_S: Final = 300.0
OF_ONE_TYPE: Final = 5
OF_ONE_PEER: Final = 3
TYPES_OF_CASCADE: Final = 3
AGREED: Final = 3
MAX_ALERTS: Final = 4096
MAX_ORIGINS: Final = 1024
MAX_OF_ORIGIN: Final = 64
"""In a window: what one peer says more counts nothing."""


@dataclass(frozen=True, slots=True)
class Logged:
    """An alert, who says it, and when it came."""

    report: AlertReport
    origin: PeerId
    at_s: float


@dataclass(frozen=True, slots=True)
class Correlation:
    """Alerts that belong together: ``kind`` is type, peer or cascade; ``subject`` the type, the peer or nothing."""

    kind: str
    subject: str
    count: int

    def document(self) -> dict[str, Any]:
        return {"kind": self.kind, "subject": self.subject, "count": self.count}


class AlertLog:
    """The latest 4,096. Instants are seconds of any steady clock."""

    __slots__ = ("_logged", "_said")

    def __init__(self) -> None:
        self._logged: deque[Logged] = deque(maxlen=MAX_ALERTS)
        self._said: dict[PeerId, dict[tuple[str, PeerId], float]] = {}

    def add(self, report: AlertReport, origin: PeerId, now: float) -> bool:
        """Somebody says something; whether it counts: not twice within a window, and not too much of one origin."""
        said = {key: at for key, at in self._said.pop(origin, {}).items() if now - at < WINDOW_S}
        self._said[origin] = said
        if len(self._said) > MAX_ORIGINS:
            del self._said[next(iter(self._said))]
        key = report.type, report.peer
        if key in said or len(said) >= MAX_OF_ORIGIN:
            return False
        said[key] = now
        self._logged.append(Logged(report, origin, now))
        return True

    def kept(self, now: float) -> list[Logged]:
        """Those of the last 24 hours, the latest first."""
        return [each for each in reversed(self._logged) if now - each.at_s < KEPT_S]

    def down(self, now: float) -> set[PeerId]:
        """Peers that enough others call down."""
        sayers: dict[PeerId, set[PeerId]] = {}
        for each in self._recent(now):
            if each.report.type == PEER_DOWN and each.origin != each.report.peer:
                sayers.setdefault(each.report.peer, set()).add(each.origin)
        return {peer for peer, said in sayers.items() if len(said) >= AGREED}

    def correlations(self, now: float) -> list[Correlation]:
        """What the alerts of the last five minutes have in common."""
        recent = self._recent(now)
        types = _counts(each.report.type for each in recent)
        peers = _counts(str(each.report.peer) for each in recent)
        found = [Correlation("type", name, count) for name, count in types.items() if count >= OF_ONE_TYPE]
        found += [Correlation("peer", name, count) for name, count in peers.items() if count >= OF_ONE_PEER]
        if len(types) >= TYPES_OF_CASCADE:
            found.append(Correlation("cascade", "", len(recent)))
        return found

    def _recent(self, now: float) -> list[Logged]:
        return [each for each in self._logged if now - each.at_s < WINDOW_S]


def _counts(names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in names:
        found[each] = found.get(each, 0) + 1
    return dict(sorted(found.items()))
