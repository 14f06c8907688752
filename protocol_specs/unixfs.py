"""Files and directories in the data of dag-pb nodes (IPFS specs, UnixFS 1)."""

from __future__ import annotations

from protocol_specs.dag_pb import MAX_BLOCK_BYTES, MAX_LINKS
from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

DATA_TYPE = Enum(
    "DataType",
    {"RAW": 0, "DIRECTORY": 1, "FILE": 2, "METADATA": 3, "SYMLINK": 4, "HAMT_SHARD": 5},
    doc="What a node stands for.",
)

UNIX_TIME = Message(
    "UnixTime",
    field(1, "seconds", "int64", presence="required"),
    field(2, "nanoseconds", "fixed32", maximum=999_999_999),
    max_bytes=32,
    doc="When it was last modified.",
)

DATA = Message(
    "Data",
    field(1, "type", DATA_TYPE, presence="required"),
    field(
        2,
        "data",
        "bytes",
        max_bytes=MAX_BLOCK_BYTES,
        doc="content of a leaf, target of a symlink, bits of a shard",
    ),
    field(3, "file_size", "uint64", maximum=2**63 - 1, doc="bytes of the file below this node"),
    field(
        4,
        "block_sizes",
        "uint64",
        presence="repeated",
        max_count=MAX_LINKS,
        maximum=2**63 - 1,
        doc="of them, how many below each link",
    ),
    field(5, "hash_type", "uint64", doc="multicodec number of a shard's hash"),
    field(6, "fanout", "uint64", maximum=1024, doc="of a shard"),
    field(7, "mode", "uint32"),
    field(8, "mtime", UNIX_TIME),
    max_bytes=MAX_BLOCK_BYTES,
    doc="What a dag-pb node is in a file system.",
)

MODULE = Module(
    "unixfs",
    "UnixFS data of dag-pb nodes.",
    "ipfs/specs src/unixfs",
    items={"unix_time": UNIX_TIME, "data": DATA},
    enums=(DATA_TYPE,),
)
