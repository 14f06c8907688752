"""IPNS records (IPFS specs, ipns/ipns-record)."""

from __future__ import annotations

from protocol_specs.elements import Enum
from protocol_specs.keys import PUBLIC_KEY
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_RECORD_BYTES = 10 * 1024
MAX_SIGNATURE_BYTES = 1024
"""RSA of 8,192 bits, the largest key that is accepted."""

VALIDITY_TYPE = Enum("ValidityType", {"EOL": 0}, doc="What the validity says; EOL is the only one there is.")

IPNS_RECORD = Message(
    "IpnsRecord",
    field(1, "value", "bytes", max_bytes=MAX_RECORD_BYTES, doc="a content path"),
    field(
        2,
        "signature_v1",
        "bytes",
        max_bytes=MAX_SIGNATURE_BYTES,
        doc="over value, validity and validity type; never verified any more",
    ),
    field(3, "validity_type", VALIDITY_TYPE),
    field(4, "validity", "bytes", max_bytes=MAX_RECORD_BYTES, doc="RFC 3339 text"),
    field(5, "sequence", "uint64"),
    field(6, "ttl", "uint64", doc="nanoseconds a resolved value may be cached for"),
    field(
        7,
        "pub_key",
        "bytes",
        max_bytes=PUBLIC_KEY.max_bytes,
        doc="a PublicKey message, when the name holds none",
    ),
    field(8, "signature_v2", "bytes", max_bytes=MAX_SIGNATURE_BYTES, doc="over the prefix and the data"),
    field(9, "data", "bytes", max_bytes=MAX_RECORD_BYTES, doc="fields 1 and 3 to 6 as DAG-CBOR: what counts"),
    max_bytes=MAX_RECORD_BYTES,
    doc="What a name points to, and until when. Fields 1 to 6 repeat the data for old readers.",
)

MODULE = Module(
    "ipns",
    "IPNS records.",
    "ipfs/specs src/ipns/ipns-record.md",
    items={"ipns_record": IPNS_RECORD},
)
