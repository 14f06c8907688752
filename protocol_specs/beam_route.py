"""`/beam/route/1.0.0`, a protocol of this project: a chain of up to three peers that pass bytes on, chosen by its opener.

The first message names the peers that are still to pass, the destination last; each forwarder opens the next stretch and
answers once that has been answered. Then the stream is the chain, and a connection of its own, secured from end to end,
goes through it.
"""

from __future__ import annotations

from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_FORWARDERS = 3
MAX_PEER_BYTES = 128
MAX_REQUEST_BYTES = MAX_FORWARDERS * (MAX_PEER_BYTES + 3) + 16
MAX_ANSWER_BYTES = 64

STATUS = Enum(
    "RouteStatus",
    {"OK": 0, "BAD_ROUTE": 1, "NOT_CONNECTED": 2, "BUSY": 3, "FAILED": 4},
    closed=False,
    doc="BAD_ROUTE: it comes back. NOT_CONNECTED: with the next peer. FAILED: further on. Others refuse, too.",
)

REQUEST = Message(
    "RouteRequest",
    field(
        1,
        "hops",
        "bytes",
        presence="repeated",
        max_bytes=MAX_PEER_BYTES,
        max_count=MAX_FORWARDERS,
        doc="peer ids that are to pass yet, the destination last; none: it is the receiver",
    ),
    max_bytes=MAX_REQUEST_BYTES,
    doc="The first message of a stretch.",
)

ANSWER = Message(
    "RouteAnswer",
    field(1, "status", STATUS, presence="implicit"),
    max_bytes=MAX_ANSWER_BYTES,
    doc="What became of all stretches from here on.",
)

MODULE = Module(
    "beam_route",
    "Beam's chains of forwarders: which peers are to pass yet, and what became of them.",
    "this project: protocol_specs/beam_route.py",
    items={"request": REQUEST, "answer": ANSWER},
    enums=(STATUS,),
    constants={
        "MAX_FORWARDERS": MAX_FORWARDERS,
        "MAX_REQUEST_BYTES": MAX_REQUEST_BYTES,
        "MAX_ANSWER_BYTES": MAX_ANSWER_BYTES,
    },
)
