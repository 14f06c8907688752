# GENERATED from protocol_specs/autonat.py by tools.spec_compiler; do not edit.
# Schema 979fa7acc4ee89bf
"""AutoNAT messages of both versions.

Specification: libp2p/specs autonat/autonat-v1.md, autonat/autonat-v2.md.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    crossing,
    encode_text,
    encode_varint,
    joined,
    past_end,
    put_run,
    read_tag,
    read_varint,
    refused,
    refused_count,
    refused_number,
    refused_size,
    skip_field,
    take_run,
    too_long,
)
from mesh.errors import Malformed, Truncated

MAX_V1_BYTES = 4096
MAX_V2_BYTES = 8192
MAX_DIAL_BACK_BYTES = 1024
_U64_LE = struct.Struct("<Q")


class TypeV1(IntEnum):
    """What a message of version 1 is."""

    DIAL = 0
    DIAL_RESPONSE = 1


_TYPE_V1 = {int(member): member for member in TypeV1}


class StatusV1(IntEnum):
    """How a request of version 1 went. Other numbers are kept: they say as little as an internal error."""

    OK = 0
    E_DIAL_ERROR = 100
    E_DIAL_REFUSED = 101
    E_BAD_REQUEST = 200
    E_INTERNAL_ERROR = 300


class ResponseStatus(IntEnum):
    """Whether the server took the request: rejected for its load, refused for the addresses."""

    E_INTERNAL_ERROR = 0
    E_REQUEST_REJECTED = 100
    E_DIAL_REFUSED = 101
    OK = 200


class DialStatus(IntEnum):
    """How the dial went; a dial-back error is a connection on which the nonce could not be told."""

    UNUSED = 0
    E_DIAL_ERROR = 100
    E_DIAL_BACK_ERROR = 101
    OK = 200


class DialBackStatus(IntEnum):
    """The client's answer to a nonce."""

    OK = 0


_PEER_V1_FIELDS = {
    10: ("PeerV1.id", 4096),
    18: ("PeerV1.addrs", 4096),
}


class PeerV1(Record):
    """Who asks, and the multiaddrs it wants to be dialled at.

    id: the multihash of a peer id
    """

    __slots__ = ("id", "addrs")

    MAX_BYTES = 4096

    def __init__(self, id: bytes | None = None, addrs: list[bytes] | None = None) -> None:
        self.id = id
        self.addrs = [] if addrs is None else addrs

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4096:
            raise too_long("PeerV1", offset, end - offset, 4096)
        id: bytes | None = None
        addrs: list[bytes] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "PeerV1")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "PeerV1")
                stop = offset + length
                if stop > end:
                    raise past_end(_PEER_V1_FIELDS, tag, length, offset, "PeerV1")
                if tag == 10:
                    id = data[offset:stop]
                elif tag == 18:
                    if len(addrs) >= 1024:
                        raise Malformed("PeerV1.addrs", offset, "more than 1024")
                    addrs.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 18 and data[stop + 1] == first:
                        stop = take_run(addrs, data, stop, end, 18, length, 1024)
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "PeerV1")
        return cls(id, addrs)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        id = self.id
        if id is not None:
            size = len(id)
            if size > 4096:
                raise refused_size("PeerV1.id", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), id)
        if len(self.addrs) > 1024:
            raise refused_count("PeerV1.addrs", len(self.addrs), 1024)
        put_run(out, b"\x12", self.addrs, 4096, "PeerV1.addrs")
        encoded = b"".join(out)
        if len(encoded) > 4096:
            raise refused_size("PeerV1", len(encoded), 4096)
        return encoded


_DIAL_V1_FIELDS = {
    10: ("DialV1.peer", 4096),
}


