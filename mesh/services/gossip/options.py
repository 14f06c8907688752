"""From the configuration's section to the settings of the router."""

from __future__ import annotations

import hashlib
from typing import Final

from mesh.codecs.gossip import Message
from mesh.config.sections import GossipSection
from mesh.errors import ConfigError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.gossip import (
    PROTOCOLS,
    GossipSettings,
    Limits,
    MeshSettings,
    RouterSettings,
    ScoreSettings,
    Thresholds,
    TopicScoreSettings,
)

SCORES: Final = ScoreSettings(behaviour_weight=-10.0, behaviour_threshold=6.0, behaviour_decay=0.9)
"""What `gossip.scores` counts in all topics: broken promises and floods (P7). Nothing that quiet, slow or neighbouring
peers might be blamed for (P3, P6): that needs numbers from who knows the network, see `Pubsub.set_scores`."""

TOPIC_SCORES: Final = TopicScoreSettings(
    first_deliveries_weight=0.5,
    first_deliveries_decay=0.9,
    first_deliveries_cap=40.0,
    invalid_weight=-100.0,
    invalid_decay=0.9,
)
"""And in each topic that is joined: who brings messages first gains a little (P2), who brings forged or rejected ones
loses much for some seconds (P4)."""

SCORE_THRESHOLDS: Final = Thresholds(
    gossip=-10.0, publish=-50.0, graylist=-75.0, accept_exchange=5.0, opportunistic_graft=1.0
)


def router_settings(section: GossipSection, thresholds: Thresholds) -> RouterSettings:
    """Raises `ConfigError` for numbers that do not go together."""
    d, low, high, out = section.d, section.d_low, section.d_high, section.d_out
    if not low <= d <= high:
        raise ConfigError(f"gossip: d_low {low}, d {d} and d_high {high} are not in order")
    if out and not (out < low and out <= d // 2):
        raise ConfigError(f"gossip: d_out {out} must be below d_low {low} and at most half of d {d}")
    if section.history_gossip > section.history:
        raise ConfigError(
            f"gossip: history_gossip {section.history_gossip} is more than history {section.history}"
        )
    return RouterSettings(
        mesh=MeshSettings(
            d=d,
            d_low=low,
            d_high=high,
            d_score=min(MeshSettings().d_score, d),
            d_out=out,
            heartbeat_s=section.heartbeat_s,
            peer_exchange=section.peer_exchange,
            flood_publish=section.flood_publish,
        ),
        gossip=GossipSettings(d_lazy=section.d_lazy, history=section.history, gossip=section.history_gossip),
        limits=Limits(
            rpc_bytes=section.max_rpc_bytes,
            own_rpc_bytes=min(Limits().own_rpc_bytes, section.max_rpc_bytes),
        ),
        thresholds=thresholds,
    )


def protocols_of(section: GossipSection) -> tuple[str, ...]:
    """The protocols to speak, best first whatever their order in the file."""
    return tuple(each for each in PROTOCOLS if each in section.protocols)


def direct_peers(section: GossipSection) -> dict[PeerId, list[Multiaddr]]:
    """Peers that are always sent everything, with their addresses. Raises `ConfigError`."""
    direct: dict[PeerId, list[Multiaddr]] = {}
    for text in section.direct:
        address = Multiaddr.parse(text)
        peer = address.peer_id_bytes()
        if peer is None:
            raise ConfigError(f"gossip.direct: {text} does not end in a peer id")
        known = direct.setdefault(PeerId.from_bytes(peer), [])
        bare = address.without_peer()
        if bare:
            known.append(bare)
    return direct


def standard_id(message: Message) -> bytes:
    """Author and sequence number, as everywhere; of a message with neither, the SHA-256 of its data."""
    return (message.sender or b"") + (message.seqno or b"") or hashlib.sha256(message.data or b"").digest()
