"""Pubsub, pure: floodsub, GossipSub 1.0 to 1.3, and the fanout engine. Specification: libp2p specs pubsub.

========================  =============================================================================================
module                    what it is
========================  =============================================================================================
``version``               the protocol ids and what each may be sent
``message``               `Incoming`: a message on its way through; `Verdict`; message id functions
``signing``               signature policies: sealing own messages, what of an encoded one is signed
``layout``                `Layout`: messages as nearly all are written, read quickly
``seen``                  `SeenCache`: ids of the last two minutes, two generations of sets
``message_cache``         `MessageCache`: the windows of messages that can be told of and asked for
``send_queue``            `SendQueue`: what waits for one peer, by priority, put together into RPCs
``peer``                  `PeerState`: what the router keeps of a peer
``topics``                `Neighbourhood`: who is in which topic, our meshes and fanouts; what all parts share
``mesh``                  `Meshes`: who joins and leaves a mesh: GRAFT, PRUNE, backoff, the heartbeat's maintenance
``gossip``                `Gossip`: IHAVE, IWANT, IDONTWANT, and the promises they make
``intake``                `Intake`: which messages of an RPC may be new, and those being verified
``forwarding``            `Forwarding`: accepted messages on their way to other peers
``partial``               `Partials`: messages that travel in parts (1.3)
``scores``                `Scores`: P1 to P7 of every peer, and their decay; its parts are in ``score_topics``,
                          ``delivery_records`` (who brought what), ``colocation`` (P6), ``score_checks``
``router``                `Router`: the machine that holds all of these
``events``                what the router tells its owner
``spread``, ``rumours``   `Spread`: random fanout with hop limits, dedup and pull repair, for Beam; `choose`, for all
``topic_filter``          which topics a node takes notice of
``settings``              parameters of all of them
========================  =============================================================================================

How a message comes in. `Router.receive` takes an RPC a peer sent, acts on what it says of topics and meshes, and returns
an `Incoming` for each message that may be new. The owner checks the signature of each and calls `Router.verified`: that
marks the id as seen, and says whether this copy was the first (before it, a forgery would keep out the real one). Then
validators are asked, at leisure, and `Router.settle` forwards an accepted message, or charges a rejected one to its
sender; `Router.accept` forwards many at once. What has to leave waits in a `SendQueue` per peer; `Router.take_dirty`
names the peers whose queue got something. The owner takes from a queue only what its stream accepts.

Most copies of a message are recognised by their bytes alone, before anything of them is decoded (``intake``); those that
are not, by their id.

Peers are opaque, hashable and orderable by nothing: a `PeerId` in a node, a number in a simulation. Wherever peers are
picked, they are picked by the router's own source of randomness from collections in an order of their own, so a life
replays.
"""

from mesh.protocols.gossip.events import (
    DirectMissing,
    Event,
    Grafted,
    PartReceived,
    PartsWanted,
    PeerExtends,
    PeersOffered,
    Pruned,
    TestExtended,
    TopicJoined,
    TopicLeft,
)
from mesh.protocols.gossip.message import (
    Incoming,
    MessageIdFunction,
    Part,
    PartSupport,
    Verdict,
    default_id,
)
from mesh.protocols.gossip.router import Router
from mesh.protocols.gossip.scores import PeerParts, Scores
from mesh.protocols.gossip.settings import (
    GossipSettings,
    Limits,
    MeshSettings,
    RouterSettings,
    ScoreSettings,
    Thresholds,
    TopicScoreSettings,
)
from mesh.protocols.gossip.version import PROTOCOLS, Version

__all__ = [
    "PROTOCOLS",
    "DirectMissing",
    "Event",
    "GossipSettings",
    "Grafted",
    "Incoming",
    "Limits",
    "MeshSettings",
    "MessageIdFunction",
    "Part",
    "PartReceived",
    "PartSupport",
    "PartsWanted",
    "PeerExtends",
    "PeerParts",
    "PeersOffered",
    "Pruned",
    "Router",
    "RouterSettings",
    "ScoreSettings",
    "Scores",
    "TestExtended",
    "Thresholds",
    "TopicJoined",
    "TopicLeft",
    "TopicScoreSettings",
    "Verdict",
    "Version",
    "default_id",
]
