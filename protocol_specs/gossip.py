"""Pubsub RPCs of floodsub and GossipSub 1.0 to 1.3 (libp2p specs pubsub and its gossipsub extensions)."""

from __future__ import annotations

from protocol_specs.grammar import Message as Schema
from protocol_specs.grammar import field
from protocol_specs.module import Module

MAX_RPC_BYTES = 2**20
"""go's limit. rust's default is 64 KiB, so what we put together ourselves stays below unless one message is longer."""

MAX_TOPIC_BYTES = 4096
MAX_ID_BYTES = 4096
"""Of a message id: go's default has 46 bytes, hashes 20 to 64."""

MAX_KEY_BYTES = 4096
MAX_SIGNATURE_BYTES = 2048
MAX_SEQNO_BYTES = 64
"""8 by the specification; go forwards any."""

MAX_MESSAGES = 16384
MAX_SUBSCRIPTIONS = 16384
MAX_TOPICS = 16384
MAX_IDS = 65536
"""go looks at 5,000 of one announcement; more must not cost the connection."""

MAX_EXCHANGED = 256
MAX_BACKOFF_S = 2**63 - 1
"""Signed 64-bit clocks overflow beyond; the router clamps to far less."""

SUBSCRIPTION = Schema(
    "Subscription",
    field(1, "subscribe", "bool", doc="false is written too, as go does"),
    field(2, "topic", "string", presence="implicit", max_bytes=MAX_TOPIC_BYTES),
    field(3, "requests_partial", "bool", doc="1.3; go sends it as false to older peers too"),
    field(4, "supports_sending_partial", "bool"),
    max_bytes=MAX_TOPIC_BYTES + 64,
    doc="A topic joined or left.",
)

MESSAGE = Schema(
    "Message",
    field(1, "sender", "bytes", max_bytes=128, doc="peer id of the author (the specification's from)"),
    field(2, "data", "bytes", max_bytes=MAX_RPC_BYTES),
    field(3, "seqno", "bytes", max_bytes=MAX_SEQNO_BYTES, doc="8 bytes, big-endian, increasing"),
    field(4, "topic", "string", presence="implicit", max_bytes=MAX_TOPIC_BYTES),
    field(5, "signature", "bytes", max_bytes=MAX_SIGNATURE_BYTES),
    field(6, "key", "bytes", max_bytes=MAX_KEY_BYTES, doc="only when the id does not contain it"),
    max_bytes=MAX_RPC_BYTES,
    doc="One published message.",
)

IHAVE = Schema(
    "IHave",
    field(1, "topic", "string", presence="implicit", max_bytes=MAX_TOPIC_BYTES),
    field(2, "message_ids", "bytes", presence="repeated", max_bytes=MAX_ID_BYTES, max_count=MAX_IDS),
    max_bytes=MAX_RPC_BYTES,
    doc="Ids of messages the sender has. go declares ids as strings and fills them with binary.",
)

IWANT = Schema(
    "IWant",
    field(1, "message_ids", "bytes", presence="repeated", max_bytes=MAX_ID_BYTES, max_count=MAX_IDS),
    max_bytes=MAX_RPC_BYTES,
    doc="Ids of messages the sender asks for.",
)

GRAFT = Schema(
    "Graft",
    field(1, "topic", "string", presence="implicit", max_bytes=MAX_TOPIC_BYTES),
    max_bytes=MAX_TOPIC_BYTES + 64,
    doc="The sender adds the receiver to its mesh.",
)

EXCHANGED_PEER = Schema(
    "ExchangedPeer",
    field(1, "peer_id", "bytes", presence="implicit", max_bytes=128),
    field(2, "signed_peer_record", "bytes", presence="implicit", max_bytes=MAX_RPC_BYTES),
    max_bytes=MAX_RPC_BYTES,
    doc="A peer to connect to instead (the specification's PeerInfo).",
)

PRUNE = Schema(
    "Prune",
    field(1, "topic", "string", presence="implicit", max_bytes=MAX_TOPIC_BYTES),
    field(2, "peers", EXCHANGED_PEER, presence="repeated", max_count=MAX_EXCHANGED),
    field(3, "backoff", "uint64", maximum=MAX_BACKOFF_S, doc="seconds; absent before 1.1"),
    max_bytes=MAX_RPC_BYTES,
    doc="The sender removes the receiver from its mesh.",
)

IDONTWANT = Schema(
    "IDontWant",
    field(1, "message_ids", "bytes", presence="repeated", max_bytes=MAX_ID_BYTES, max_count=MAX_IDS),
    max_bytes=MAX_RPC_BYTES,
    doc="Ids of messages not to send (1.2).",
)

EXTENSIONS = Schema(
    "Extensions",
    field(10, "partial_messages", "bool"),
    field(6492434, "test_extension", "bool"),
    max_bytes=MAX_RPC_BYTES,
    doc="What the sender speaks beyond 1.2; once, in the first RPC (1.3).",
)

CONTROL = Schema(
    "Control",
    field(1, "ihave", IHAVE, presence="repeated", max_count=MAX_TOPICS),
    field(2, "iwant", IWANT, presence="repeated", max_count=MAX_TOPICS),
    field(3, "graft", GRAFT, presence="repeated", max_count=MAX_TOPICS),
    field(4, "prune", PRUNE, presence="repeated", max_count=MAX_TOPICS),
    field(5, "idontwant", IDONTWANT, presence="repeated", max_count=MAX_TOPICS),
    field(6, "extensions", EXTENSIONS),
    max_bytes=MAX_RPC_BYTES,
    doc="What GossipSub says beside messages.",
)

PARTIAL = Schema(
    "Partial",
    field(1, "topic", "string", presence="implicit", max_bytes=MAX_TOPIC_BYTES),
    field(2, "group", "bytes", presence="implicit", max_bytes=MAX_ID_BYTES),
    field(3, "message", "bytes", max_bytes=MAX_RPC_BYTES),
    field(4, "metadata", "bytes", max_bytes=MAX_RPC_BYTES),
    max_bytes=MAX_RPC_BYTES,
    doc="A part of a message (1.3, the partial messages extension).",
)

RPC = Schema(
    "Rpc",
    field(1, "subscriptions", SUBSCRIPTION, presence="repeated", max_count=MAX_SUBSCRIPTIONS),
    field(
        2,
        "publish",
        "bytes",
        presence="repeated",
        max_bytes=MAX_RPC_BYTES,
        max_count=MAX_MESSAGES,
        doc="each a Message, encoded: what is passed on keeps its bytes",
    ),
    field(3, "control", CONTROL),
    field(10, "partial", PARTIAL),
    field(6492434, "test_extension", "bytes", max_bytes=MAX_RPC_BYTES, doc="an empty message"),
    max_bytes=MAX_RPC_BYTES,
    doc="What travels between two peers, behind its length.",
)

MODULE = Module(
    "gossip",
    "Pubsub RPCs.",
    "libp2p/specs pubsub/README.md",
    items={
        "subscription": SUBSCRIPTION,
        "message": MESSAGE,
        "ihave": IHAVE,
        "iwant": IWANT,
        "graft": GRAFT,
        "exchanged_peer": EXCHANGED_PEER,
        "prune": PRUNE,
        "idontwant": IDONTWANT,
        "extensions": EXTENSIONS,
        "control": CONTROL,
        "partial": PARTIAL,
        "rpc": RPC,
    },
    enums=(),
    constants={"MAX_RPC_BYTES": MAX_RPC_BYTES},
)
