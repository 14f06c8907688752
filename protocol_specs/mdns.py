"""What mDNS carries of libp2p: the strings of a TXT record (RFC 1035, 3.3.14; libp2p specs, discovery/mdns.md)."""

from __future__ import annotations

from protocol_specs.grammar import U8, Constant, Delimited, Layout, Repeat, Text
from protocol_specs.module import Module

MAX_STRING_BYTES = 255
MAX_STRINGS = 256
PREFIX = b"dnsaddr="

TXT = Repeat(Delimited(MAX_STRING_BYTES, length=U8), max_count=MAX_STRINGS)

PEER_ADDRESS = Layout(
    "PeerAddress",
    Constant(PREFIX),
    "address" / Text(MAX_STRING_BYTES - len(PREFIX)),
    doc="One string of the record: a multiaddr that ends in the peer's id. Strings of another form are others' business.",
)

MODULE = Module(
    "mdns",
    "What mDNS carries of libp2p: the strings of a TXT record.",
    "libp2p/specs discovery/mdns.md",
    items={"txt": TXT, "peer_address": PEER_ADDRESS},
    constants={"MAX_STRING_BYTES": MAX_STRING_BYTES, "MAX_STRINGS": MAX_STRINGS},
)
