"""How long to wait for an answer: smoothed round trips per peer, and of all peers for those not met yet.

Smoothing is TCP's (RFC 6298): mean and mean deviation with weights 1/8 and 1/4. The timeout is four times the mean, or
the mean plus four deviations where that is more, within bounds. A first request includes dialling, so what strangers
need is learnt from first requests too.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic

from mesh.protocols.kademlia.key import PeerT
from mesh.protocols.kademlia.settings import RoundTripSettings

_PATIENCE = 4


class RoundTrips(Generic[PeerT]):
    """Round trip estimates of one node, shared by its lookups. Times in seconds. At most `settings.max_peers`."""

    __slots__ = ("_of_all", "_of_peer", "_settings")

    def __init__(self, settings: RoundTripSettings | None = None) -> None:
        self._settings = settings or RoundTripSettings()
        self._of_peer: dict[Hashable, tuple[float, float]] = {}
        self._of_all: tuple[float, float] | None = None

    def observed(self, peer: PeerT, rtt_s: float) -> None:
        """A peer answered after `rtt_s` (late answers too, else the estimate never grows)."""
        of_peer = self._of_peer
        of_peer[peer] = _smoothed(of_peer.pop(peer, None), rtt_s)
        if len(of_peer) > self._settings.max_peers:
            del of_peer[next(iter(of_peer))]
        self._of_all = _smoothed(self._of_all, rtt_s)

    def forget(self, peer: PeerT) -> None:
        """Drop what is known of a peer, for instance when its address changed."""
        self._of_peer.pop(peer, None)

    def rtt_s(self, peer: PeerT) -> float | None:
        """The smoothed round trip of a peer, None before its first answer."""
        found = self._of_peer.get(peer)
        return None if found is None else found[0]

    @property
    def network_rtt_s(self) -> float | None:
        """The smoothed round trip over all peers, None before the first answer."""
        return None if self._of_all is None else self._of_all[0]

    @property
    def least_timeout_s(self) -> float:
        """No timeout is shorter."""
        return self._settings.min_timeout_s

    def timeout_s(self, peer: PeerT) -> float:
        """How long a request to a peer may take before another is asked instead."""
        settings = self._settings
        found = self._of_peer.get(peer) or self._of_all
        if found is None:
            wanted = settings.initial_s
        else:
            mean, deviation = found
            wanted = max(_PATIENCE * mean, mean + _PATIENCE * deviation)
        return min(max(wanted, settings.min_timeout_s), settings.max_timeout_s)


def _smoothed(known: tuple[float, float] | None, sample: float) -> tuple[float, float]:
    """Mean and mean deviation with one sample more; the first sample's deviation is taken as half of it."""
    sample = max(sample, 0.0)
    if known is None:
        return sample, sample / 2
    mean, deviation = known
    return mean + (sample - mean) / 8, deviation + (abs(sample - mean) - deviation) / 4
