"""How far a peer is trusted, by Beam's formula (Beam digest, section 8): 0.4 direct + 0.4 indirect + 0.2 reputation.

- direct: what this node itself saw of the peer; 0.5 where it saw nothing
- indirect: the mean over all ways of at most 3 hops from this node to the peer, each as good as the product of its
  levels; 0.5 where there is none. A way begins with somebody whom this node knows itself, so strangers that praise each
  other lead nowhere
- reputation: the mean of what everybody says of the peer; 0.5 where nobody does

Trust decides who is let through and nothing else: who somebody is never depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.reports import Endorsement

DIRECT_SHARE, INDIRECT_SHARE, REPUTATION_SHARE = 0.4, 0.4, 0.2
UNKNOWN: Final = 0.5
MAX_TRUSTERS: Final = 1024
STALE_S: Final = 3600.0
"""What was not said again for so long counts no more."""


class TrustBook:
    """What others say of each other; the truster heard of least lately is forgotten. Instants are of any steady clock."""

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: dict[PeerId, tuple[int, float, dict[PeerId, float]]] = {}

    def __len__(self) -> int:
        return len(self._said)

    def endorse(self, truster: PeerId, ts_ms: int, given: Iterable[Endorsement], now: float) -> bool:
        """All that ``truster`` says now; whether it is newer than what was held."""
        held = self._said.get(truster)
        if held is not None and held[0] >= ts_ms:
            return False
        self._said.pop(truster, None)
        self._said[truster] = ts_ms, now, {each.peer: each.level for each in given}
        if len(self._said) > MAX_TRUSTERS:
            del self._said[next(iter(self._said))]
        return True

    def expire(self, now: float) -> None:
        """Forget what was not said again."""
        self._said = {who: each for who, each in self._said.items() if now - each[1] < STALE_S}

    def indirect(self, peer: PeerId, own: Mapping[PeerId, float]) -> float:
        """By ways that begin with the levels of this node itself."""
        ways = []
        for first, level in own.items():
            if first == peer:
                continue
            for second, said in self._levels(first).items():
                if second == peer:
                    ways.append(level * said)
                elif second not in own and (last := self._levels(second).get(peer)) is not None:
                    ways.append(level * said * last)
        return sum(ways) / len(ways) if ways else UNKNOWN

    def reputation(self, peer: PeerId) -> float:
        """What everybody says of a peer, on average."""
        said = [levels[peer] for _, _, levels in self._said.values() if peer in levels]
        return sum(said) / len(said) if said else UNKNOWN

    def trust(self, peer: PeerId, own: Mapping[PeerId, float]) -> float:
        """From 0 to 1; ``own`` are the levels of whom this node knows itself."""
        return (
            DIRECT_SHARE * own.get(peer, UNKNOWN)
            + INDIRECT_SHARE * self.indirect(peer, own)
            + REPUTATION_SHARE * self.reputation(peer)
        )

    def _levels(self, truster: PeerId) -> Mapping[PeerId, float]:
        held = self._said.get(truster)
        return {} if held is None else held[2]
