"""Which ports are wanted, which are held until when, and what to ask the router next.

A lease is renewed at a random time between half and five eighths of what is left of it, and again in what is left then
(RFC 6887 section 11.2.1; RFC 6886 section 3.3 has half). What was refused is asked again later, twice as long each time;
silence does not end a lease, its time does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from mesh.protocols.port_mapping.mapping import (
    LONGEST_LEASE_S,
    Errand,
    Granted,
    Outcome,
    Port,
    Refused,
)

MAX_PORTS: Final = 64
RENEW_SPACING_S: Final = 4.0
"""No mapping is renewed more often (RFC 6887 section 11.2.1)."""
FIRST_RETRY_S: Final = 30.0
LONGEST_RETRY_S: Final = 1800.0


@dataclass(slots=True)
class Lease:
    """One port: what the router said last, and when it is asked next (infinity for never). ``granted`` stays until
    ``ends_at`` whatever is said later."""

    port: Port
    ask_at: float
    granted: Granted | None = None
    ends_at: float = 0.0
    refused: Refused | None = None
    retry_s: float = FIRST_RETRY_S
    asked: bool = False
    """The router may hold it although it has not said so."""
    leaving: bool = False
    """Not wanted any more, and not yet given back."""


class Leases:
    """The table. ``lease_s`` is asked for; ``entropy`` gives numbers from 0 up to 1."""

    __slots__ = ("_entropy", "_lease_s", "_rows")

    def __init__(self, lease_s: float, entropy: Callable[[], float]) -> None:
        self._lease_s = lease_s
        self._entropy = entropy
        self._rows: dict[Port, Lease] = {}

    # -- wishes ------------------------------------------------------------------------------------------------------

    def want(self, ports: Iterable[Port], now: float) -> None:
        """These and no others; of too many the first."""
        wanted = list(dict.fromkeys(ports))[:MAX_PORTS]
        for port in wanted:
            row = self._rows.get(port)
            if row is None:
                self._rows[port] = Lease(port, now)
            elif row.leaving:
                row.leaving, row.ask_at = False, now
        for row in list(self._rows.values()):
            if row.port in wanted:
                continue
            if row.granted is None and not row.asked:
                del self._rows[row.port]
            elif not row.leaving:
                row.leaving, row.ask_at = True, now

    def ask_again(self, now: float, within_s: float = 0.0) -> None:
        """The router has lost what it knew: everything is asked for anew, at a random time within so many seconds."""
        at = now + self._entropy() * within_s
        for row in self._rows.values():
            if not row.leaving:
                row.ask_at = min(row.ask_at, at)

    # -- asking ------------------------------------------------------------------------------------------------------

    def due(self, now: float) -> Errand | None:
        """What to ask now, the longest due first; it stays due until `note`."""
        row = min(self._rows.values(), key=lambda each: (each.ask_at, each.port), default=None)
        if row is None or row.ask_at > now:
            return None
        row.asked = True
        liked = row.granted.external_port if row.granted is not None else row.port.number
        if row.leaving:
            return Errand(row.port, liked, 0)
        return Errand(row.port, liked, math.ceil(self._lease_s))

    def note(self, errand: Errand, outcome: Outcome, now: float) -> bool:
        """What came of it; whether the set of outside addresses is another now."""
        row = self._rows.get(errand.port)
        if row is None:
            return False
        if errand.lease_s == 0:
            return self._given_back(row, outcome, now)
        before = row.granted
        if isinstance(outcome, Granted):
            self._hold(row, outcome, now)
            return before is None or (before.host, before.external_port) != (
                outcome.host,
                outcome.external_port,
            )
        if isinstance(outcome, Refused):
            row.granted, row.refused, row.asked = None, outcome, False
            row.ask_at = now + max(row.retry_s, min(outcome.again_s, LONGEST_RETRY_S))
        else:
            row.ask_at = now + min(row.retry_s, self._renewal_s(row.ends_at - now) if before else math.inf)
        row.retry_s = min(row.retry_s * 2, LONGEST_RETRY_S)
        if row.leaving:
            row.ask_at = now
            if not row.asked:
                del self._rows[row.port]
        return row.granted is not before

    def expire(self, now: float) -> bool:
        """Let go of what has run out; whether anything did."""
        ended = [row for row in self._rows.values() if row.granted is not None and row.ends_at <= now]
        for row in ended:
            row.granted, row.asked = None, False
            if row.leaving:
                del self._rows[row.port]
        return bool(ended)

    def deadline(self) -> float | None:
        """When something is due or runs out, None for never."""
        times = [row.ask_at for row in self._rows.values()]
        times += [row.ends_at for row in self._rows.values() if row.granted is not None]
        soonest = min(times, default=math.inf)
        return None if soonest == math.inf else soonest

    # -- what is known -----------------------------------------------------------------------------------------------

    @property
    def rows(self) -> list[Lease]:
        """All, in the order they were wanted."""
        return list(self._rows.values())

    @property
    def empty(self) -> bool:
        """Whether nothing is wanted, held or being given back."""
        return not self._rows

    def move(self, host: str) -> bool:
        """The router's outside address is another; whether that changes anything."""
        moved = False
        for row in self._rows.values():
            if row.granted is not None and row.granted.host != host:
                row.granted = Granted(host, row.granted.external_port, row.granted.lease_s)
                moved = True
        return moved

    # -- within ------------------------------------------------------------------------------------------------------

    def _hold(self, row: Lease, granted: Granted, now: float) -> None:
        lasts_s = min(granted.lease_s, LONGEST_LEASE_S) if granted.lease_s != math.inf else math.inf
        row.granted, row.refused, row.retry_s = granted, None, FIRST_RETRY_S
        row.ends_at = now + lasts_s
        if row.leaving:
            row.ask_at = now
            return
        row.ask_at = now + self._renewal_s(min(lasts_s, self._lease_s))

    def _renewal_s(self, left_s: float) -> float:
        return max(left_s / 2 * (1 + self._entropy() / 4), min(RENEW_SPACING_S, left_s))

    def _given_back(self, row: Lease, outcome: Outcome, now: float) -> bool:
        """A router that does not answer or refuses will let it run out."""
        if not row.leaving:
            row.granted, row.asked, row.ask_at = None, False, now
            return True
        del self._rows[row.port]
        return True
