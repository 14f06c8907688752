"""What a node tells of its direct links (Beam digest, section 4): a forwarder of all, others of its entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.gossip_message import MAX_BANDWIDTH, MAX_LATENCY_MS, MAX_LINKS, Link
from mesh.protocols.beam.path_quality import Quality

MAX_ENTRIES: Final = 16
"""Links by which a node that forwards nothing is reached."""


def reported_links(
    qualities: Mapping[PeerId, Quality], forward: bool, forwards: Callable[[PeerId], bool]
) -> list[Link]:
    """Of a forwarder all, up to `MAX_LINKS`; of others the best of those to peers of which it is known that each
    ``forwards``."""
    if forward:
        return [_link(peer, quality) for peer, quality in islice(qualities.items(), MAX_LINKS)]
    entries = sorted(
        ((quality.seed, peer) for peer, quality in qualities.items() if forwards(peer)), reverse=True
    )
    return [_link(peer, qualities[peer]) for _, peer in entries[:MAX_ENTRIES]]


def _link(peer: PeerId, quality: Quality) -> Link:
    return Link(
        peer,
        min(round(quality.latency_s * 1000, 3), MAX_LATENCY_MS),
        min(round(quality.bandwidth), MAX_BANDWIDTH),
        round(quality.reliability, 4),
        round(quality.congestion, 4),
    )
