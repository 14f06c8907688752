"""Multiaddrs in binary (multiformats/multiaddr). The implementation is written by hand.

A component is a protocol code and its value, of fixed width or behind a length. Text in bytes must be UTF-8
without control characters, since addresses of strangers end up on terminals and in logs.
"""

from __future__ import annotations

from protocol_specs.grammar import (
    U8,
    U16,
    U64,
    Bytes,
    Choice,
    Delimited,
    FixedBytes,
    Layout,
    Repeat,
    Text,
    Uint,
    UVarint,
)
from protocol_specs.module import Module
from protocol_specs.multihash import MAX_CODE, MULTIHASH, PEER_MULTIHASH

MAX_MULTIADDR_BYTES = 4096
UNIX = 400

_CONTROLS = "\\x00-\\x1f\\x7f-\\x9f"

_NAME = Delimited(MAX_MULTIADDR_BYTES, Text(pattern=f"[^/{_CONTROLS}]+"), min_bytes=1)
_PATH = Delimited(MAX_MULTIADDR_BYTES, Text(pattern=f"/[^{_CONTROLS}]*[^/{_CONTROLS}]"), min_bytes=1)
_PORT = Uint(16, minimum=1)

VALUES = {
    4: FixedBytes(4),
    6: U16,
    33: U16,
    41: FixedBytes(16),
    42: _NAME,
    43: U8,
    53: _NAME,
    54: _NAME,
    55: _NAME,
    56: _NAME,
    132: U16,
    273: U16,
    276: None,
    280: None,
    281: None,
    290: None,
    301: None,
    302: None,
    UNIX: _PATH,
    421: Delimited(MAX_MULTIADDR_BYTES, PEER_MULTIHASH, min_bytes=1),
    443: None,
    444: Layout("Onion", "name" / FixedBytes(10), "port" / _PORT),
    445: Layout("Onion3", "name" / FixedBytes(35), "port" / _PORT),
    446: Delimited(MAX_MULTIADDR_BYTES, min_bytes=386),
    447: Delimited(MAX_MULTIADDR_BYTES, Bytes(refused_sizes=(33, 34)), min_bytes=32),
    448: None,
    449: _NAME,
    454: None,
    460: None,
    461: None,
    465: None,
    466: Delimited(MAX_MULTIADDR_BYTES, MULTIHASH, min_bytes=1),
    477: None,
    478: None,
    480: None,
    481: Delimited(MAX_MULTIADDR_BYTES, min_bytes=1),
    777: U64,
    7367777: None,
}

COMPONENT = Layout("Component", "code" / UVarint(MAX_CODE), "value" / Choice("code", VALUES))

MULTIADDR = Repeat(
    COMPONENT, min_count=1, max_count=MAX_MULTIADDR_BYTES, max_bytes=MAX_MULTIADDR_BYTES, final=("code", UNIX)
)

MODULE = Module(
    "multiaddr",
    "Multiaddrs.",
    "multiformats/multiaddr",
    items={"multiaddr": MULTIADDR},
    implementation="mesh.multiformats.multiaddr",
)
