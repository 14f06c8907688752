"""yamux frame headers (hashicorp/yamux spec.md, libp2p specs yamux/README.md)."""

from __future__ import annotations

from protocol_specs.grammar import U16, U32, Enum, Layout, Uint
from protocol_specs.module import Module

FRAME_TYPE = Enum(
    "FrameType",
    {"DATA": 0, "WINDOW_UPDATE": 1, "PING": 2, "GO_AWAY": 3},
    doc="What a frame is; other numbers end the session.",
)

GO_AWAY_CODE = Enum(
    "GoAwayCode",
    {"NORMAL": 0, "PROTOCOL_ERROR": 1, "INTERNAL_ERROR": 2},
    closed=False,
    doc="Why a session ends: the length of a GO_AWAY frame.",
)

HEADER = Layout(
    "Header",
    "version" / Uint(8, maximum=0),
    "type" / Uint(8, enum=FRAME_TYPE),
    "flags" / U16,
    "stream_id" / U32,
    "length" / U32,
    doc=(
        "The 12 bytes before every frame. `length` is the size of the body (DATA), credit (WINDOW_UPDATE), "
        "an opaque value (PING) or a GoAwayCode (GO_AWAY); unknown flags are kept."
    ),
)

MODULE = Module(
    "yamux",
    "yamux frame headers.",
    "libp2p/specs yamux/README.md",
    items={"header": HEADER},
    enums=(FRAME_TYPE, GO_AWAY_CODE),
    constants={
        "SYN": 1,
        "ACK": 2,
        "FIN": 4,
        "RST": 8,
        "MAX_DATA_BYTES": 16 * 2**20,
        "INITIAL_WINDOW_BYTES": 256 * 2**10,
    },
)
