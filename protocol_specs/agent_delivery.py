"""Agent delivery, a protocol of this project: messages handed over with proof, in pieces where they are large.

A stream carries delimited frames both ways. Who opened it offers its messages in order, a short one with all of its body;
each offer gets a verdict, in the same order. Where the verdict is MORE, pieces follow from its offset on. A TAKEN message
comes with the receiver's signed receipt; receipts of later states come when they are made, over whichever stream there
is. Each receipt is acknowledged once it is durable.
"""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Of a message: as much as a frame of the stock protocols may hold."""
MAX_INLINE_BYTES = 32 * 1024
"""Of a body that comes with its offer."""
MAX_PIECE_BYTES = 16 * 1024
MAX_ID_BYTES = 512
"""128 characters in UTF-8."""
MAX_EVIDENCE_BYTES = 512
MAX_RECEIPT_BYTES = 4096
"""Of a receipt in its signed envelope: an RSA key of 4096 bits fits."""
MAX_RECEIPTS = 16
"""In one frame."""
MAX_FRAME_BYTES = MAX_RECEIPTS * (MAX_RECEIPT_BYTES + 8) + 256
MAX_MS = 2**53 - 1
"""Times are whole numbers that every language holds."""
MAX_RETRY_MS = 24 * 3600 * 1000

STATE = Enum(
    "State",
    {"STORED": 1, "DELIVERED": 2, "INVOKED": 3, "RESUMED": 4, "ANSWERED": 5},
    doc="What a receipt proves of a message.",
)
VERDICT = Enum(
    "VerdictCode",
    {"TAKEN": 0, "MORE": 1, "LATER": 2, "REFUSED": 3},
    closed=False,
    doc="TAKEN: stored. MORE: send pieces from the offset on. LATER: offer again after the time named. REFUSED, and "
    "every other number: not this message, not ever.",
)

OFFER = Message(
    "Offer",
    field(1, "message_id", "string", presence="required", max_bytes=MAX_ID_BYTES),
    field(2, "size", "uint32", presence="required", maximum=MAX_BODY_BYTES, doc="bytes of the body"),
    field(3, "digest", "bytes", presence="required", max_bytes=32, doc="SHA-256 of the body"),
    field(
        4,
        "queued_ms",
        "uint64",
        presence="required",
        maximum=MAX_MS,
        doc="when the sender queued it, milliseconds since 1970",
    ),
    field(5, "body", "bytes", max_bytes=MAX_INLINE_BYTES, doc="all of it, or absent"),
    max_bytes=MAX_INLINE_BYTES + MAX_ID_BYTES + 128,
    doc="A message that the sender wants to hand over: the JSON of the stock protocol.",
)

PIECE = Message(
    "Piece",
    field(1, "offset", "uint32", presence="required", maximum=MAX_BODY_BYTES),
    field(2, "data", "bytes", presence="required", max_bytes=MAX_PIECE_BYTES),
    max_bytes=MAX_PIECE_BYTES + 32,
    doc="A part of the body of the message that was last answered MORE.",
)

VERDICT_MESSAGE = Message(
    "Verdict",
    field(1, "message_id", "string", presence="required", max_bytes=MAX_ID_BYTES),
    field(2, "code", VERDICT, presence="implicit"),
    field(3, "offset", "uint32", maximum=MAX_BODY_BYTES, doc="with MORE: bytes that the receiver has"),
    field(4, "retry_ms", "uint32", maximum=MAX_RETRY_MS, doc="with LATER: offer again after so long"),
    field(5, "reason", "string", max_bytes=MAX_EVIDENCE_BYTES, doc="with LATER and REFUSED"),
    field(6, "receipt", "bytes", max_bytes=MAX_RECEIPT_BYTES, doc="with TAKEN"),
    max_bytes=MAX_RECEIPT_BYTES + MAX_ID_BYTES + MAX_EVIDENCE_BYTES + 64,
)

ACKNOWLEDGEMENT = Message(
    "Acknowledgement",
    field(1, "message_id", "string", presence="required", max_bytes=MAX_ID_BYTES),
    field(2, "state", STATE, presence="required"),
    max_bytes=MAX_ID_BYTES + 32,
    doc="A receipt is durable at the sender of its message.",
)

FRAME = Message(
    "Frame",
    field(1, "offer", OFFER),
    field(2, "piece", PIECE),
    field(3, "verdict", VERDICT_MESSAGE),
    field(
        4,
        "receipts",
        "bytes",
        presence="repeated",
        max_bytes=MAX_RECEIPT_BYTES,
        max_count=MAX_RECEIPTS,
        doc="each a Receipt in a signed envelope",
    ),
    field(5, "acknowledged", ACKNOWLEDGEMENT, presence="repeated", max_count=4 * MAX_RECEIPTS),
    max_bytes=MAX_FRAME_BYTES,
    doc="One of these, or receipts or acknowledgements; frames with none are ignored.",
)

RECEIPT = Message(
    "Receipt",
    field(1, "message_id", "string", presence="required", max_bytes=MAX_ID_BYTES),
    field(2, "digest", "bytes", presence="required", max_bytes=32, doc="SHA-256 of the body"),
    field(3, "sender", "bytes", presence="required", max_bytes=128, doc="peer id of who sent the message"),
    field(4, "receiver", "bytes", presence="required", max_bytes=128, doc="peer id of who signs"),
    field(5, "state", STATE, presence="required"),
    field(6, "evidence", "string", presence="implicit", max_bytes=MAX_EVIDENCE_BYTES),
    field(7, "at_ms", "uint64", presence="required", maximum=MAX_MS, doc="by the receiver's clock"),
    max_bytes=2048,
    doc="What the receiver of a message says became of it; signed in an envelope.",
)

MODULE = Module(
    "agent_delivery",
    "Agent delivery: messages handed over with proof, in pieces where they are large.",
    "this project: protocol_specs/agent_delivery.py",
    items={
        "offer": OFFER,
        "piece": PIECE,
        "verdict": VERDICT_MESSAGE,
        "acknowledgement": ACKNOWLEDGEMENT,
        "frame": FRAME,
        "receipt": RECEIPT,
    },
    enums=(STATE, VERDICT),
    constants={
        "MAX_BODY_BYTES": MAX_BODY_BYTES,
        "MAX_INLINE_BYTES": MAX_INLINE_BYTES,
        "MAX_PIECE_BYTES": MAX_PIECE_BYTES,
        "MAX_EVIDENCE_BYTES": MAX_EVIDENCE_BYTES,
        "MAX_RECEIPT_BYTES": MAX_RECEIPT_BYTES,
        "MAX_RECEIPTS": MAX_RECEIPTS,
        "MAX_FRAME_BYTES": MAX_FRAME_BYTES,
        "MAX_RETRY_MS": MAX_RETRY_MS,
    },
)