class DialV1(Record):
    """The request."""

    __slots__ = ("peer",)

    MAX_BYTES = 4096

    def __init__(self, peer: PeerV1 | None = None) -> None:
        self.peer = peer

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4096:
            raise too_long("DialV1", offset, end - offset, 4096)
        peer_spans: list[tuple[int, int]] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "DialV1")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "DialV1")
                stop = offset + length
                if stop > end:
                    raise past_end(_DIAL_V1_FIELDS, tag, length, offset, "DialV1")
                if tag == 10:
                    peer_spans.append((offset, stop))
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "DialV1")
        peer: PeerV1 | None = None
        if peer_spans:
            try:
                region = joined(data, peer_spans, 4096, "DialV1.peer")
                peer = PeerV1._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(peer)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        peer = self.peer
        if peer is not None:
            content = peer.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 4096:
            raise refused_size("DialV1", len(encoded), 4096)
        return encoded


_DIAL_RESPONSE_V1_FIELDS = {
    18: ("DialResponseV1.status_text", 4096),
    26: ("DialResponseV1.addr", 4096),
}


class DialResponseV1(Record):
    """The answer.

    addr: the multiaddr at which the peer was reached
    """

    __slots__ = ("status", "status_text", "addr")

    MAX_BYTES = 4096

    def __init__(
        self,
        status: int | None = None,
        status_text: str | None = None,
        addr: bytes | None = None,
    ) -> None:
        self.status = status
        self.status_text = status_text
        self.addr = addr

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4096:
            raise too_long("DialResponseV1", offset, end - offset, 4096)
        status: int | None = None
        status_text: str | None = None
        addr: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "DialResponseV1")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "DialResponseV1")
                stop = offset + length
                if stop > end:
                    raise past_end(_DIAL_RESPONSE_V1_FIELDS, tag, length, offset, "DialResponseV1")
                if tag == 18:
                    try:
                        status_text = data[offset:stop].decode()
                    except UnicodeDecodeError:
                        raise Malformed("DialResponseV1.status_text", offset, "not UTF-8") from None
                elif tag == 26:
                    addr = data[offset:stop]
                offset = stop
            elif tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "DialResponseV1.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            else:
                offset = skip_field(data, tag, offset, end, "DialResponseV1")
        return cls(status, status_text, addr)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        status = self.status
        if status is not None:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("DialResponseV1.status", status, -2147483648, 2147483647)
            out += (b"\x08", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        status_text = self.status_text
        if status_text is not None:
            content = encode_text(status_text, "DialResponseV1.status_text")
            size = len(content)
            if size > 4096:
                raise refused_size("DialResponseV1.status_text", size, 4096)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        addr = self.addr
        if addr is not None:
            size = len(addr)
            if size > 4096:
                raise refused_size("DialResponseV1.addr", size, 4096)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), addr)
        encoded = b"".join(out)
        if len(encoded) > 4096:
            raise refused_size("DialResponseV1", len(encoded), 4096)
        return encoded


_MESSAGE_V1_FIELDS = {
    18: ("MessageV1.dial", 4096),
    26: ("MessageV1.dial_response", 4096),
}


class MessageV1(Record):
    """Either way on a stream of version 1.

    type: 0 is written too
    """

    __slots__ = ("type", "dial", "dial_response")

    MAX_BYTES = 4096

    def __init__(
        self,
        type: TypeV1 | None = None,
        dial: DialV1 | None = None,
        dial_response: DialResponseV1 | None = None,
    ) -> None:
        self.type = type
        self.dial = dial
        self.dial_response = dial_response

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4096:
            raise too_long("MessageV1", offset, end - offset, 4096)
        type: TypeV1 | None = None
        dial_spans: list[tuple[int, int]] = []
        dial_response_spans: list[tuple[int, int]] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "MessageV1")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "MessageV1")
                stop = offset + length
                if stop > end:
                    raise past_end(_MESSAGE_V1_FIELDS, tag, length, offset, "MessageV1")
                if tag == 18:
                    dial_spans.append((offset, stop))
                elif tag == 26:
                    dial_response_spans.append((offset, stop))
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "MessageV1.type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _TYPE_V1:
                    raise Malformed("MessageV1.type", start, f"{number} is no TypeV1")
                type = _TYPE_V1[number]
            else:
                offset = skip_field(data, tag, offset, end, "MessageV1")
        dial: DialV1 | None = None
        if dial_spans:
            try:
                region = joined(data, dial_spans, 4096, "MessageV1.dial")
                dial = DialV1._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        dial_response: DialResponseV1 | None = None
        if dial_response_spans:
            try:
                region = joined(data, dial_response_spans, 4096, "MessageV1.dial_response")
                dial_response = DialResponseV1._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(type, dial, dial_response)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        type = self.type
        if type is not None:
            if type not in _TYPE_V1:
                raise refused("MessageV1.type", f"{type} is no TypeV1")
            out += (b"\x08", ONE_BYTE[type] if type < 128 else encode_varint(type))
        dial = self.dial
        if dial is not None:
            content = dial.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        dial_response = self.dial_response
        if dial_response is not None:
            content = dial_response.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 4096:
            raise refused_size("MessageV1", len(encoded), 4096)
        return encoded


