"""`/beam/sync/1.0.0`, a protocol of this project: two nodes compare what they know of services and names, and give each
other what is missing.

The opener sends a mark for each peer of whom it holds records; the other end answers with the records that the marks
show to be missing, and asks for those that it lacks; the opener sends these. Each side's part is one frame or more, the
last of which is final. Records are signed by whom they speak of, so nobody has to be trusted for them.
"""

from __future__ import annotations

from protocol_specs.beam import MAX_PEER_BYTES, MAX_RECORD_BYTES
from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

DIGEST_BYTES = 16
MAX_MARKS = 1024
MAX_RECORDS = 32
"""Of one frame."""
MAX_MARK_BYTES = MAX_PEER_BYTES + DIGEST_BYTES + 8
MAX_FRAME_BYTES = 128 * 1024

STATUS = Enum(
    "SyncStatus",
    {"OK": 0, "TOO_SOON": 1, "BUSY": 2},
    closed=False,
    doc="TOO_SOON: for this peer. Other numbers are refusals, too.",
)

MARK = Message(
    "Mark",
    field(1, "origin", "bytes", presence="required", max_bytes=MAX_PEER_BYTES, doc="who signed the records"),
    field(2, "digest", "bytes", presence="required", max_bytes=DIGEST_BYTES, doc="of all of them"),
    max_bytes=MAX_MARK_BYTES,
    doc="What is held of one peer.",
)

FRAME = Message(
    "SyncFrame",
    field(1, "marks", MARK, presence="repeated", max_count=MAX_MARKS),
    field(
        2,
        "wanted",
        "bytes",
        presence="repeated",
        max_bytes=MAX_PEER_BYTES,
        max_count=MAX_MARKS,
        doc="peers whose records the sender lacks, or holds others of",
    ),
    field(
        3,
        "records",
        "bytes",
        presence="repeated",
        max_bytes=MAX_RECORD_BYTES,
        max_count=MAX_RECORDS,
        doc="each of a service or a name, in its signed envelope",
    ),
    field(4, "final", "bool", presence="implicit", doc="nothing more follows from this side now"),
    field(5, "status", STATUS, presence="implicit"),
    max_bytes=MAX_FRAME_BYTES,
    doc="One message either way.",
)

MODULE = Module(
    "beam_sync",
    "Beam's exchange of records between two nodes: marks of what is held, and what is missing.",
    "this project: protocol_specs/beam_sync.py",
    items={"mark": MARK, "frame": FRAME},
    enums=(STATUS,),
    constants={
        "DIGEST_BYTES": DIGEST_BYTES,
        "MAX_MARKS": MAX_MARKS,
        "MAX_RECORDS": MAX_RECORDS,
        "MAX_FRAME_BYTES": MAX_FRAME_BYTES,
    },
)
