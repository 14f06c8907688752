"""What a message says, checked, and what one to a peer is made of (IPFS specs, bitswap, "Wire Format").

A block from outside has the CID that its prefix and its bytes give: it cannot be forged, only unwanted. A want that
cannot be met, because its CID is malformed, too long or of an unknown hash, is passed over as go-libp2p's peers do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mesh.codecs.bitswap import Block as WireBlock
from mesh.codecs.bitswap import BlockPresence, Entry, Message, PresenceType, Wantlist
from mesh.errors import DecodeError, Malformed, UsageError
from mesh.ipld.block import Block
from mesh.multiformats import multihash, varint
from mesh.multiformats.cid import DAG_PB, Cid
from mesh.multiformats.multihash import IDENTITY, SHA2_256, Multihash
from mesh.protocols.bitswap.version import Version

MAX_CID_BYTES: Final = 168
"""A longer CID in a wantlist is passed over, as in Go."""
HAVE, DONT_HAVE = PresenceType.HAVE, PresenceType.DONT_HAVE


@dataclass(slots=True)
class Received:
    """A message from a peer. ``presences``: CID and whether the peer has its block; ``nonsense`` counts what was passed
    over: blocks whose prefix means nothing, CIDs that cannot be read."""

    entries: Sequence[Entry] = ()
    full: bool = False
    blocks: list[Block] = field(default_factory=list)
    presences: list[tuple[Cid, bool]] = field(default_factory=list)
    nonsense: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing, which is no offence."""
        return not (self.entries or self.full or self.blocks or self.presences or self.nonsense)


def read(data: bytes) -> Received:
    """One message, without its length. Raises DecodeError when it is none."""
    message = Message.decode(data)
    found = Received()
    if message.wantlist is not None:
        found.entries, found.full = message.wantlist.entries, message.wantlist.full
    for wire in message.payload:
        try:
            found.blocks.append(_block(wire))
        except (DecodeError, UsageError):
            found.nonsense += 1
    for bare in message.blocks:
        found.blocks.append(Block(Cid(0, DAG_PB, multihash.digest(bare)), bare))
    for presence in message.block_presences:
        try:
            cid = Cid.from_bytes(presence.cid)
        except DecodeError:
            found.nonsense += 1
            continue
        found.presences.append((cid, presence.type != DONT_HAVE))
    return found


def wants(entries: list[Entry], full: bool) -> bytes:
    """A message of wants and cancels."""
    return Message(Wantlist(entries, full)).encode()


def answers(
    version: Version, blocks: Iterable[Block], presences: Iterable[tuple[bytes, bool]], pending_bytes: int
) -> bytes:
    """A message of blocks and, where the version has them, presences by binary CID."""
    message = Message(Wantlist())
    if version.has_prefixes:
        message.payload = [WireBlock(prefix_of(each.cid), each.data) for each in blocks]
    else:
        message.blocks = [each.data for each in blocks]
    if version.has_presences:
        message.block_presences = [BlockPresence(cid, HAVE if here else DONT_HAVE) for cid, here in presences]
        message.pending_bytes = min(pending_bytes, 0x7FFFFFFF)
    return message.encode()


def prefix_of(cid: Cid) -> bytes:
    """A CID without its digest: version, codec, hash function, length of the digest."""
    digest = cid.multihash.digest
    numbers = (cid.version, cid.codec, cid.multihash.code, len(digest))
    return b"".join(map(varint.encode, numbers))


def _block(wire: WireBlock) -> Block:
    """Raises DecodeError or UsageError."""
    if wire.prefix == _USUAL_PREFIX:
        return Block(Cid(1, DAG_PB, multihash.digest(wire.data)), wire.data)
    version, offset = varint.decode(wire.prefix)
    codec, offset = varint.decode(wire.prefix, offset)
    code, offset = varint.decode(wire.prefix, offset)
    size, offset = varint.decode(wire.prefix, offset)
    if offset != len(wire.prefix) or code == IDENTITY:
        raise Malformed("Block.prefix", offset, "not four numbers of a hash that is computed")
    found = multihash.digest(wire.data, Multihash(code, bytes(size)).name)
    if len(found.digest) != size:
        raise Malformed("Block.prefix", None, f"a digest of {size} bytes")
    return Block(Cid(version, codec, found), wire.data)


_USUAL_PREFIX: Final = bytes((1, DAG_PB, SHA2_256, 32))
