"""How much a forwarder does for others' chains (Beam digest, section 5): how many at a time, of one peer, how often a
peer may ask, and how far one may go. Instants are seconds of any steady clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from mesh.identity.peer_id import PeerId
from mesh.protocols.allowance import Allowance

OPENINGS_PER_S: Final = 1.0
OPENINGS_BURST: Final = 30.0
"""Requests of one peer, whatever becomes of them."""
MAX_ASKING: Final = 1024


@dataclass(frozen=True, slots=True)
class ChainLimits:
    """Chains at a time in all and of one peer; seconds and bytes each way of one chain, 0 for no limit."""

    most: int = 64
    most_of_peer: int = 8
    duration_s: float = 3600.0
    data_bytes: int = 1024 * 1024 * 1024


class ForwardedChains:
    """The chains that lead through a node, by the peer that they come from. ``bytes`` passed in all; ``refused`` by these
    rules; ``cut`` ended by a limit of time or bytes."""

    __slots__ = ("_asking", "_open", "bytes", "cut", "limits", "refused")

    def __init__(self, limits: ChainLimits) -> None:
        self.limits = limits
        self.bytes = self.refused = self.cut = 0
        self._open: Counter[PeerId] = Counter()
        self._asking: dict[PeerId, Allowance] = {}

    def __len__(self) -> int:
        return self._open.total()

    def of(self, peer: PeerId) -> int:
        """Chains that come from a peer now."""
        return self._open[peer]

    def asked(self, peer: PeerId, now: float) -> bool:
        """A peer asks for one more; whether there is room for it."""
        allowance = self._asking.pop(peer, None) or Allowance(OPENINGS_PER_S, OPENINGS_BURST)
        self._asking[peer] = allowance
        if len(self._asking) > MAX_ASKING:
            del self._asking[next(iter(self._asking))]
        in_time = allowance.take(now)
        limits = self.limits
        if in_time and len(self) < limits.most and self._open[peer] < limits.most_of_peer:
            return True
        self.refused += 1
        return False

    def began(self, peer: PeerId) -> None:
        """A chain that comes from this peer is being made."""
        self._open[peer] += 1

    def ended(self, peer: PeerId) -> None:
        """It is no more."""
        self._open[peer] -= 1
        if not self._open[peer]:
            del self._open[peer]

    def passed(self, size: int) -> None:
        """So many bytes went through one of them."""
        self.bytes += size
