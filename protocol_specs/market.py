"""The frames of the marketplace's streams (asabya/betar 793ca02): a type, then data, which are JSON.

Requests of `/betar/marketplace/1.0.0` and both ways of `/x402/libp2p/1.0.0` are `frame`; the marketplace's answers have
no type: `reply`. `mesh.framing.typed` reads the same from pieces. JSON is no construct: `mesh.go_json`.
"""

from __future__ import annotations

from protocol_specs.grammar import U16, U32, Delimited, Layout, Text
from protocol_specs.module import Module

MAX_TYPE_BYTES = 128
MAX_DATA_BYTES = 8 * 2**20

FRAME = Layout(
    "Frame",
    "kind" / Delimited(MAX_TYPE_BYTES, Text(), length=U16, min_bytes=1),
    "data" / Delimited(MAX_DATA_BYTES, length=U32),
    doc="A message with the type that says what its data are.",
)

MODULE = Module(
    "market",
    "Frames of the marketplace's streams.",
    "the Betar marketplace, sections 2 and 3.1 (asabya/betar 793ca02)",
    items={"frame": FRAME, "reply": Delimited(MAX_DATA_BYTES, length=U32)},
    constants={"MAX_TYPE_BYTES": MAX_TYPE_BYTES, "MAX_DATA_BYTES": MAX_DATA_BYTES},
)
