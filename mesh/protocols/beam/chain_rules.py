"""How much a forwarder does for others' chains (Beam digest, section 5): how many at a time, of one peer, how often a
peer may ask, and how far one may go. Instants are seconds of any steady clock.

When all places are taken, whoever has fewer chains gets a place of whoever has most, whose newest chain ends; and a
chain that carries nothing for `IDLE_S` ends as well, since sessions ask every 2 s whether their paths live. So hoarders
keep nobody out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mesh.errors import UsageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.allowance import Allowance
from mesh.protocols.beam.route_table import check_route

OPENINGS_PER_S: Final = 1.0
OPENINGS_BURST: Final = 30.0
"""Requests of one peer, whatever becomes of them."""
MAX_ASKING: Final = 1024
IDLE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ChainLimits:
    """Chains at a time in all and of one peer; seconds and bytes each way of one chain, 0 for no limit."""

    most: int = 64
    most_of_peer: int = 8
    duration_s: float = 3600.0
    data_bytes: int = 1024 * 1024 * 1024


class Chain:
    """A place taken for a chain that came from ``before``."""

    __slots__ = ("before", "used_at")

    def __init__(self, before: PeerId, now: float) -> None:
        self.before = before
        self.used_at = now


def leads_back(own: PeerId, before: PeerId, hops: Sequence[PeerId]) -> bool:
    """Whether a chain from ``before`` by ``own`` on to ``hops`` is none, or comes back to where it was."""
    try:
        check_route(own, hops)
    except UsageError:
        return True
    return before in hops


class ForwardedChains:
    """The chains that lead through a node, by the peer that they come from. ``bytes`` passed in all; ``refused`` by these
    rules; ``cut`` ended by a limit of time or bytes; ``displaced`` for who had fewer; ``idle`` carried nothing."""

    __slots__ = ("_asking", "_chains", "_taken", "bytes", "cut", "displaced", "idle", "limits", "refused")

    def __init__(self, limits: ChainLimits) -> None:
        self.limits = limits
        self.bytes = self.refused = self.cut = self.displaced = self.idle = 0
        self._chains: dict[PeerId, list[Chain]] = {}
        self._taken = 0
        self._asking: dict[PeerId, Allowance] = {}

    def __len__(self) -> int:
        return self._taken

    def __contains__(self, chain: Chain) -> bool:
        """Whether it has its place still."""
        return chain in self._chains.get(chain.before, ())

    def of(self, peer: PeerId) -> int:
        """Chains that come from a peer now."""
        return len(self._chains.get(peer, ()))

    def asked(self, peer: PeerId, now: float) -> bool:
        """A peer asks for one more; whether there is room for it, if need be instead of another's."""
        allowance = self._asking.pop(peer, None) or Allowance(OPENINGS_PER_S, OPENINGS_BURST)
        self._asking[peer] = allowance
        if len(self._asking) > MAX_ASKING:
            del self._asking[next(iter(self._asking))]
        in_time = allowance.take(now)
        limits, held = self.limits, self.of(peer)
        room = self._taken < limits.most or len(self._longest()) >= held + 2
        if in_time and held < limits.most_of_peer and room:
            return True
        self.refused += 1
        return False

    def began(self, peer: PeerId, now: float) -> tuple[Chain, Chain | None]:
        """A chain that comes from this peer is being made: its place, and the one that has to end for it."""
        ending = None
        if self._taken >= self.limits.most:
            ending = self._longest()[-1]
            self.ended(ending)
            self.displaced += 1
        chain = Chain(peer, now)
        self._chains.setdefault(peer, []).append(chain)
        self._taken += 1
        return chain, ending

    def ended(self, chain: Chain) -> None:
        """It is no more; safe to call twice."""
        of_peer = self._chains.get(chain.before, [])
        if chain in of_peer:
            of_peer.remove(chain)
            self._taken -= 1
            if not of_peer:
                del self._chains[chain.before]

    def passed(self, chain: Chain, size: int, now: float) -> None:
        """So many bytes went through one of them."""
        self.bytes += size
        chain.used_at = now

    def expire(self, now: float) -> list[Chain]:
        """Those that carried nothing for too long; they are no more."""
        found = [each for held in self._chains.values() for each in held if now - each.used_at >= IDLE_S]
        for each in found:
            self.ended(each)
        self.idle += len(found)
        return found

    def _longest(self) -> list[Chain]:
        """Those of whoever has most."""
        return max(self._chains.values(), key=len, default=[])
