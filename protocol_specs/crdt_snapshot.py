"""Snapshots of replicas of a Merkle-CRDT, a protocol of this project: what a peer knows, signed, in one stream."""

from __future__ import annotations

from protocol_specs.envelope import MAX_ENVELOPE_BYTES
from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_TOPIC_BYTES = 4096
NONCE_BYTES = 32
DIGEST_BYTES = 32
MAX_KEY_BYTES = 8192
MAX_ROW_BYTES = 2 * 1024 * 1024 + 1024
"""Of a value with what stands before it."""
MAX_ROWS = 4096
MAX_PART_BYTES = 4 * 1024 * 1024

STATUS = Enum(
    "Status",
    {"OK": 0, "UNKNOWN_TOPIC": 1, "TOO_SOON": 2, "NOT_WHOLE": 3},
    closed=False,
    doc="How it went: NOT_WHOLE while the replica itself lacks what its heads build on. Other numbers are refusals too.",
)

REQUEST = Message(
    "Request",
    field(1, "topic", "string", max_bytes=MAX_TOPIC_BYTES),
    field(2, "nonce", "bytes", max_bytes=NONCE_BYTES, doc="random: the answer's signature is over it"),
    max_bytes=MAX_TOPIC_BYTES + NONCE_BYTES + 16,
    doc="Asks for a snapshot. One request a stream.",
)

ROW = Message(
    "Row",
    field(
        1,
        "key",
        "bytes",
        max_bytes=MAX_KEY_BYTES,
        doc="below the namespace: see mesh/protocols/crdt/layout.py",
    ),
    field(2, "value", "bytes", max_bytes=MAX_ROW_BYTES),
    max_bytes=MAX_KEY_BYTES + MAX_ROW_BYTES + 16,
    doc="One row of a replica.",
)

PART = Message(
    "Part",
    field(1, "status", STATUS),
    field(2, "rows", ROW, presence="repeated", max_count=MAX_ROWS, doc="in the order of their keys"),
    field(
        3,
        "statement",
        "bytes",
        max_bytes=MAX_ENVELOPE_BYTES,
        doc="of the last part: an Envelope around a Statement",
    ),
    max_bytes=MAX_PART_BYTES,
    doc="A piece of the answer.",
)

STATEMENT = Message(
    "Statement",
    field(1, "topic", "string", max_bytes=MAX_TOPIC_BYTES),
    field(2, "nonce", "bytes", max_bytes=NONCE_BYTES),
    field(3, "rows", "uint64"),
    field(
        4,
        "digest",
        "bytes",
        max_bytes=DIGEST_BYTES,
        doc="SHA-256 over all rows: key and value, each after its length",
    ),
    max_bytes=MAX_TOPIC_BYTES + NONCE_BYTES + DIGEST_BYTES + 32,
    doc="What the sender vouches for: that merging the nodes below these heads gives just these rows.",
)

MODULE = Module(
    "crdt_snapshot",
    "Snapshots of replicas of a Merkle-CRDT.",
    "this project: protocol_specs/crdt_snapshot.py",
    items={"request": REQUEST, "row": ROW, "part": PART, "statement": STATEMENT},
    enums=(STATUS,),
    constants={
        "MAX_TOPIC_BYTES": MAX_TOPIC_BYTES,
        "NONCE_BYTES": NONCE_BYTES,
        "DIGEST_BYTES": DIGEST_BYTES,
        "MAX_KEY_BYTES": MAX_KEY_BYTES,
        "MAX_ROW_BYTES": MAX_ROW_BYTES,
        "MAX_ROWS": MAX_ROWS,
        "MAX_PART_BYTES": MAX_PART_BYTES,
    },
)
