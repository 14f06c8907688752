"""Peer exchange, a protocol of this project: signed records of peers that agreed to be passed on."""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_RECORDS = 50
MAX_RECORD_BYTES = 8192
"""Of a signed record, as in identify."""

MAX_REQUEST_BYTES = MAX_RECORD_BYTES + 64
MAX_ANSWER_BYTES = MAX_RECORDS * (MAX_RECORD_BYTES + 8) + 64

STATUS = Enum(
    "Status",
    {"OK": 0, "TOO_SOON": 1},
    closed=False,
    doc="How it went: TOO_SOON when the peer, or everybody together, asks too often. Other numbers are refusals too.",
)

REQUEST = Message(
    "Request",
    field(1, "limit", "uint32", doc="most records wanted; absent or 0 for as many as there may be"),
    field(
        2,
        "record",
        "bytes",
        max_bytes=MAX_RECORD_BYTES,
        doc="the sender's own signed record: it agrees to be passed on; without one it is forgotten",
    ),
    max_bytes=MAX_REQUEST_BYTES,
    doc="Asks for peers. One request a stream.",
)

ANSWER = Message(
    "Answer",
    field(1, "status", STATUS),
    field(
        2,
        "records",
        "bytes",
        presence="repeated",
        max_bytes=MAX_RECORD_BYTES,
        max_count=MAX_RECORDS,
        doc="each an Envelope around a PeerRecord, a random choice",
    ),
    field(3, "retry_after_s", "uint32", doc="seconds after which asking again makes sense"),
    max_bytes=MAX_ANSWER_BYTES,
    doc="Peers that the sender met lately and that agreed.",
)

MODULE = Module(
    "pex",
    "Peer exchange: signed records of peers that agreed to be passed on.",
    "this project: protocol_specs/pex.py",
    items={"request": REQUEST, "answer": ANSWER},
    enums=(STATUS,),
    constants={
        "MAX_RECORDS": MAX_RECORDS,
        "MAX_RECORD_BYTES": MAX_RECORD_BYTES,
        "MAX_REQUEST_BYTES": MAX_REQUEST_BYTES,
        "MAX_ANSWER_BYTES": MAX_ANSWER_BYTES,
    },
)