_DIAL_REQUEST_FIELDS = {
    10: ("DialRequest.addrs", 8192),
}


class DialRequest(Record):
    """Multiaddrs in order of liking, of which the server dials one, and what it has to tell there."""

    __slots__ = ("addrs", "nonce")

    MAX_BYTES = 8192

    def __init__(self, addrs: list[bytes] | None = None, nonce: int = 0) -> None:
        self.addrs = [] if addrs is None else addrs
        self.nonce = nonce

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 8192:
            raise too_long("DialRequest", offset, end - offset, 8192)
        addrs: list[bytes] = []
        nonce: int = 0
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "DialRequest")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "DialRequest")
                stop = offset + length
                if stop > end:
                    raise past_end(_DIAL_REQUEST_FIELDS, tag, length, offset, "DialRequest")
                if tag == 10:
                    if len(addrs) >= 1024:
                        raise Malformed("DialRequest.addrs", offset, "more than 1024")
                    addrs.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 10 and data[stop + 1] == first:
                        stop = take_run(addrs, data, stop, end, 10, length, 1024)
                offset = stop
            elif tag == 17:
                if offset + 8 > end:
                    raise Truncated("DialRequest.nonce", offset)
                (number,) = _U64_LE.unpack_from(data, offset)
                offset += 8
                nonce = number
            else:
                offset = skip_field(data, tag, offset, end, "DialRequest")
        return cls(addrs, nonce)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        if len(self.addrs) > 1024:
            raise refused_count("DialRequest.addrs", len(self.addrs), 1024)
        put_run(out, b"\x0a", self.addrs, 8192, "DialRequest.addrs")
        nonce = self.nonce
        if nonce:
            if not 0 <= nonce <= 0xFFFFFFFFFFFFFFFF:
                raise refused_number("DialRequest.nonce", nonce, 0, 0xFFFFFFFFFFFFFFFF)
            out += (b"\x11", _U64_LE.pack(nonce))
        encoded = b"".join(out)
        if len(encoded) > 8192:
            raise refused_size("DialRequest", len(encoded), 8192)
        return encoded


