"""Broadcasts and deltas of the Merkle-CRDT (go-ds-crdt 0.6.8, pb/bcast.proto and pb/delta.proto).

Newer versions add names of DAGs; they are read and kept. Proto3: what is zero or empty is not written.
"""

from __future__ import annotations

from protocol_specs.dag_pb import MAX_BLOCK_BYTES, MAX_CID_BYTES
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_BROADCAST_BYTES = 1024 * 1024
"""Of a pubsub message."""
MAX_HEADS = 16384
MAX_ELEMENTS = 65536
"""Additions in one delta, and tombstones."""
MAX_KEY_BYTES = 4096
MAX_ID_BYTES = 320
"""Of a block id in text: `/` and a multihash in base32."""
MAX_NAME_BYTES = 1024

HEAD = Message(
    "Head",
    field(1, "cid", "bytes", presence="implicit", max_bytes=MAX_CID_BYTES),
    field(2, "dag_name", "string", presence="implicit", max_bytes=MAX_NAME_BYTES, doc="newer versions only"),
    max_bytes=MAX_CID_BYTES + MAX_NAME_BYTES + 64,
    doc="A head of the sender.",
)

BROADCAST = Message(
    "Broadcast",
    field(1, "heads", HEAD, presence="repeated", max_count=MAX_HEADS),
    max_bytes=MAX_BROADCAST_BYTES,
    doc="A pubsub message: heads that the receiver may lack.",
)

ELEMENT = Message(
    "Element",
    field(1, "key", "string", presence="implicit", max_bytes=MAX_KEY_BYTES, doc="with its leading slash"),
    field(
        2,
        "id",
        "string",
        presence="implicit",
        max_bytes=MAX_ID_BYTES,
        doc="of a tombstone: `/` and the base32 multihash of the block that added the value; else empty",
    ),
    field(3, "value", "bytes", presence="implicit", max_bytes=MAX_BLOCK_BYTES),
    max_bytes=MAX_BLOCK_BYTES,
    doc="One addition, or one tombstone.",
)

DELTA = Message(
    "Delta",
    field(1, "elements", ELEMENT, presence="repeated", max_count=MAX_ELEMENTS),
    field(2, "tombstones", ELEMENT, presence="repeated", max_count=MAX_ELEMENTS),
    field(
        3,
        "priority",
        "uint64",
        presence="implicit",
        maximum=2**63 - 1,
        doc="height in the DAG: one more than the highest node linked to",
    ),
    field(4, "dag_name", "string", presence="implicit", max_bytes=MAX_NAME_BYTES, doc="newer versions only"),
    max_bytes=MAX_BLOCK_BYTES,
    doc="What one node of the DAG changes: its data.",
)

MODULE = Module(
    "crdt",
    "Broadcasts and deltas of the Merkle-CRDT.",
    "ipfs/go-ds-crdt v0.6.8 pb/",
    items={"head": HEAD, "broadcast": BROADCAST, "element": ELEMENT, "delta": DELTA},
    constants={
        "MAX_BROADCAST_BYTES": MAX_BROADCAST_BYTES,
        "MAX_HEADS": MAX_HEADS,
        "MAX_ELEMENTS": MAX_ELEMENTS,
        "MAX_KEY_BYTES": MAX_KEY_BYTES,
    },
)
