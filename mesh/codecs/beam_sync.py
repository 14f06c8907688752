# GENERATED from protocol_specs/beam_sync.py by tools.spec_compiler; do not edit.
# Schema b18df2e8d2a6222c
"""Beam's exchange of records between two nodes: marks of what is held, and what is missing.

Specification: this project: protocol_specs/beam_sync.py.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    crossing,
    encode_varint,
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

DIGEST_BYTES = 16
MAX_MARKS = 1024
MAX_RECORDS = 32
MAX_FRAME_BYTES = 131072


class SyncStatus(IntEnum):
    """TOO_SOON: for this peer. Other numbers are refusals, too."""

    OK = 0
    TOO_SOON = 1
    BUSY = 2


_MARK_FIELDS = {
    10: ("Mark.origin", 128),
    18: ("Mark.digest", 16),
}


class Mark(Record):
    """What is held of one peer.

    origin: who signed the records

    digest: of all of them
    """

    __slots__ = ("origin", "digest")

    MAX_BYTES = 152

    def __init__(self, origin: bytes, digest: bytes) -> None:
        self.origin = origin
        self.digest = digest

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 152:
            raise too_long("Mark", offset, end - offset, 152)
        origin: bytes | None = None
        digest: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Mark")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Mark")
                stop = offset + length
                if stop > end:
                    raise past_end(_MARK_FIELDS, tag, length, offset, "Mark")
                if tag == 10:
                    if length > 128:
                        raise too_long("Mark.origin", offset, length, 128)
                    origin = data[offset:stop]
                elif tag == 18:
                    if length > 16:
                        raise too_long("Mark.digest", offset, length, 16)
                    digest = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Mark")
        if origin is None:
            raise Malformed("Mark.origin", end, "a required field is missing")
        if digest is None:
            raise Malformed("Mark.digest", end, "a required field is missing")
        return cls(origin, digest)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        origin = self.origin
        size = len(origin)
        if size > 128:
            raise refused_size("Mark.origin", size, 128)
        out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), origin)
        digest = self.digest
        size = len(digest)
        if size > 16:
            raise refused_size("Mark.digest", size, 16)
        out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), digest)
        encoded = b"".join(out)
        if len(encoded) > 152:
            raise refused_size("Mark", len(encoded), 152)
        return encoded


_SYNC_FRAME_FIELDS = {
    10: ("SyncFrame.marks", 152),
    18: ("SyncFrame.wanted", 128),
    26: ("SyncFrame.records", 16384),
}


class SyncFrame(Record):
    """One message either way.

    wanted: peers whose records the sender lacks, or holds others of

    records: each of a service or a name, in its signed envelope

    final: nothing more follows from this side now
    """

    __slots__ = ("marks", "wanted", "records", "final", "status")

    MAX_BYTES = 131072

    def __init__(
        self,
        marks: list[Mark] | None = None,
        wanted: list[bytes] | None = None,
        records: list[bytes] | None = None,
        final: bool = False,
        status: int = 0,
    ) -> None:
        self.marks = [] if marks is None else marks
        self.wanted = [] if wanted is None else wanted
        self.records = [] if records is None else records
        self.final = final
        self.status = status

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 131072:
            raise too_long("SyncFrame", offset, end - offset, 131072)
        marks: list[Mark] = []
        wanted: list[bytes] = []
        records: list[bytes] = []
        final: bool = False
        status: int = 0
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "SyncFrame")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "SyncFrame")
                stop = offset + length
                if stop > end:
                    raise past_end(_SYNC_FRAME_FIELDS, tag, length, offset, "SyncFrame")
                if tag == 10:
                    if length > 152:
                        raise too_long("SyncFrame.marks", offset, length, 152)
                    if len(marks) >= 1024:
                        raise Malformed("SyncFrame.marks", offset, "more than 1024")
                    try:
                        marks.append(Mark._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 18:
                    if length > 128:
                        raise too_long("SyncFrame.wanted", offset, length, 128)
                    if len(wanted) >= 1024:
                        raise Malformed("SyncFrame.wanted", offset, "more than 1024")
                    wanted.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 18 and data[stop + 1] == first:
                        stop = take_run(wanted, data, stop, end, 18, length, 1024)
                elif tag == 26:
                    if length > 16384:
                        raise too_long("SyncFrame.records", offset, length, 16384)
                    if len(records) >= 32:
                        raise Malformed("SyncFrame.records", offset, "more than 32")
                    records.append(data[offset:stop])
                offset = stop
            elif tag == 32:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "SyncFrame.final")
                final = number != 0
            elif tag == 40:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "SyncFrame.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            else:
                offset = skip_field(data, tag, offset, end, "SyncFrame")
        return cls(marks, wanted, records, final, status)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.marks) > 1024:
            raise refused_count("SyncFrame.marks", len(self.marks), 1024)
        for marks_item in self.marks:
            content = marks_item.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        if len(self.wanted) > 1024:
            raise refused_count("SyncFrame.wanted", len(self.wanted), 1024)
        put_run(out, b"\x12", self.wanted, 128, "SyncFrame.wanted")
        if len(self.records) > 32:
            raise refused_count("SyncFrame.records", len(self.records), 32)
        put_run(out, b"\x1a", self.records, 16384, "SyncFrame.records")
        final = self.final
        if final:
            out += (b"\x20", b"\x01" if final else b"\x00")
        status = self.status
        if status:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("SyncFrame.status", status, -2147483648, 2147483647)
            out += (b"\x28", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        encoded = b"".join(out)
        if len(encoded) > 131072:
            raise refused_size("SyncFrame", len(encoded), 131072)
        return encoded