class DialResponse(Record):
    """How it went with the address at that place of the request."""

    __slots__ = ("status", "addr_idx", "dial_status")

    MAX_BYTES = 8192

    def __init__(self, status: int = 0, addr_idx: int = 0, dial_status: int = 0) -> None:
        self.status = status
        self.addr_idx = addr_idx
        self.dial_status = dial_status

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 8192:
            raise too_long("DialResponse", offset, end - offset, 8192)
        status: int = 0
        addr_idx: int = 0
        dial_status: int = 0
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "DialResponse")
            if tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "DialResponse.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            elif tag == 16:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "DialResponse.addr_idx")
                number &= 0xFFFFFFFF
                addr_idx = number
            elif tag == 24:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "DialResponse.dial_status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                dial_status = number
            else:
                offset = skip_field(data, tag, offset, end, "DialResponse")
        return cls(status, addr_idx, dial_status)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        status = self.status
        if status:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("DialResponse.status", status, -2147483648, 2147483647)
            out += (b"\x08", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        addr_idx = self.addr_idx
        if addr_idx:
            if not 0 <= addr_idx <= 0xFFFFFFFF:
                raise refused_number("DialResponse.addr_idx", addr_idx, 0, 0xFFFFFFFF)
            out += (b"\x10", ONE_BYTE[addr_idx] if addr_idx < 128 else encode_varint(addr_idx))
        dial_status = self.dial_status
        if dial_status:
            if not -2147483648 <= dial_status <= 2147483647:
                raise refused_number("DialResponse.dial_status", dial_status, -2147483648, 2147483647)
            out += (b"\x18", encode_varint(dial_status & 0xFFFFFFFFFFFFFFFF))
        encoded = b"".join(out)
        if len(encoded) > 8192:
            raise refused_size("DialResponse", len(encoded), 8192)
        return encoded


class DialDataRequest(Record):
    """The price of a dial to a host other than the asker's: so many bytes first."""

    __slots__ = ("addr_idx", "num_bytes")

    MAX_BYTES = 8192

    def __init__(self, addr_idx: int = 0, num_bytes: int = 0) -> None:
        self.addr_idx = addr_idx
        self.num_bytes = num_bytes

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 8192:
            raise too_long("DialDataRequest", offset, end - offset, 8192)
        addr_idx: int = 0
        num_bytes: int = 0
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "DialDataRequest")
            if tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "DialDataRequest.addr_idx")
                number &= 0xFFFFFFFF
                addr_idx = number
            elif tag == 16:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "DialDataRequest.num_bytes")
                num_bytes = number
            else:
                offset = skip_field(data, tag, offset, end, "DialDataRequest")
        return cls(addr_idx, num_bytes)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        addr_idx = self.addr_idx
        if addr_idx:
            if not 0 <= addr_idx <= 0xFFFFFFFF:
                raise refused_number("DialDataRequest.addr_idx", addr_idx, 0, 0xFFFFFFFF)
            out += (b"\x08", ONE_BYTE[addr_idx] if addr_idx < 128 else encode_varint(addr_idx))
        num_bytes = self.num_bytes
        if num_bytes:
            if not 0 <= num_bytes <= 0xFFFFFFFFFFFFFFFF:
                raise refused_number("DialDataRequest.num_bytes", num_bytes, 0, 0xFFFFFFFFFFFFFFFF)
            out += (b"\x10", ONE_BYTE[num_bytes] if num_bytes < 128 else encode_varint(num_bytes))
        encoded = b"".join(out)
        if len(encoded) > 8192:
            raise refused_size("DialDataRequest", len(encoded), 8192)
        return encoded


_DIAL_DATA_RESPONSE_FIELDS = {
    10: ("DialDataResponse.data", 8192),
}


class DialDataResponse(Record):
    """A part of the price, of at most 4096 bytes."""

    __slots__ = ("data",)

    MAX_BYTES = 8192

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 8192:
            raise too_long("DialDataResponse", offset, end - offset, 8192)
        data_: bytes = b""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "DialDataResponse")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "DialDataResponse")
                stop = offset + length
                if stop > end:
                    raise past_end(_DIAL_DATA_RESPONSE_FIELDS, tag, length, offset, "DialDataResponse")
                if tag == 10:
                    data_ = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "DialDataResponse")
        return cls(data_)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        data = self.data
        if data:
            size = len(data)
            if size > 8192:
                raise refused_size("DialDataResponse.data", size, 8192)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), data)
        encoded = b"".join(out)
        if len(encoded) > 8192:
            raise refused_size("DialDataResponse", len(encoded), 8192)
        return encoded


_MESSAGE_V2_FIELDS = {
    10: ("MessageV2.dial_request", 8192),
    18: ("MessageV2.dial_response", 8192),
    26: ("MessageV2.dial_data_request", 8192),
    34: ("MessageV2.dial_data_response", 8192),
}


