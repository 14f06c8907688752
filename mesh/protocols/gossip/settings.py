"""Parameters of GossipSub; defaults are go's (libp2p digest, section 15). Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """Who is kept as a mesh neighbour in a topic, and what the heartbeat does about it."""

    d: int = 6
    d_low: int = 5
    """With fewer neighbours the heartbeat grafts up to `d`; the specification says 4."""
    d_high: int = 12
    """With so many the heartbeat prunes down to `d` (as go; the specification with more), and a GRAFT from a peer
    that dialled us is refused."""
    d_score: int = 4
    """Of those kept then, how many by score; the others at random."""
    d_out: int = 2
    """Neighbours that this node dialled, at least."""
    heartbeat_s: float = 1.0
    first_heartbeat_s: float = 0.1
    prune_backoff_s: float = 60.0
    unsubscribe_backoff_s: float = 10.0
    graft_flood_s: float = 10.0
    """A GRAFT this soon after the PRUNE counts twice."""
    max_backoff_s: float = 3600.0
    """Whatever a peer asks for, it is not kept away longer."""
    backoff_slack_beats: int = 2
    """Beats after a backoff's end until this node grafts again: clocks and latencies differ."""
    max_backoffs: int = 65536
    """Backoffs remembered in all topics; the oldest of a topic go first."""
    opportunistic_ticks: int = 60
    opportunistic_peers: int = 2
    direct_ticks: int = 300
    """How often direct peers that are not connected are called."""
    peer_exchange: bool = False
    exchanged_peers: int = 16
    fanout_ttl_s: float = 60.0
    flood_publish: bool = False
    """Own messages go to every peer of the topic with a score above the publish threshold, not to the mesh alone."""


@dataclass(frozen=True, slots=True)
class GossipSettings:
    """What is told of messages to those outside the mesh, and what is asked for."""

    d_lazy: int = 6
    factor: float = 0.25
    """Of the peers outside the mesh at least this share is told, or `d_lazy`."""
    history: int = 5
    """Heartbeats for which a message can be asked for."""
    gossip: int = 3
    """Of those, the latest that are told of."""
    max_ihave_length: int = 5000
    """Ids asked for of one peer between two heartbeats, told of at once, and looked at in one RPC."""
    max_ihave_messages: int = 10
    """Announcements looked at of one peer between two heartbeats."""
    retransmissions: int = 3
    """How often one peer is given a message by its id."""
    iwant_followup_s: float = 3.0
    """A message asked for and not come by then is a broken promise."""
    max_promises: int = 8192
    idontwant_bytes: int = 1024
    """For messages of this size and more the mesh is told not to send them again (1.2); 0 for never."""
    idontwant_ticks: int = 3
    max_idontwant_length: int = 10
    max_idontwant_messages: int = 1000
    """Ids heeded of one RPC, and RPCs between two heartbeats."""
    max_declined_bytes: int = 512 * 1024
    """Of ids that one peer does not want, together; further ones are ignored."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What peers may cost."""

    rpc_bytes: int = 2**20
    control_bytes: int = 512 * 1024
    """Of an RPC, everything but messages."""
    own_rpc_bytes: int = 64 * 1024
    """RPCs put together here are not longer, unless one message is: rust refuses longer ones."""
    topics_per_peer: int = 4096
    """Subscriptions remembered of one peer; further ones are ignored."""
    topics: int = 65536
    topic_bytes: int = 16 * 2**20
    """Topics remembered in all that others subscribe to, and the bytes of their names."""
    pending: int = 8192
    """Messages being verified at once; further ones are dropped, and may come again."""
    queue_bytes: int = 4 * 2**20
    queue_messages: int = 8192
    """Waiting for one peer; beyond that gossip is dropped first, then messages passed on; own ones wait."""
    seen_ttl_s: float = 120.0
    seen_ids: int = 1_000_000
    cache_bytes: int = 64 * 2**20
    """Messages kept for those who ask; the oldest go first."""


@dataclass(frozen=True, slots=True)
class TopicScoreSettings:
    """P1 to P4 in one topic (gossipsub v1.1, "Peer scoring"); a weight of 0 turns a part off."""

    weight: float = 1.0
    time_in_mesh_weight: float = 0.0
    time_in_mesh_quantum_s: float = 1.0
    time_in_mesh_cap: float = 3600.0
    first_deliveries_weight: float = 0.0
    first_deliveries_decay: float = 0.5
    first_deliveries_cap: float = 2000.0
    mesh_deliveries_weight: float = 0.0
    """Not above 0, as the next two."""
    mesh_deliveries_decay: float = 0.5
    mesh_deliveries_cap: float = 100.0
    mesh_deliveries_threshold: float = 20.0
    mesh_deliveries_window_s: float = 0.01
    mesh_deliveries_activation_s: float = 60.0
    mesh_failure_weight: float = 0.0
    mesh_failure_decay: float = 0.5
    invalid_weight: float = 0.0
    invalid_decay: float = 0.3


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """What a peer's score is made of over all topics (P5 to P7), and how it fades."""

    topics: dict[str, TopicScoreSettings] = field(default_factory=dict)
    """Topics without settings count for nothing."""
    topic_cap: float = 0.0
    """The most that topics may add in all; 0 for no limit."""
    application_weight: float = 1.0
    ip_colocation_weight: float = 0.0
    ip_colocation_threshold: int = 10
    ip_colocation_whitelist: tuple[str, ...] = ()
    """Networks in CIDR form whose peers are not counted together."""
    behaviour_weight: float = 0.0
    behaviour_threshold: float = 0.0
    behaviour_decay: float = 0.9
    decay_interval_s: float = 1.0
    decay_to_zero: float = 0.01
    retain_s: float = 3600.0
    """A score that is not above 0 is kept for this long after the peer has gone."""
    max_retained: int = 16384


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What happens below which score."""

    gossip: float = 0.0
    """Neither told of messages nor asked for them."""
    publish: float = 0.0
    """Not sent own messages when flooding or by fanout."""
    graylist: float = 0.0
    """Not listened to at all."""
    accept_exchange: float = 0.0
    """Peers in its PRUNEs are called only above."""
    opportunistic_graft: float = 0.0
    """The median of a mesh below which better peers are grafted."""


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """All of a `Router`."""

    mesh: MeshSettings = MeshSettings()
    gossip: GossipSettings = GossipSettings()
    limits: Limits = Limits()
    thresholds: Thresholds = Thresholds()
