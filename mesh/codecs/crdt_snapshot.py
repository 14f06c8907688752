# GENERATED from protocol_specs/crdt_snapshot.py by tools.spec_compiler; do not edit.
# Schema 8ba724717c0c5090
"""Snapshots of replicas of a Merkle-CRDT.

Specification: this project: protocol_specs/crdt_snapshot.py.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    crossing,
    encode_text,
    encode_varint,
    past_end,
    read_tag,
    read_varint,
    refused_count,
    refused_number,
    refused_size,
    skip_field,
    too_long,
)
from mesh.errors import Malformed, Truncated

MAX_TOPIC_BYTES = 4096
NONCE_BYTES = 32
DIGEST_BYTES = 32
MAX_KEY_BYTES = 8192
MAX_ROW_BYTES = 2098176
MAX_ROWS = 4096
MAX_PART_BYTES = 4194304


class Status(IntEnum):
    """How it went: NOT_WHOLE while the replica itself lacks what its heads build on. Other numbers are refusals too."""

    OK = 0
    UNKNOWN_TOPIC = 1
    TOO_SOON = 2
    NOT_WHOLE = 3


_REQUEST_FIELDS = {
    10: ("Request.topic", 4096),
    18: ("Request.nonce", 32),
}


class Request(Record):
    """Asks for a snapshot. One request a stream.

    nonce: random: the answer's signature is over it
    """

    __slots__ = ("topic", "nonce")

    MAX_BYTES = 4144

    def __init__(self, topic: str | None = None, nonce: bytes | None = None) -> None:
        self.topic = topic
        self.nonce = nonce

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4144:
            raise too_long("Request", offset, end - offset, 4144)
        topic: str | None = None
        nonce: bytes | None = None
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
                if tag == 10:
                    if length > 4096:
                        raise too_long("Request.topic", offset, length, 4096)
                    try:
                        topic = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Request.topic", offset, "not UTF-8") from None
                elif tag == 18:
                    if length > 32:
                        raise too_long("Request.nonce", offset, length, 32)
                    nonce = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Request")
        return cls(topic, nonce)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        topic = self.topic
        if topic is not None:
            content = encode_text(topic, "Request.topic")
            size = len(content)
            if size > 4096:
                raise refused_size("Request.topic", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        nonce = self.nonce
        if nonce is not None:
            size = len(nonce)
            if size > 32:
                raise refused_size("Request.nonce", size, 32)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), nonce)
        encoded = b"".join(out)
        if len(encoded) > 4144:
            raise refused_size("Request", len(encoded), 4144)
        return encoded


_ROW_FIELDS = {
    10: ("Row.key", 8192),
    18: ("Row.value", 2098176),
}


class Row(Record):
    """One row of a replica.

    key: below the namespace: see mesh/protocols/crdt/layout.py
    """

    __slots__ = ("key", "value")

    MAX_BYTES = 2106384

    def __init__(self, key: bytes | None = None, value: bytes | None = None) -> None:
        self.key = key
        self.value = value

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 2106384:
            raise too_long("Row", offset, end - offset, 2106384)
        key: bytes | None = None
        value_: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Row")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Row")
                stop = offset + length
                if stop > end:
                    raise past_end(_ROW_FIELDS, tag, length, offset, "Row")
                if tag == 10:
                    if length > 8192:
                        raise too_long("Row.key", offset, length, 8192)
                    key = data[offset:stop]
                elif tag == 18:
                    if length > 2098176:
                        raise too_long("Row.value", offset, length, 2098176)
                    value_ = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Row")
        return cls(key, value_)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        key = self.key
        if key is not None:
            size = len(key)
            if size > 8192:
                raise refused_size("Row.key", size, 8192)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), key)
        value = self.value
        if value is not None:
            size = len(value)
            if size > 2098176:
                raise refused_size("Row.value", size, 2098176)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), value)
        encoded = b"".join(out)
        if len(encoded) > 2106384:
            raise refused_size("Row", len(encoded), 2106384)
        return encoded


_PART_FIELDS = {
    18: ("Part.rows", 2106384),
    26: ("Part.statement", 65536),
}


class Part(Record):
    """A piece of the answer.

    rows: in the order of their keys

    statement: of the last part: an Envelope around a Statement
    """

    __slots__ = ("status", "rows", "statement")

    MAX_BYTES = 4194304

    def __init__(
        self,
        status: int | None = None,
        rows: list[Row] | None = None,
        statement: bytes | None = None,
    ) -> None:
        self.status = status
        self.rows = [] if rows is None else rows
        self.statement = statement

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4194304:
            raise too_long("Part", offset, end - offset, 4194304)
        status: int | None = None
        rows: list[Row] = []
        statement: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Part")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Part")
                stop = offset + length
                if stop > end:
                    raise past_end(_PART_FIELDS, tag, length, offset, "Part")
                if tag == 18:
                    if length > 2106384:
                        raise too_long("Part.rows", offset, length, 2106384)
                    if len(rows) >= 4096:
                        raise Malformed("Part.rows", offset, "more than 4096")
                    try:
                        rows.append(Row._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                elif tag == 26:
                    if length > 65536:
                        raise too_long("Part.statement", offset, length, 65536)
                    statement = data[offset:stop]
                offset = stop
            elif tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Part.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            else:
                offset = skip_field(data, tag, offset, end, "Part")
        return cls(status, rows, statement)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        status = self.status
        if status is not None:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("Part.status", status, -2147483648, 2147483647)
            out += (b"\x08", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        if len(self.rows) > 4096:
            raise refused_count("Part.rows", len(self.rows), 4096)
        for rows_item in self.rows:
            content = rows_item.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        statement = self.statement
        if statement is not None:
            size = len(statement)
            if size > 65536:
                raise refused_size("Part.statement", size, 65536)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), statement)
        encoded = b"".join(out)
        if len(encoded) > 4194304:
            raise refused_size("Part", len(encoded), 4194304)
        return encoded


_STATEMENT_FIELDS = {
    10: ("Statement.topic", 4096),
    18: ("Statement.nonce", 32),
    34: ("Statement.digest", 32),
}


class Statement(Record):
    """What the sender vouches for: that merging the nodes below these heads gives just these rows.

    digest: SHA-256 over all rows: key and value, each after its length
    """

    __slots__ = ("topic", "nonce", "rows", "digest")

    MAX_BYTES = 4192

    def __init__(
        self,
        topic: str | None = None,
        nonce: bytes | None = None,
        rows: int | None = None,
        digest: bytes | None = None,
    ) -> None:
        self.topic = topic
        self.nonce = nonce
        self.rows = rows
        self.digest = digest

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4192:
            raise too_long("Statement", offset, end - offset, 4192)
        topic: str | None = None
        nonce: bytes | None = None
        rows: int | None = None
        digest: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Statement")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Statement")
                stop = offset + length
                if stop > end:
                    raise past_end(_STATEMENT_FIELDS, tag, length, offset, "Statement")
                if tag == 10:
                    if length > 4096:
                        raise too_long("Statement.topic", offset, length, 4096)
                    try:
                        topic = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("Statement.topic", offset, "not UTF-8") from None
                elif tag == 18:
                    if length > 32:
                        raise too_long("Statement.nonce", offset, length, 32)
                    nonce = data[offset:stop]
                elif tag == 34:
                    if length > 32:
                        raise too_long("Statement.digest", offset, length, 32)
                    digest = data[offset:stop]
                offset = stop
            elif tag == 24:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Statement.rows")
                rows = number
            else:
                offset = skip_field(data, tag, offset, end, "Statement")
        return cls(topic, nonce, rows, digest)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        topic = self.topic
        if topic is not None:
            content = encode_text(topic, "Statement.topic")
            size = len(content)
            if size > 4096:
                raise refused_size("Statement.topic", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        nonce = self.nonce
        if nonce is not None:
            size = len(nonce)
            if size > 32:
                raise refused_size("Statement.nonce", size, 32)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), nonce)
        rows = self.rows
        if rows is not None:
            if not 0 <= rows <= 0xFFFFFFFFFFFFFFFF:
                raise refused_number("Statement.rows", rows, 0, 0xFFFFFFFFFFFFFFFF)
            out += (b"\x18", ONE_BYTE[rows] if rows < 128 else encode_varint(rows))
        digest = self.digest
        if digest is not None:
            size = len(digest)
            if size > 32:
                raise refused_size("Statement.digest", size, 32)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), digest)
        encoded = b"".join(out)
        if len(encoded) > 4192:
            raise refused_size("Statement", len(encoded), 4192)
        return encoded
