"""Peers that were lost and may be dialled again: at once, then after pauses that double, each a little longer or shorter
so that many nodes do not dial in step (Beam digest, section 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mesh.identity.peer_id import PeerId

MAX_LOST: Final = 256
LASTING_S: Final = 30.0
"""A connection that ended sooner counts as a failure: somebody may not want it."""


@dataclass(slots=True)
class LostPeer:
    """``failures`` counts those in a row."""

    failures: int
    next_at: float
    dialling: bool = False


class LostPeers:
    """At most 256, the one lost first is forgotten first. ``chance`` gives numbers from 0 to 1."""

    __slots__ = ("_chance", "_first_s", "_longest_s", "peers")

    def __init__(self, first_s: float, longest_s: float, chance: Callable[[], float]) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._chance = chance
        self.peers: dict[PeerId, LostPeer] = {}

    def lose(self, peer: PeerId, failures: int, lasted_s: float, now: float) -> None:
        """Its last connection is gone; ``failures`` is what `find` gave when it came."""
        lost = self.peers[peer] = LostPeer(failures if lasted_s < LASTING_S else 0, now)
        if lasted_s < LASTING_S:
            self._pause(lost, now)
        if len(self.peers) > MAX_LOST:
            del self.peers[next(iter(self.peers))]

    def fail(self, peer: PeerId, now: float, wait_s: float = 0.0) -> None:
        """It could not be dialled; ``wait_s``: it is barred for so long."""
        lost = self.peers.get(peer)
        if lost is not None:
            lost.dialling = False
            self._pause(lost, now)
            lost.next_at = max(lost.next_at, now + wait_s)

    def find(self, peer: PeerId) -> int:
        """It is connected, or not to be dialled any more; how often it failed."""
        lost = self.peers.pop(peer, None)
        return 0 if lost is None else lost.failures

    def hurry(self, now: float) -> None:
        """Every pause is over: this machine's network is another one."""
        for lost in self.peers.values():
            lost.failures = 0
            lost.next_at = min(lost.next_at, now)

    def take_due(self, now: float, limit: int) -> list[PeerId]:
        """Whom to dial now, at most ``limit``."""
        due = [peer for peer, lost in self.peers.items() if not lost.dialling and lost.next_at <= now][:limit]
        for peer in due:
            self.peers[peer].dialling = True
        return due

    def deadline(self) -> float | None:
        """When the next pause is over."""
        return min((lost.next_at for lost in self.peers.values() if not lost.dialling), default=None)

    def _pause(self, lost: LostPeer, now: float) -> None:
        pause = min(self._first_s * 2.0**lost.failures, self._longest_s)
        lost.next_at = now + pause * (0.75 + 0.5 * self._chance())
        lost.failures = min(lost.failures + 1, 30)
