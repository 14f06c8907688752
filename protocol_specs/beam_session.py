"""`/beam/session/1.0.0`, a protocol of this project: a byte stream between two nodes over several streams of
theirs, each a path, that outlives any of them.

On each path the opener names the session and is answered; frames follow both ways, all behind a varint length. Bytes are
numbered from 0 in each direction; the end takes a number as well.
"""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

SESSION_ID_BYTES = 16
MAX_PROTOCOL_BYTES = 128
MAX_REASON_BYTES = 512
MAX_OPENING_BYTES = 256
MAX_ANSWER_BYTES = MAX_REASON_BYTES + 64
MAX_SEGMENT_BYTES = 32 * 1024
MAX_FRAME_BYTES = MAX_SEGMENT_BYTES + 128
MAX_OFFSET = 2**53 - 1
MAX_WINDOW_BYTES = 2**31 - 1

STATUS = Enum(
    "SessionStatus",
    {"OK": 0, "UNKNOWN_SESSION": 1, "UNKNOWN_PROTOCOL": 2, "BUSY": 3},
    closed=False,
    doc="Other numbers are refusals too.",
)

OPENING = Message(
    "SessionOpening",
    field(
        1,
        "session_id",
        "bytes",
        presence="required",
        max_bytes=SESSION_ID_BYTES,
        doc="16 random bytes, of the peer that opened the session",
    ),
    field(
        2,
        "protocol",
        "string",
        presence="implicit",
        max_bytes=MAX_PROTOCOL_BYTES,
        doc="what the session carries; empty on a further path of a session that stands",
    ),
    max_bytes=MAX_OPENING_BYTES,
    doc="The first message of a path.",
)

ANSWER = Message(
    "SessionAnswer",
    field(1, "status", STATUS, presence="implicit"),
    field(2, "reason", "string", presence="implicit", max_bytes=MAX_REASON_BYTES),
    max_bytes=MAX_ANSWER_BYTES,
    doc="What the other end says to it.",
)

FRAME = Message(
    "SessionFrame",
    field(1, "offset", "uint64", presence="implicit", maximum=MAX_OFFSET, doc="of the data, or of the end"),
    field(2, "data", "bytes", presence="implicit", max_bytes=MAX_SEGMENT_BYTES),
    field(
        3,
        "final",
        "bool",
        presence="implicit",
        doc="nothing comes after the data: the end has the next offset",
    ),
    field(
        4,
        "received",
        "uint64",
        maximum=MAX_OFFSET,
        doc="everything below has come, the end counted as one byte",
    ),
    field(
        5,
        "window",
        "uint32",
        presence="implicit",
        maximum=MAX_WINDOW_BYTES,
        doc="how much may come after that",
    ),
    field(6, "ping", "uint32", maximum=2**32 - 1, doc="to be said back on the same path"),
    field(7, "pong", "uint32", maximum=2**32 - 1),
    field(8, "carries", "bool", doc="of the opener: whether this path is to carry data"),
    field(9, "reset", "bool", presence="implicit", doc="the session ends at once"),
    max_bytes=MAX_FRAME_BYTES,
    doc="One frame on one path.",
)

MODULE = Module(
    "beam_session",
    "Beam's sessions: bytes over several paths, acknowledged, resent where a path failed.",
    "this project: protocol_specs/beam_session.py",
    items={"opening": OPENING, "answer": ANSWER, "frame": FRAME},
    enums=(STATUS,),
    constants={
        "SESSION_ID_BYTES": SESSION_ID_BYTES,
        "MAX_PROTOCOL_BYTES": MAX_PROTOCOL_BYTES,
        "MAX_REASON_BYTES": MAX_REASON_BYTES,
        "MAX_OPENING_BYTES": MAX_OPENING_BYTES,
        "MAX_ANSWER_BYTES": MAX_ANSWER_BYTES,
        "MAX_SEGMENT_BYTES": MAX_SEGMENT_BYTES,
        "MAX_FRAME_BYTES": MAX_FRAME_BYTES,
        "MAX_OFFSET": MAX_OFFSET,
        "MAX_WINDOW_BYTES": MAX_WINDOW_BYTES,
    },
)
