"""Kademlia messages (libp2p specs, kad-dht/README.md)."""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_MESSAGE_BYTES = 4 * 2**20
"""go's limit; rust stops at 16 KiB, so what we write should stay far below. One bad id or address must not cost the
rest of an answer, so those have no smaller maximum.
"""

MAX_KEY_BYTES = 1024
"""Names and multihashes need about 50 bytes, the texts of private networks some hundreds. go has no limit of its own
for values and 80 bytes for providers.
"""

MAX_TIME_BYTES = 128
MAX_ADDRESSES = 500
"""As many as identify takes; go sends all that its peerstore holds."""

MAX_CLOSER_PEERS = 64
"""go sends its 20 closest and the target."""

MAX_PROVIDERS = 1024
"""go sends every provider it knows; a popular key has hundreds."""

MESSAGE_TYPE = Enum(
    "MessageType",
    {"PUT_VALUE": 0, "GET_VALUE": 1, "ADD_PROVIDER": 2, "GET_PROVIDERS": 3, "FIND_NODE": 4, "PING": 5},
    doc="What a message asks for; an answer bears the type of its request. Other numbers end the stream.",
)

CONNECTION_TYPE = Enum(
    "ConnectionType",
    {"NOT_CONNECTED": 0, "CONNECTED": 1, "CAN_CONNECT": 2, "CANNOT_CONNECT": 3},
    closed=False,
    doc="How the sender says it is connected to a peer. Only a hint: other numbers are kept.",
)

VALUE_RECORD = Message(
    "ValueRecord",
    field(1, "key", "bytes", presence="implicit", max_bytes=MAX_KEY_BYTES),
    field(2, "value", "bytes", presence="implicit", max_bytes=MAX_MESSAGE_BYTES),
    field(
        5,
        "time_received",
        "string",
        presence="implicit",
        max_bytes=MAX_TIME_BYTES,
        doc="RFC 3339 text that the storing peer sets",
    ),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="A value under its key (the specification's Record).",
)

PEER = Message(
    "Peer",
    field(
        1, "id", "bytes", presence="implicit", max_bytes=MAX_MESSAGE_BYTES, doc="the multihash of a peer id"
    ),
    field(2, "addrs", "bytes", presence="repeated", max_bytes=MAX_MESSAGE_BYTES, max_count=MAX_ADDRESSES),
    field(3, "connection", CONNECTION_TYPE, presence="implicit"),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="A peer and its multiaddrs, which stay bytes: one that does not parse must not spoil the others.",
)

MESSAGE = Message(
    "Message",
    field(1, "type", MESSAGE_TYPE, presence="implicit", doc="PUT_VALUE is 0 and so absent on the wire"),
    field(2, "key", "bytes", presence="implicit", max_bytes=MAX_KEY_BYTES),
    field(3, "record", VALUE_RECORD),
    field(8, "closer_peers", PEER, presence="repeated", max_count=MAX_CLOSER_PEERS),
    field(9, "provider_peers", PEER, presence="repeated", max_count=MAX_PROVIDERS),
    field(
        10,
        "cluster_level_raw",
        "int32",
        presence="implicit",
        doc="go writes 1 in every message; unused since",
    ),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="A request or its answer.",
)

ANSWER = Message(
    "Answer",
    field(1, "type", MESSAGE_TYPE, presence="implicit"),
    field(2, "key", "bytes", presence="implicit", max_bytes=MAX_KEY_BYTES),
    field(3, "record", VALUE_RECORD),
    field(
        8,
        "closer_peers",
        "bytes",
        presence="repeated",
        max_bytes=MAX_MESSAGE_BYTES,
        max_count=MAX_CLOSER_PEERS,
        doc="each a Peer, encoded",
    ),
    field(9, "provider_peers", PEER, presence="repeated", max_count=MAX_PROVIDERS),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="A Message whose closer peers stay encoded: the same ones come over and over, and need reading once.",
)

MODULE = Module(
    "kademlia",
    "Kademlia messages.",
    "libp2p/specs kad-dht/README.md",
    items={"value_record": VALUE_RECORD, "peer": PEER, "message": MESSAGE, "answer": ANSWER},
    enums=(MESSAGE_TYPE, CONNECTION_TYPE),
    constants={"MAX_KEY_BYTES": MAX_KEY_BYTES},
)
