"""The request of the perf protocol (libp2p specs, perf/perf.md)."""

from __future__ import annotations

from protocol_specs.grammar import U64, Layout
from protocol_specs.module import Module

REQUEST = Layout(
    "Request",
    "download_bytes" / U64,
    doc="What the opener sends first: the bytes it wants back. Its upload follows until it closes its side.",
)

MODULE = Module(
    "perf", "The request of the perf protocol.", "libp2p/specs perf/perf.md", items={"request": REQUEST}
)
