"""Multihashes (multiformats/multihash). The implementation is written by hand."""

from __future__ import annotations

from protocol_specs.grammar import Choice, Delimited, Layout, UVarint
from protocol_specs.module import Module

MAX_DIGEST_BYTES = 128
MAX_CODE = 2**63 - 1

IDENTITY, SHA2_256 = 0x00, 0x12

DIGEST_BYTES = {
    0x11: 20,
    SHA2_256: 32,
    0x13: 64,
    0x14: 64,
    0x15: 48,
    0x16: 32,
    0x17: 28,
    0x1B: 32,
    0x1E: 32,
    0x20: 48,
    0x56: 32,
    0xD5: 16,
    0xB220: 32,
    0xB260: 32,
}
"""Hash functions whose digests must be whole."""


def whole(size: int) -> Delimited:
    """A digest of exactly `size` bytes behind its length."""
    return Delimited(size, min_bytes=size)


MULTIHASH = Layout(
    "Multihash",
    "code" / UVarint(MAX_CODE),
    "digest"
    / Choice(
        "code",
        {code: whole(size) for code, size in DIGEST_BYTES.items()},
        default=Delimited(MAX_DIGEST_BYTES),
    ),
    doc="A digest that names its hash function.",
)

PEER_MULTIHASH = Layout(
    "PeerMultihash",
    "code" / UVarint(MAX_CODE),
    "digest" / Choice("code", {IDENTITY: Delimited(MAX_DIGEST_BYTES, min_bytes=1), SHA2_256: whole(32)}),
    doc="The multihashes that name a peer.",
)

MODULE = Module(
    "multihash",
    "Multihashes.",
    "multiformats/multihash",
    items={"multihash": MULTIHASH},
    implementation="mesh.multiformats.multihash",
)
