# GENERATED from protocol_specs/beam_route.py by tools.spec_compiler; do not edit.
# Schema 015c0dea1c50e09b
"""Beam's chains of forwarders: which peers are to pass yet, and what became of them.

Specification: this project: protocol_specs/beam_route.py.
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

MAX_FORWARDERS = 3
MAX_REQUEST_BYTES = 409
MAX_ANSWER_BYTES = 64


class RouteStatus(IntEnum):
    """BAD_ROUTE: it comes back. NOT_CONNECTED: with the next peer. FAILED: further on. Others refuse, too."""

    OK = 0
    BAD_ROUTE = 1
    NOT_CONNECTED = 2
    BUSY = 3
    FAILED = 4


_ROUTE_REQUEST_FIELDS = {
    10: ("RouteRequest.hops", 128),
}


class RouteRequest(Record):
    """The first message of a stretch.

    hops: peer ids that are to pass yet, the destination last; none: it is the receiver
    """

    __slots__ = ("hops",)

    MAX_BYTES = 409

    def __init__(self, hops: list[bytes] | None = None) -> None:
        self.hops = [] if hops is None else hops

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 409:
            raise too_long("RouteRequest", offset, end - offset, 409)
        hops: list[bytes] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "RouteRequest")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "RouteRequest")
                stop = offset + length
                if stop > end:
                    raise past_end(_ROUTE_REQUEST_FIELDS, tag, length, offset, "RouteRequest")
                if tag == 10:
                    if length > 128:
                        raise too_long("RouteRequest.hops", offset, length, 128)
                    if len(hops) >= 3:
                        raise Malformed("RouteRequest.hops", offset, "more than 3")
                    hops.append(data[offset:stop])
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "RouteRequest")
        return cls(hops)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.hops) > 3:
            raise refused_count("RouteRequest.hops", len(self.hops), 3)
        put_run(out, b"\x0a", self.hops, 128, "RouteRequest.hops")
        encoded = b"".join(out)
        if len(encoded) > 409:
            raise refused_size("RouteRequest", len(encoded), 409)
        return encoded


class RouteAnswer(Record):
    """What became of all stretches from here on."""

    __slots__ = ("status",)

    MAX_BYTES = 64

    def __init__(self, status: int = 0) -> None:
        self.status = status

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 64:
            raise too_long("RouteAnswer", offset, end - offset, 64)
        status: int = 0
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "RouteAnswer")
            if tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "RouteAnswer.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            else:
                offset = skip_field(data, tag, offset, end, "RouteAnswer")
        return cls(status)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        status = self.status
        if status:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("RouteAnswer.status", status, -2147483648, 2147483647)
            out += (b"\x08", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        encoded = b"".join(out)
        if len(encoded) > 64:
            raise refused_size("RouteAnswer", len(encoded), 64)
        return encoded