class MessageV2(Record):
    """Either way on a stream of version 2; one of the four."""

    __slots__ = ("dial_request", "dial_response", "dial_data_request", "dial_data_response")

    MAX_BYTES = 8192

    def __init__(
        self,
        dial_request: DialRequest | None = None,
        dial_response: DialResponse | None = None,
        dial_data_request: DialDataRequest | None = None,
        dial_data_response: DialDataResponse | None = None,
    ) -> None:
        self.dial_request = dial_request
        self.dial_response = dial_response
        self.dial_data_request = dial_data_request
        self.dial_data_response = dial_data_response

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 8192:
            raise too_long("MessageV2", offset, end - offset, 8192)
        dial_request_spans: list[tuple[int, int]] = []
        dial_response_spans: list[tuple[int, int]] = []
        dial_data_request_spans: list[tuple[int, int]] = []
        dial_data_response_spans: list[tuple[int, int]] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "MessageV2")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "MessageV2")
                stop = offset + length
                if stop > end:
                    raise past_end(_MESSAGE_V2_FIELDS, tag, length, offset, "MessageV2")
                if tag == 10:
                    dial_request_spans.append((offset, stop))
                elif tag == 18:
                    dial_response_spans.append((offset, stop))
                elif tag == 26:
                    dial_data_request_spans.append((offset, stop))
                elif tag == 34:
                    dial_data_response_spans.append((offset, stop))
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "MessageV2")
        dial_request: DialRequest | None = None
        if dial_request_spans:
            try:
                region = joined(data, dial_request_spans, 8192, "MessageV2.dial_request")
                dial_request = DialRequest._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        dial_response: DialResponse | None = None
        if dial_response_spans:
            try:
                region = joined(data, dial_response_spans, 8192, "MessageV2.dial_response")
                dial_response = DialResponse._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        dial_data_request: DialDataRequest | None = None
        if dial_data_request_spans:
            try:
                region = joined(data, dial_data_request_spans, 8192, "MessageV2.dial_data_request")
                dial_data_request = DialDataRequest._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        dial_data_response: DialDataResponse | None = None
        if dial_data_response_spans:
            try:
                region = joined(data, dial_data_response_spans, 8192, "MessageV2.dial_data_response")
                dial_data_response = DialDataResponse._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(dial_request, dial_response, dial_data_request, dial_data_response)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        dial_request = self.dial_request
        if dial_request is not None:
            content = dial_request.encode()
            size = len(content)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        dial_response = self.dial_response
        if dial_response is not None:
            content = dial_response.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        dial_data_request = self.dial_data_request
        if dial_data_request is not None:
            content = dial_data_request.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        dial_data_response = self.dial_data_response
        if dial_data_response is not None:
            content = dial_data_response.encode()
            size = len(content)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 8192:
            raise refused_size("MessageV2", len(encoded), 8192)
        return encoded


class DialBack(Record):
    """What the server tells on the connection that it dialled."""

    __slots__ = ("nonce",)

    MAX_BYTES = 1024

    def __init__(self, nonce: int = 0) -> None:
        self.nonce = nonce

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1024:
            raise too_long("DialBack", offset, end - offset, 1024)
        nonce: int = 0
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "DialBack")
            if tag == 9:
                if offset + 8 > end:
                    raise Truncated("DialBack.nonce", offset)
                (number,) = _U64_LE.unpack_from(data, offset)
                offset += 8
                nonce = number
            else:
                offset = skip_field(data, tag, offset, end, "DialBack")
        return cls(nonce)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        nonce = self.nonce
        if nonce:
            if not 0 <= nonce <= 0xFFFFFFFFFFFFFFFF:
                raise refused_number("DialBack.nonce", nonce, 0, 0xFFFFFFFFFFFFFFFF)
            out += (b"\x09", _U64_LE.pack(nonce))
        encoded = b"".join(out)
        if len(encoded) > 1024:
            raise refused_size("DialBack", len(encoded), 1024)
        return encoded


class DialBackResponse(Record):
    """That the nonce has come."""

    __slots__ = ("status",)

    MAX_BYTES = 1024

    def __init__(self, status: int = 0) -> None:
        self.status = status

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 1024:
            raise too_long("DialBackResponse", offset, end - offset, 1024)
        status: int = 0
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "DialBackResponse")
            if tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "DialBackResponse.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            else:
                offset = skip_field(data, tag, offset, end, "DialBackResponse")
        return cls(status)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        status = self.status
        if status:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("DialBackResponse.status", status, -2147483648, 2147483647)
            out += (b"\x08", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        encoded = b"".join(out)
        if len(encoded) > 1024:
            raise refused_size("DialBackResponse", len(encoded), 1024)
        return encoded
