"""SMSG and the two layers below it: the Trix container and the sigil box (Borg, Enchantrix; the Lethean mesh)."""

from __future__ import annotations

from protocol_specs.grammar import U32, Bytes, Constant, Delimited, FixedBytes, Layout
from protocol_specs.module import Module

MAX_HEADER_BYTES = 16 * 2**20
MAX_PAYLOAD_BYTES = 256 * 2**20
"""Room for a bundle of the largest file; what arrives as a message is bounded by the WebSocket's limit long before."""

NONCE_BYTES = 24
TAG_BYTES = 16

CONTAINER = Layout(
    "Container",
    "magic" / FixedBytes(4),
    Constant(b"\x02"),
    "header" / Delimited(MAX_HEADER_BYTES, length=U32),
    "payload" / Bytes(MAX_PAYLOAD_BYTES),
    doc="A Trix container: what it is, a header of one JSON object that nothing authenticates, and the rest.",
)
BOX = Layout(
    "Box",
    "nonce" / FixedBytes(NONCE_BYTES),
    "tag_and_text" / Bytes(MAX_PAYLOAD_BYTES),
    doc="A sigil: XChaCha20-Poly1305 of text under a keystream of SHA-256; the last 16 bytes are the tag.",
)
BLOB = Layout(
    "Blob",
    "message" / Delimited(MAX_PAYLOAD_BYTES, length=U32),
    "attachments" / Bytes(MAX_PAYLOAD_BYTES),
    doc="Format v2 of what a container holds: JSON whose attachments have sizes, and their bytes in the same order.",
)

MODULE = Module(
    "smsg",
    "SMSG and the two layers below it: the Trix container and the sigil box.",
    "the Lethean mesh, section 5 (Borg cf2af53, Enchantrix 86f4e33)",
    items={"container": CONTAINER, "box": BOX, "blob": BLOB},
    constants={
        "NONCE_BYTES": NONCE_BYTES,
        "TAG_BYTES": TAG_BYTES,
        "OVERHEAD_BYTES": NONCE_BYTES + TAG_BYTES,
        "VERSION": 2,
        "MAX_HEADER_BYTES": MAX_HEADER_BYTES,
        "MAX_PAYLOAD_BYTES": MAX_PAYLOAD_BYTES,
    },
)
