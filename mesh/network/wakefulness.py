"""Keeping a loop awake for the answer of a peer on this machine: it often comes sooner than a sleeping processor wakes.

A loop that has just written to such a peer goes on polling for `AWAKE_S` instead of sleeping. Where that did not pay,
the time halves down to nothing; an answer that came within `AWAKE_S` restores it. One poll serves all connections of a
loop. It goes with its loop. Other peers are never waited for, nor is a peer served by this very loop: it answers only
when the loop has time for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from weakref import WeakKeyDictionary

from mesh.multiformats.multiaddr import Multiaddr

AWAKE_S = 200e-6
LEAST_S = 25e-6


class Wakefulness:
    """How long one loop stays awake after a write."""

    __slots__ = ("_here", "_limit_s", "_polling", "_wrote_at")

    def __init__(self) -> None:
        self._limit_s = AWAKE_S
        self._polling = False
        self._wrote_at = 0.0
        self._here: Counter[Multiaddr] = Counter()

    def began(self, local: Multiaddr) -> None:
        """A connection to this machine began, with this end at ``local``."""
        self._here[local] += 1

    def ended(self, local: Multiaddr) -> None:
        """That connection is gone."""
        self._here[local] -= 1
        if not self._here[local]:
            del self._here[local]

    def serves(self, remote: Multiaddr) -> bool:
        """Whether the other end of a connection is one of this loop's own."""
        return remote in self._here

    def wrote(self, now: float) -> None:
        """Something was sent to a near peer, which may answer at once."""
        self._wrote_at = now
        if not self._polling and self._limit_s:
            self._polling = True
            asyncio.get_running_loop().call_soon(self._poll)

    def heard(self, now: float) -> None:
        """A near peer sent something."""
        if now - self._wrote_at < AWAKE_S:
            self._limit_s = AWAKE_S

    def _poll(self) -> None:
        if time.monotonic() - self._wrote_at < self._limit_s:
            asyncio.get_running_loop().call_soon(self._poll)
            return
        self._polling = False
        half = self._limit_s / 2
        self._limit_s = half if half >= LEAST_S else 0.0


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Wakefulness] = WeakKeyDictionary()


def wakefulness() -> Wakefulness:
    """The running loop's."""
    loop = asyncio.get_running_loop()
    found = _of_loops.get(loop)
    if found is None:
        found = _of_loops[loop] = Wakefulness()
    return found
