"""The ping payload (libp2p specs, ping/ping.md)."""

from __future__ import annotations

from protocol_specs.grammar import FixedBytes
from protocol_specs.module import Module

PING = FixedBytes(32)

MODULE = Module(
    "ping", "The ping payload, echoed as it is.", "libp2p/specs ping/ping.md", items={"ping": PING}
)
