"""One request over UDP: sent again, each time later, until it is answered or given up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

PCP_FIRST_S: Final = 3.0
PCP_LONGEST_S: Final = 1024.0
PCP_SPREAD: Final = 0.1
NAT_PMP_FIRST_S: Final = 0.25
NAT_PMP_SENT: Final = 9


def pcp_waits(entropy: float) -> Iterator[float]:
    """Seconds between sendings, without end (RFC 6887 section 8.1.1); ``entropy`` is from 0 up to 1."""
    spread = 1 + PCP_SPREAD * (2 * entropy - 1)
    wait_s = spread * PCP_FIRST_S
    while True:
        yield wait_s
        wait_s = spread * min(2 * wait_s, PCP_LONGEST_S)


def nat_pmp_waits() -> Iterator[float]:
    """Seconds between sendings; after the last one the router is silent (RFC 6886 section 3.1)."""
    for number in range(NAT_PMP_SENT):
        yield NAT_PMP_FIRST_S * 2**number


class Exchange:
    """`output` gives the request whenever it is due; `over` once ``patience_s`` or the waits are at their end."""

    __slots__ = ("_due_at", "_ends_at", "_waits", "over", "request")

    def __init__(self, request: bytes, waits: Iterator[float], now: float, patience_s: float) -> None:
        self.request = request
        self._waits = waits
        self._due_at = now
        self._ends_at = now + patience_s
        self.over = False

    def output(self, now: float) -> bytes | None:
        """The request, if it is time to send it."""
        if now >= self._ends_at:
            self.over = True
        if self.over or now < self._due_at:
            return None
        wait_s = next(self._waits, None)
        if wait_s is None:
            self.over = True
            return None
        self._due_at = now + wait_s
        return self.request

    def deadline(self) -> float:
        """When to call `output` next."""
        return min(self._due_at, self._ends_at)
