"""Bitswap messages (IPFS specs, bitswap 1.0.0 to 1.2.0). On a stream each has its length before it."""

from __future__ import annotations

from protocol_specs.dag_pb import MAX_BLOCK_BYTES, MAX_CID_BYTES
from protocol_specs.grammar import Enum
from protocol_specs.module import Module
from protocol_specs.protobuf import Message, field

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_ENTRIES = 16384
"""Of one message; how many wants of a peer are kept is another question."""
MAX_BLOCKS = 16384
MAX_PREFIX_BYTES = 40

WANT_TYPE = Enum(
    "WantType", {"BLOCK": 0, "HAVE": 1}, closed=False, doc="What is wanted: a block, or to know who has it."
)
PRESENCE_TYPE = Enum(
    "PresenceType", {"HAVE": 0, "DONT_HAVE": 1}, closed=False, doc="Whether the sender has a block."
)

ENTRY = Message(
    "Entry",
    field(
        1,
        "block",
        "bytes",
        presence="implicit",
        max_bytes=MAX_MESSAGE_BYTES,
        doc="a binary CID; longer than 168 bytes it is passed over",
    ),
    field(2, "priority", "int32", presence="implicit", doc="greater is sooner"),
    field(3, "cancel", "bool", presence="implicit"),
    field(4, "want_type", WANT_TYPE, presence="implicit"),
    field(
        5, "send_dont_have", "bool", presence="implicit", doc="an answer is wanted even if there is no block"
    ),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="One want, or the end of one.",
)

WANTLIST = Message(
    "Wantlist",
    field(1, "entries", ENTRY, presence="repeated", max_count=MAX_ENTRIES),
    field(2, "full", "bool", presence="implicit", doc="it replaces all wants before"),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="What the sender wants now.",
)

BLOCK = Message(
    "Block",
    field(
        1,
        "prefix",
        "bytes",
        presence="implicit",
        max_bytes=MAX_PREFIX_BYTES,
        doc="the CID without the digest",
    ),
    field(2, "data", "bytes", presence="implicit", max_bytes=MAX_BLOCK_BYTES),
    max_bytes=MAX_BLOCK_BYTES + MAX_PREFIX_BYTES + 16,
    doc="A block; its CID is computed from it.",
)

BLOCK_PRESENCE = Message(
    "BlockPresence",
    field(1, "cid", "bytes", presence="implicit", max_bytes=MAX_CID_BYTES),
    field(2, "type", PRESENCE_TYPE, presence="implicit"),
    max_bytes=MAX_CID_BYTES + 32,
    doc="That the sender has a block, or has not.",
)

MESSAGE = Message(
    "Message",
    field(1, "wantlist", WANTLIST, doc="go writes it even if it is empty"),
    field(
        2,
        "blocks",
        "bytes",
        presence="repeated",
        max_count=MAX_BLOCKS,
        max_bytes=MAX_BLOCK_BYTES,
        doc="1.0.0: of CIDs of version 0",
    ),
    field(3, "payload", BLOCK, presence="repeated", max_count=MAX_BLOCKS),
    field(4, "block_presences", BLOCK_PRESENCE, presence="repeated", max_count=MAX_ENTRIES),
    field(5, "pending_bytes", "int32", presence="implicit", doc="of blocks still queued for the receiver"),
    max_bytes=MAX_MESSAGE_BYTES,
    doc="Wants, blocks and presences, all at once.",
)

MODULE = Module(
    "bitswap",
    "Bitswap messages.",
    "ipfs/specs src/bitswap-protocol.md",
    items={
        "entry": ENTRY,
        "wantlist": WANTLIST,
        "block": BLOCK,
        "block_presence": BLOCK_PRESENCE,
        "message": MESSAGE,
    },
    enums=(WANT_TYPE, PRESENCE_TYPE),
    constants={"MAX_MESSAGE_BYTES": MAX_MESSAGE_BYTES, "MAX_ENTRIES": MAX_ENTRIES},
)
