"""Which peers are best: points in four dimensions, nearest to the origin first (section 12.7).

Ties are broken by id, so that the order never depends on chance.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import dist
from typing import Final

from mesh.protocols.lethean.kd_tree import KdTree, Point
from mesh.protocols.lethean.peer import Peer

PING_WEIGHT: Final = 1.0
HOPS_WEIGHT: Final = 0.7
GEO_WEIGHT: Final = 0.2
SCORE_WEIGHT: Final = 1.2
ORIGIN: Final[Point] = (0.0, 0.0, 0.0, 0.0)


def point(peer: Peer) -> Point:
    """Where a peer lies: ping in ms, hops, distance in km, and what its score lacks of 100, each by its weight."""
    return (
        peer.ping_ms * PING_WEIGHT,
        peer.hops * HOPS_WEIGHT,
        peer.geo_km * GEO_WEIGHT,
        (100 - peer.score) * SCORE_WEIGHT,
    )


def distance(peer: Peer, query: Point = ORIGIN) -> float:
    """The Euclidean distance of a peer from a point."""
    return dist(point(peer), query)


def rank(peers: Iterable[Peer]) -> list[Peer]:
    """All peers, the best first."""
    return sorted(peers, key=lambda peer: (distance(peer), peer.id))


def rank_by_score(peers: Iterable[Peer]) -> list[Peer]:
    """All peers by descending score."""
    return sorted(peers, key=lambda peer: (-peer.score, peer.id))


def tree(peers: Iterable[Peer]) -> KdTree:
    """A tree of the peers' points, for queries from other points than the origin."""
    return KdTree([(point(peer), peer.id) for peer in peers])
