# GENERATED from protocol_specs/pex.py by tools.spec_compiler; do not edit.
# Schema a59328ca41b834a5
"""Peer exchange: signed records of peers that agreed to be passed on.

Specification: this project: protocol_specs/pex.py.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    encode_varint,
    past_end,
    put_run,
    read_tag,
    read_varint,
    refused_count,
    refused_number,
    refused_size,
    skip_field,
    too_long,
)
from mesh.errors import Malformed

MAX_RECORDS = 50
MAX_RECORD_BYTES = 8192
MAX_REQUEST_BYTES = 8256
MAX_ANSWER_BYTES = 410064


class Status(IntEnum):
    """How it went: TOO_SOON when the peer, or everybody together, asks too often. Other numbers are refusals too."""

    OK = 0
    TOO_SOON = 1


_REQUEST_FIELDS = {
    18: ("Request.record", 8192),
}


class Request(Record):
    """Asks for peers. One request a stream.

    limit: most records wanted; absent or 0 for as many as there may be

    record: the sender's own signed record: it agrees to be passed on; without one it is forgotten
    """

    __slots__ = ("limit", "record")

    MAX_BYTES = 8256

    def __init__(self, limit: int | None = None, record: bytes | None = None) -> None:
        self.limit = limit
        self.record = record

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 8256:
            raise too_long("Request", offset, end - offset, 8256)
        limit: int | None = None
        record: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Request")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Request")
                stop = offset + length
                if stop > end:
                    raise past_end(_REQUEST_FIELDS, tag, length, offset, "Request")
                if tag == 18:
                    if length > 8192:
                        raise too_long("Request.record", offset, length, 8192)
                    record = data[offset:stop]
                offset = stop
            elif tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Request.limit")
                number &= 0xFFFFFFFF
                limit = number
            else:
                offset = skip_field(data, tag, offset, end, "Request")
        return cls(limit, record)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        limit = self.limit
        if limit is not None:
            if not 0 <= limit <= 0xFFFFFFFF:
                raise refused_number("Request.limit", limit, 0, 0xFFFFFFFF)
            out += (b"\x08", ONE_BYTE[limit] if limit < 128 else encode_varint(limit))
        record = self.record
        if record is not None:
            size = len(record)
            if size > 8192:
                raise refused_size("Request.record", size, 8192)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), record)
        encoded = b"".join(out)
        if len(encoded) > 8256:
            raise refused_size("Request", len(encoded), 8256)
        return encoded


_ANSWER_FIELDS = {
    18: ("Answer.records", 8192),
}


class Answer(Record):
    """Peers that the sender met lately and that agreed.

    records: each an Envelope around a PeerRecord, a random choice

    retry_after_s: seconds after which asking again makes sense
    """

    __slots__ = ("status", "records", "retry_after_s")

    MAX_BYTES = 410064

    def __init__(
        self,
        status: int | None = None,
        records: list[bytes] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        self.status = status
        self.records = [] if records is None else records
        self.retry_after_s = retry_after_s

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 410064:
            raise too_long("Answer", offset, end - offset, 410064)
        status: int | None = None
        records: list[bytes] = []
        retry_after_s: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Answer")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Answer")
                stop = offset + length
                if stop > end:
                    raise past_end(_ANSWER_FIELDS, tag, length, offset, "Answer")
                if tag == 18:
                    if length > 8192:
                        raise too_long("Answer.records", offset, length, 8192)
                    if len(records) >= 50:
                        raise Malformed("Answer.records", offset, "more than 50")
                    records.append(data[offset:stop])
                offset = stop
            elif tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Answer.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            elif tag == 24:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Answer.retry_after_s")
                number &= 0xFFFFFFFF
                retry_after_s = number
            else:
                offset = skip_field(data, tag, offset, end, "Answer")
        return cls(status, records, retry_after_s)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        status = self.status
        if status is not None:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("Answer.status", status, -2147483648, 2147483647)
            out += (b"\x08", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        if len(self.records) > 50:
            raise refused_count("Answer.records", len(self.records), 50)
        put_run(out, b"\x12", self.records, 8192, "Answer.records")
        retry_after_s = self.retry_after_s
        if retry_after_s is not None:
            if not 0 <= retry_after_s <= 0xFFFFFFFF:
                raise refused_number("Answer.retry_after_s", retry_after_s, 0, 0xFFFFFFFF)
            out += (b"\x18", ONE_BYTE[retry_after_s] if retry_after_s < 128 else encode_varint(retry_after_s))
        encoded = b"".join(out)
        if len(encoded) > 410064:
            raise refused_size("Answer", len(encoded), 410064)
        return encoded
