"""Which relays a node holds reservations of, and which it asks next (circuit-v2; go's autorelay).

Candidates come in the order of their naming; those that failed wait out a backoff of their own. As many are asked at a
time as are missing. Times are seconds of any one clock; whoever owns this asks and reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from mesh.identity.peer_id import PeerId

REFRESH_AHEAD_S: Final = 120.0
FIRST_BACKOFF_S: Final = 2.0
LONGEST_BACKOFF_S: Final = 3600.0
REFUSED_BACKOFF_S: Final = 3600.0
"""After a refusal: the relay is full or will have none of us."""
MAX_CANDIDATES: Final = 20
"""Found ones; those the user named do not count."""


class Standing(Enum):
    """What a relay is to this node."""

    CANDIDATE = "candidate"
    ASKED = "asked"
    HELD = "held"
    RENEWED = "renewed"
    """Held, and asked again."""


@dataclass(slots=True)
class _Relay:
    named: bool
    standing: Standing = Standing.CANDIDATE
    failures: int = 0
    next_at: float = float("-inf")
    expires_at: float = 0.0


class Holdings:
    """``wanted`` reservations at a time."""

    __slots__ = ("_relays", "_wanted")

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._relays: dict[PeerId, _Relay] = {}

    def add(self, relay: PeerId, *, named: bool = False) -> bool:
        """A relay that may be asked; whether it was taken. ``named`` ones, of the user, come before those found."""
        known = self._relays.get(relay)
        if known is not None:
            known.named = known.named or named
            return True
        found = sum(not each.named for each in self._relays.values())
        if not named and found >= MAX_CANDIDATES:
            return False
        self._relays[relay] = _Relay(named)
        return True

    def want(self, wanted: int) -> list[PeerId]:
        """Another number of reservations; returns those that are let go for it, which are candidates again."""
        self._wanted = wanted
        let_go = self.held[wanted:]
        for relay in let_go:
            self._relays[relay].standing = Standing.CANDIDATE
            self._relays[relay].next_at = float("-inf")
        return let_go

    def hurry(self, now: float) -> None:
        """Every pause is over: this machine's network is another one."""
        for known in self._relays.values():
            if known.standing is Standing.CANDIDATE:
                known.failures = 0
                known.next_at = min(known.next_at, now)

    def forget(self, relay: PeerId) -> None:
        """A found candidate has gone; one that the user named stays, for another try."""
        known = self._relays.get(relay)
        if known is not None and not known.named:
            del self._relays[relay]

    @property
    def held(self) -> list[PeerId]:
        """Relays that hold a reservation for this node."""
        return [each for each, known in self._relays.items() if _holds(known)]

    def standing(self, relay: PeerId) -> Standing | None:
        """None for a relay that is not known."""
        known = self._relays.get(relay)
        return None if known is None else known.standing

    def take_due(self, now: float) -> list[PeerId]:
        """Whom to ask now: those held whose refresh is due, then as many candidates as are missing. Each is reported
        by `granted` or `failed`."""
        due: list[PeerId] = []
        for peer, known in self._relays.items():
            if known.standing is Standing.HELD and known.next_at <= now:
                known.standing = Standing.RENEWED
                due.append(peer)
        missing = self._missing()
        for peer in self._candidates(now)[: max(0, missing)]:
            self._relays[peer].standing = Standing.ASKED
            due.append(peer)
        return due

    def granted(self, relay: PeerId, expires_at: float, now: float) -> bool:
        """It holds a reservation for us now; whether that is still wanted."""
        known = self._relays.get(relay)
        if known is None:
            return False
        if self._missing() < 0:
            known.standing = Standing.CANDIDATE
            return False
        known.standing = Standing.HELD
        known.failures = 0
        known.expires_at = expires_at
        known.next_at = max(expires_at - REFRESH_AHEAD_S, (now + expires_at) / 2)
        return True

    def failed(self, relay: PeerId, now: float, *, refused: bool = False) -> None:
        """It could not be asked, or said no. What it granted before lasts until its time is over."""
        known = self._relays.get(relay)
        if known is None:
            return
        renewing = known.standing is Standing.RENEWED and now < known.expires_at
        pause = min(FIRST_BACKOFF_S * 2.0**known.failures, LONGEST_BACKOFF_S)
        known.failures = min(known.failures + 1, 30)
        if renewing and not refused:
            known.standing = Standing.HELD
            known.next_at = min(now + pause, known.expires_at)
        else:
            known.standing = Standing.CANDIDATE
            known.next_at = now + (REFUSED_BACKOFF_S if refused else pause)

    def lost(self, relay: PeerId, now: float) -> bool:
        """The connection to it is gone, which voids its reservation; whether there was one."""
        known = self._relays.get(relay)
        if known is None or not _holds(known):
            return False
        self.failed(relay, now)
        known.standing = Standing.CANDIDATE
        return True

    def expire(self, now: float) -> list[PeerId]:
        """Reservations whose time is over; they are candidates again."""
        over = [peer for peer, known in self._relays.items() if _holds(known) and known.expires_at <= now]
        for peer in over:
            self._relays[peer].standing = Standing.CANDIDATE
            self._relays[peer].next_at = now
        return over

    def deadline(self) -> float | None:
        """When `expire` and `take_due` have something to do next; None while only reports can change anything."""
        times = [
            min(known.next_at, known.expires_at) if known.standing is Standing.HELD else known.expires_at
            for known in self._relays.values()
            if _holds(known)
        ]
        if self._missing() > 0:
            times += [each.next_at for each in self._relays.values() if each.standing is Standing.CANDIDATE]
        return min(times, default=None)

    def _missing(self) -> int:
        busy = sum(known.standing is not Standing.CANDIDATE for known in self._relays.values())
        return self._wanted - busy

    def _candidates(self, now: float) -> list[PeerId]:
        ready = [
            (not known.named, place, peer)
            for place, (peer, known) in enumerate(self._relays.items())
            if known.standing is Standing.CANDIDATE and known.next_at <= now
        ]
        return [peer for _, _, peer in sorted(ready, key=lambda each: each[:2])]


def _holds(known: _Relay) -> bool:
    return known.standing in (Standing.HELD, Standing.RENEWED)
