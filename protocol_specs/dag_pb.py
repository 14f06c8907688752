"""Nodes of the Merkle DAG (IPLD specs, dag-pb).

Protobuf reads them in any order and takes what is unknown; dag-pb does not. `mesh.ipld.dag_pb` writes the links before
the data, and refuses whatever is in no order that the specification permits.
"""

from __future__ import annotations

from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_BLOCK_BYTES = 2 * 1024 * 1024
"""The largest block that bitswap implementations exchange."""
MAX_CID_BYTES = 168
MAX_NAME_BYTES = 4096
MAX_LINKS = 32768

PB_LINK = Message(
    "PBLink",
    field(1, "hash", "bytes", presence="required", max_bytes=MAX_CID_BYTES, doc="a binary CID"),
    field(2, "name", "string", max_bytes=MAX_NAME_BYTES),
    field(3, "tsize", "uint64", doc="bytes of all blocks below, as the writer believes"),
    max_bytes=MAX_CID_BYTES + MAX_NAME_BYTES + 32,
    doc="A link to another node.",
)

PB_NODE = Message(
    "PBNode",
    field(1, "data", "bytes", max_bytes=MAX_BLOCK_BYTES),
    field(2, "links", PB_LINK, presence="repeated", max_count=MAX_LINKS),
    max_bytes=MAX_BLOCK_BYTES,
    doc="A node: data and links.",
)

MODULE = Module(
    "dag_pb",
    "Nodes of the Merkle DAG.",
    "ipld/specs codecs/dag-pb",
    items={"pb_link": PB_LINK, "pb_node": PB_NODE},
    constants={
        "MAX_BLOCK_BYTES": MAX_BLOCK_BYTES,
        "MAX_CID_BYTES": MAX_CID_BYTES,
        "MAX_NAME_BYTES": MAX_NAME_BYTES,
        "MAX_LINKS": MAX_LINKS,
    },
)
