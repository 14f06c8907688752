# GENERATED from protocol_specs/bitswap.py by tools.spec_compiler; do not edit.
# Schema dce9aa66b0027e1c
"""Bitswap messages.

Specification: ipfs/specs src/bitswap-protocol.md.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    crossing,
    encode_varint,
    joined,
    past_end,
    put_run,
    read_tag,
    read_varint,
    refused_count,
    refused_number,
    refused_size,
    skip_field,
    take_run,
    too_long,
)
from mesh.errors import Malformed, Truncated

MAX_MESSAGE_BYTES = 4194304
MAX_ENTRIES = 16384


class WantType(IntEnum):
    """What is wanted: a block, or to know who has it."""

    BLOCK = 0
    HAVE = 1


class PresenceType(IntEnum):
    """Whether the sender has a block."""

    HAVE = 0
    DONT_HAVE = 1


_ENTRY_FIELDS = {
    10: ("Entry.block", 4194304),
}


class Entry(Record):
    """One want, or the end of one.

    block: a binary CID; longer than 168 bytes it is passed over

    priority: greater is sooner

    send_dont_have: an answer is wanted even if there is no block
    """

    __slots__ = ("block", "priority", "cancel", "want_type", "send_dont_have")

    MAX_BYTES = 4194304

    def __init__(
        self,
        block: bytes = b"",
        priority: int = 0,
        cancel: bool = False,
        want_type: int = 0,
        send_dont_have: bool = False,
    ) -> None:
        self.block = block
        self.priority = priority
        self.cancel = cancel
        self.want_type = want_type
        self.send_dont_have = send_dont_have

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4194304:
            raise too_long("Entry", offset, end - offset, 4194304)
        block: bytes = b""
        priority: int = 0
        cancel: bool = False
        want_type: int = 0
        send_dont_have: bool = False
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Entry")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Entry")
                stop = offset + length
                if stop > end:
                    raise past_end(_ENTRY_FIELDS, tag, length, offset, "Entry")
                if tag == 10:
                    block = data[offset:stop]
                offset = stop
            elif tag == 16:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Entry.priority")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                priority = number
            elif tag == 24:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Entry.cancel")
                cancel = number != 0
            elif tag == 32:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Entry.want_type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                want_type = number
            elif tag == 40:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Entry.send_dont_have")
                send_dont_have = number != 0
            else:
                offset = skip_field(data, tag, offset, end, "Entry")
        return cls(block, priority, cancel, want_type, send_dont_have)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        block = self.block
        if block:
            size = len(block)
            if size > 4194304:
                raise refused_size("Entry.block", size, 4194304)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), block)
        priority = self.priority
        if priority:
            if not -2147483648 <= priority <= 2147483647:
                raise refused_number("Entry.priority", priority, -2147483648, 2147483647)
            out += (b"\x10", encode_varint(priority & 0xFFFFFFFFFFFFFFFF))
        cancel = self.cancel
        if cancel:
            out += (b"\x18", b"\x01" if cancel else b"\x00")
        want_type = self.want_type
        if want_type:
            if not -2147483648 <= want_type <= 2147483647:
                raise refused_number("Entry.want_type", want_type, -2147483648, 2147483647)
            out += (b"\x20", encode_varint(want_type & 0xFFFFFFFFFFFFFFFF))
        send_dont_have = self.send_dont_have
        if send_dont_have:
            out += (b"\x28", b"\x01" if send_dont_have else b"\x00")
        encoded = b"".join(out)
        if len(encoded) > 4194304:
            raise refused_size("Entry", len(encoded), 4194304)
        return encoded


_WANTLIST_FIELDS = {
    10: ("Wantlist.entries", 4194304),
}


class Wantlist(Record):
    """What the sender wants now.

    full: it replaces all wants before
    """

    __slots__ = ("entries", "full")

    MAX_BYTES = 4194304

    def __init__(self, entries: list[Entry] | None = None, full: bool = False) -> None:
        self.entries = [] if entries is None else entries
        self.full = full

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4194304:
            raise too_long("Wantlist", offset, end - offset, 4194304)
        entries: list[Entry] = []
        full: bool = False
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Wantlist")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Wantlist")
                stop = offset + length
                if stop > end:
                    raise past_end(_WANTLIST_FIELDS, tag, length, offset, "Wantlist")
                if tag == 10:
                    if len(entries) >= 16384:
                        raise Malformed("Wantlist.entries", offset, "more than 16384")
                    try:
                        entries.append(Entry._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                offset = stop
            elif tag == 16:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Wantlist.full")
                full = number != 0
            else:
                offset = skip_field(data, tag, offset, end, "Wantlist")
        return cls(entries, full)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.entries) > 16384:
            raise refused_count("Wantlist.entries", len(self.entries), 16384)
        for entries_item in self.entries:
            content = entries_item.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        full = self.full
        if full:
            out += (b"\x10", b"\x01" if full else b"\x00")
        encoded = b"".join(out)
        if len(encoded) > 4194304:
            raise refused_size("Wantlist", len(encoded), 4194304)
        return encoded


_BLOCK_FIELDS = {
    10: ("Block.prefix", 40),
    18: ("Block.data", 2097152),
}


class Block(Record):
    """A block; its CID is computed from it.

    prefix: the CID without the digest
    """

    __slots__ = ("prefix", "data")

    MAX_BYTES = 2097208

    def __init__(self, prefix: bytes = b"", data: bytes = b"") -> None:
        self.prefix = prefix
        self.data = data

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 2097208:
            raise too_long("Block", offset, end - offset, 2097208)
        prefix: bytes = b""
        data_: bytes = b""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Block")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Block")
                stop = offset + length
                if stop > end:
                    raise past_end(_BLOCK_FIELDS, tag, length, offset, "Block")
                if tag == 10:
                    if length > 40:
                        raise too_long("Block.prefix", offset, length, 40)
                    prefix = data[offset:stop]
                elif tag == 18:
                    if length > 2097152:
                        raise too_long("Block.data", offset, length, 2097152)
                    data_ = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Block")
        return cls(prefix, data_)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        prefix = self.prefix
        if prefix:
            size = len(prefix)
            if size > 40:
                raise refused_size("Block.prefix", size, 40)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), prefix)
        data = self.data
        if data:
            size = len(data)
            if size > 2097152:
                raise refused_size("Block.data", size, 2097152)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), data)
        encoded = b"".join(out)
        if len(encoded) > 2097208:
            raise refused_size("Block", len(encoded), 2097208)
        return encoded


_BLOCK_PRESENCE_FIELDS = {
    10: ("BlockPresence.cid", 168),
}


class BlockPresence(Record):
    """That the sender has a block, or has not."""

    __slots__ = ("cid", "type")

    MAX_BYTES = 200

    def __init__(self, cid: bytes = b"", type: int = 0) -> None:
        self.cid = cid
        self.type = type

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 200:
            raise too_long("BlockPresence", offset, end - offset, 200)
        cid: bytes = b""
        type: int = 0
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "BlockPresence")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "BlockPresence")
                stop = offset + length
                if stop > end:
                    raise past_end(_BLOCK_PRESENCE_FIELDS, tag, length, offset, "BlockPresence")
                if tag == 10:
                    if length > 168:
                        raise too_long("BlockPresence.cid", offset, length, 168)
                    cid = data[offset:stop]
                offset = stop
            elif tag == 16:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "BlockPresence.type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                type = number
            else:
                offset = skip_field(data, tag, offset, end, "BlockPresence")
        return cls(cid, type)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        cid = self.cid
        if cid:
            size = len(cid)
            if size > 168:
                raise refused_size("BlockPresence.cid", size, 168)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), cid)
        type = self.type
        if type:
            if not -2147483648 <= type <= 2147483647:
                raise refused_number("BlockPresence.type", type, -2147483648, 2147483647)
            out += (b"\x10", encode_varint(type & 0xFFFFFFFFFFFFFFFF))
        encoded = b"".join(out)
        if len(encoded) > 200:
            raise refused_size("BlockPresence", len(encoded), 200)
        return encoded


_MESSAGE_FIELDS = {
    10: ("Message.wantlist", 4194304),
    18: ("Message.blocks", 2097152),
    26: ("Message.payload", 2097208),
    34: ("Message.block_presences", 200),
}


class Message(Record):
    """Wants, blocks and presences, all at once.

    wantlist: go writes it even if it is empty

    blocks: 1.0.0: of CIDs of version 0

    pending_bytes: of blocks still queued for the receiver
    """

    __slots__ = ("wantlist", "blocks", "payload", "block_presences", "pending_bytes")

    MAX_BYTES = 4194304

    def __init__(
        self,
        wantlist: Wantlist | None = None,
        blocks: list[bytes] | None = None,
        payload: list[Block] | None = None,
        block_presences: list[BlockPresence] | None = None,
        pending_bytes: int = 0,
    ) -> None:
        self.wantlist = wantlist
        self.blocks = [] if blocks is None else blocks
        self.payload = [] if payload is None else payload
        self.block_presences = [] if block_presences is None else block_presences
        self.pending_bytes = pending_bytes

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4194304:
            raise too_long("Message", offset, end - offset, 4194304)
        wantlist_spans: list[tuple[int, int]] = []
        blocks: list[bytes] = []
        payload: list[Block] = []
        block_presences: list[BlockPresence] = []
        pending_bytes: int = 0
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Message")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Message")
                stop = offset + length
                if stop > end:
                    raise past_end(_MESSAGE_FIELDS, tag, length, offset, "Message")
                if tag == 10:
                    wantlist_spans.append((offset, stop))
                elif tag == 18:
                    if length > 2097152:
                        raise too_long("Message.blocks", offset, length, 2097152)
                    if len(blocks) >= 16384:
                        raise Malformed("Message.blocks", offset, "more than 16384")
                    blocks.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 18 and data[stop + 1] == first:
                        stop = take_run(blocks, data, stop, end, 18, length, 16384)
                elif tag == 26:
                    if length > 2097208:
                        raise too_long("Message.payload", offset, length, 2097208)
                    if len(payload) >= 16384:
                        raise Malformed("Message.payload", offset, "more than 16384")
                    try:
                        payload.append(Block._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 34:
                    if length > 200:
                        raise too_long("Message.block_presences", offset, length, 200)
                    if len(block_presences) >= 16384:
                        raise Malformed("Message.block_presences", offset, "more than 16384")
                    try:
                        block_presences.append(BlockPresence._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                offset = stop
            elif tag == 40:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Message.pending_bytes")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                pending_bytes = number
            else:
                offset = skip_field(data, tag, offset, end, "Message")
        wantlist: Wantlist | None = None
        if wantlist_spans:
            try:
                region = joined(data, wantlist_spans, 4194304, "Message.wantlist")
                wantlist = Wantlist._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(wantlist, blocks, payload, block_presences, pending_bytes)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        wantlist = self.wantlist
        if wantlist is not None:
            content = wantlist.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.blocks) > 16384:
            raise refused_count("Message.blocks", len(self.blocks), 16384)
        put_run(out, b"\x12", self.blocks, 2097152, "Message.blocks")
        if len(self.payload) > 16384:
            raise refused_count("Message.payload", len(self.payload), 16384)
        for payload_item in self.payload:
            content = payload_item.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.block_presences) > 16384:
            raise refused_count("Message.block_presences", len(self.block_presences), 16384)
        for block_presences_item in self.block_presences:
            content = block_presences_item.encode()
            size = len(content)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        pending_bytes = self.pending_bytes
        if pending_bytes:
            if not -2147483648 <= pending_bytes <= 2147483647:
                raise refused_number("Message.pending_bytes", pending_bytes, -2147483648, 2147483647)
            out += (b"\x28", encode_varint(pending_bytes & 0xFFFFFFFFFFFFFFFF))
        encoded = b"".join(out)
        if len(encoded) > 4194304:
            raise refused_size("Message", len(encoded), 4194304)
        return encoded
