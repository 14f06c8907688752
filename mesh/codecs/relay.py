# GENERATED from protocol_specs/relay.py by tools.spec_compiler; do not edit.
# Schema 078a22439958e5fb
"""Circuit relay v2: hop and stop messages, vouchers.

Specification: libp2p/specs relay/circuit-v2.md.
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
    outside,
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

MAX_MESSAGE_BYTES = 4096


class HopType(IntEnum):
    """What is asked of a relay, or its answer."""

    RESERVE = 0
    CONNECT = 1
    STATUS = 2


_HOP_TYPE = {int(member): member for member in HopType}


class StopType(IntEnum):
    """What a relay asks, or the answer to it."""

    CONNECT = 0
    STATUS = 1


_STOP_TYPE = {int(member): member for member in StopType}


class Status(IntEnum):
    """How a request went. Numbers of later versions are kept: anything but OK is a refusal."""

    UNUSED = 0
    OK = 100
    RESERVATION_REFUSED = 200
    RESOURCE_LIMIT_EXCEEDED = 201
    PERMISSION_DENIED = 202
    CONNECTION_FAILED = 203
    NO_RESERVATION = 204
    MALFORMED_MESSAGE = 400
    UNEXPECTED_MESSAGE = 401


_PEER_FIELDS = {
    10: ("Peer.id", 4096),
    18: ("Peer.addrs", 4096),
}


class Peer(Record):
    """Who is to be reached, or who asks.

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
            raise too_long("Peer", offset, end - offset, 4096)
        id: bytes | None = None
        addrs: list[bytes] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Peer")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Peer")
                stop = offset + length
                if stop > end:
                    raise past_end(_PEER_FIELDS, tag, length, offset, "Peer")
                if tag == 10:
                    id = data[offset:stop]
                elif tag == 18:
                    if len(addrs) >= 500:
                        raise Malformed("Peer.addrs", offset, "more than 500")
                    addrs.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 18 and data[stop + 1] == first:
                        stop = take_run(addrs, data, stop, end, 18, length, 500)
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "Peer")
        return cls(id, addrs)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        id = self.id
        if id is not None:
            size = len(id)
            if size > 4096:
                raise refused_size("Peer.id", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), id)
        if len(self.addrs) > 500:
            raise refused_count("Peer.addrs", len(self.addrs), 500)
        put_run(out, b"\x12", self.addrs, 4096, "Peer.addrs")
        encoded = b"".join(out)
        if len(encoded) > 4096:
            raise refused_size("Peer", len(encoded), 4096)
        return encoded


_RESERVATION_FIELDS = {
    18: ("Reservation.addrs", 4096),
    26: ("Reservation.voucher", 4096),
}


class Reservation(Record):
    """What a relay grants.

    expire: seconds of Unix time

    addrs: the relay's addresses that end in its id, without the circuit part

    voucher: an Envelope around a Voucher
    """

    __slots__ = ("expire", "addrs", "voucher")

    MAX_BYTES = 4096

    def __init__(
        self,
        expire: int | None = None,
        addrs: list[bytes] | None = None,
        voucher: bytes | None = None,
    ) -> None:
        self.expire = expire
        self.addrs = [] if addrs is None else addrs
        self.voucher = voucher

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4096:
            raise too_long("Reservation", offset, end - offset, 4096)
        expire: int | None = None
        addrs: list[bytes] = []
        voucher: bytes | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Reservation")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Reservation")
                stop = offset + length
                if stop > end:
                    raise past_end(_RESERVATION_FIELDS, tag, length, offset, "Reservation")
                if tag == 18:
                    if len(addrs) >= 500:
                        raise Malformed("Reservation.addrs", offset, "more than 500")
                    addrs.append(data[offset:stop])
                    first = length if length < 128 else length & 127 | 128
                    if length < 16384 and stop + 1 < end and data[stop] == 18 and data[stop + 1] == first:
                        stop = take_run(addrs, data, stop, end, 18, length, 500)
                elif tag == 26:
                    voucher = data[offset:stop]
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Reservation.expire")
                if not 0 <= number <= 0x7FFFFFFFFFFFFFFF:
                    raise outside("Reservation.expire", start, number, 0, 0x7FFFFFFFFFFFFFFF)
                expire = number
            else:
                offset = skip_field(data, tag, offset, end, "Reservation")
        return cls(expire, addrs, voucher)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        expire = self.expire
        if expire is not None:
            if not 0 <= expire <= 0x7FFFFFFFFFFFFFFF:
                raise refused_number("Reservation.expire", expire, 0, 0x7FFFFFFFFFFFFFFF)
            out += (b"\x08", ONE_BYTE[expire] if expire < 128 else encode_varint(expire))
        if len(self.addrs) > 500:
            raise refused_count("Reservation.addrs", len(self.addrs), 500)
        put_run(out, b"\x12", self.addrs, 4096, "Reservation.addrs")
        voucher = self.voucher
        if voucher is not None:
            size = len(voucher)
            if size > 4096:
                raise refused_size("Reservation.voucher", size, 4096)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), voucher)
        encoded = b"".join(out)
        if len(encoded) > 4096:
            raise refused_size("Reservation", len(encoded), 4096)
        return encoded


class Limit(Record):
    """When a relayed connection ends.

    duration: seconds; 0 or absent: no limit

    data: bytes each way; 0 or absent: no limit
    """

    __slots__ = ("duration", "data")

    MAX_BYTES = 4096

    def __init__(self, duration: int | None = None, data: int | None = None) -> None:
        self.duration = duration
        self.data = data

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4096:
            raise too_long("Limit", offset, end - offset, 4096)
        duration: int | None = None
        data_: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Limit")
            if tag == 8:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Limit.duration")
                number &= 0xFFFFFFFF
                duration = number
            elif tag == 16:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Limit.data")
                data_ = number
            else:
                offset = skip_field(data, tag, offset, end, "Limit")
        return cls(duration, data_)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        duration = self.duration
        if duration is not None:
            if not 0 <= duration <= 0xFFFFFFFF:
                raise refused_number("Limit.duration", duration, 0, 0xFFFFFFFF)
            out += (b"\x08", ONE_BYTE[duration] if duration < 128 else encode_varint(duration))
        data = self.data
        if data is not None:
            if not 0 <= data <= 0xFFFFFFFFFFFFFFFF:
                raise refused_number("Limit.data", data, 0, 0xFFFFFFFFFFFFFFFF)
            out += (b"\x10", ONE_BYTE[data] if data < 128 else encode_varint(data))
        encoded = b"".join(out)
        if len(encoded) > 4096:
            raise refused_size("Limit", len(encoded), 4096)
        return encoded


_HOP_MESSAGE_FIELDS = {
    18: ("HopMessage.peer", 4096),
    26: ("HopMessage.reservation", 4096),
    34: ("HopMessage.limit", 4096),
}


class HopMessage(Record):
    """Between a relay and who uses it.

    type: always written, RESERVE too; go takes a message without it as RESERVE
    """

    __slots__ = ("type", "peer", "reservation", "limit", "status")

    MAX_BYTES = 4096

    def __init__(
        self,
        type: HopType | None = None,
        peer: Peer | None = None,
        reservation: Reservation | None = None,
        limit: Limit | None = None,
        status: int | None = None,
    ) -> None:
        self.type = type
        self.peer = peer
        self.reservation = reservation
        self.limit = limit
        self.status = status

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4096:
            raise too_long("HopMessage", offset, end - offset, 4096)
        type: HopType | None = None
        peer_spans: list[tuple[int, int]] = []
        reservation_spans: list[tuple[int, int]] = []
        limit_spans: list[tuple[int, int]] = []
        status: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "HopMessage")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "HopMessage")
                stop = offset + length
                if stop > end:
                    raise past_end(_HOP_MESSAGE_FIELDS, tag, length, offset, "HopMessage")
                if tag == 18:
                    peer_spans.append((offset, stop))
                elif tag == 26:
                    reservation_spans.append((offset, stop))
                elif tag == 34:
                    limit_spans.append((offset, stop))
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "HopMessage.type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _HOP_TYPE:
                    raise Malformed("HopMessage.type", start, f"{number} is no HopType")
                type = _HOP_TYPE[number]
            elif tag == 40:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "HopMessage.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            else:
                offset = skip_field(data, tag, offset, end, "HopMessage")
        peer: Peer | None = None
        if peer_spans:
            try:
                region = joined(data, peer_spans, 4096, "HopMessage.peer")
                peer = Peer._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        reservation: Reservation | None = None
        if reservation_spans:
            try:
                region = joined(data, reservation_spans, 4096, "HopMessage.reservation")
                reservation = Reservation._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        limit: Limit | None = None
        if limit_spans:
            try:
                region = joined(data, limit_spans, 4096, "HopMessage.limit")
                limit = Limit._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(type, peer, reservation, limit, status)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        type = self.type
        if type is not None:
            if type not in _HOP_TYPE:
                raise refused("HopMessage.type", f"{type} is no HopType")
            out += (b"\x08", ONE_BYTE[type] if type < 128 else encode_varint(type))
        peer = self.peer
        if peer is not None:
            content = peer.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        reservation = self.reservation
        if reservation is not None:
            content = reservation.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        limit = self.limit
        if limit is not None:
            content = limit.encode()
            size = len(content)
            out += (b"\x22", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        status = self.status
        if status is not None:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("HopMessage.status", status, -2147483648, 2147483647)
            out += (b"\x28", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        encoded = b"".join(out)
        if len(encoded) > 4096:
            raise refused_size("HopMessage", len(encoded), 4096)
        return encoded


_STOP_MESSAGE_FIELDS = {
    18: ("StopMessage.peer", 4096),
    26: ("StopMessage.limit", 4096),
}


class StopMessage(Record):
    """Between a relay and the peer it holds a reservation of.

    type: always written, CONNECT too
    """

    __slots__ = ("type", "peer", "limit", "status")

    MAX_BYTES = 4096

    def __init__(
        self,
        type: StopType | None = None,
        peer: Peer | None = None,
        limit: Limit | None = None,
        status: int | None = None,
    ) -> None:
        self.type = type
        self.peer = peer
        self.limit = limit
        self.status = status

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4096:
            raise too_long("StopMessage", offset, end - offset, 4096)
        type: StopType | None = None
        peer_spans: list[tuple[int, int]] = []
        limit_spans: list[tuple[int, int]] = []
        status: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "StopMessage")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "StopMessage")
                stop = offset + length
                if stop > end:
                    raise past_end(_STOP_MESSAGE_FIELDS, tag, length, offset, "StopMessage")
                if tag == 18:
                    peer_spans.append((offset, stop))
                elif tag == 26:
                    limit_spans.append((offset, stop))
                offset = stop
            elif tag == 8:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "StopMessage.type")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                if number not in _STOP_TYPE:
                    raise Malformed("StopMessage.type", start, f"{number} is no StopType")
                type = _STOP_TYPE[number]
            elif tag == 32:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "StopMessage.status")
                if number > 0x7FFFFFFF:
                    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
                status = number
            else:
                offset = skip_field(data, tag, offset, end, "StopMessage")
        peer: Peer | None = None
        if peer_spans:
            try:
                region = joined(data, peer_spans, 4096, "StopMessage.peer")
                peer = Peer._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        limit: Limit | None = None
        if limit_spans:
            try:
                region = joined(data, limit_spans, 4096, "StopMessage.limit")
                limit = Limit._read(*region)
            except Truncated as error:
                raise crossing(error) from None
        return cls(type, peer, limit, status)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        type = self.type
        if type is not None:
            if type not in _STOP_TYPE:
                raise refused("StopMessage.type", f"{type} is no StopType")
            out += (b"\x08", ONE_BYTE[type] if type < 128 else encode_varint(type))
        peer = self.peer
        if peer is not None:
            content = peer.encode()
            size = len(content)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        limit = self.limit
        if limit is not None:
            content = limit.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        status = self.status
        if status is not None:
            if not -2147483648 <= status <= 2147483647:
                raise refused_number("StopMessage.status", status, -2147483648, 2147483647)
            out += (b"\x20", encode_varint(status & 0xFFFFFFFFFFFFFFFF))
        encoded = b"".join(out)
        if len(encoded) > 4096:
            raise refused_size("StopMessage", len(encoded), 4096)
        return encoded


_VOUCHER_FIELDS = {
    10: ("Voucher.relay", 1024),
    18: ("Voucher.peer", 1024),
}


class Voucher(Record):
    """A relay's word that it granted a reservation; the payload of an envelope of type 03 02.

    expiration: seconds of Unix time
    """

    __slots__ = ("relay", "peer", "expiration")

    MAX_BYTES = 4096

    def __init__(
        self,
        relay: bytes | None = None,
        peer: bytes | None = None,
        expiration: int | None = None,
    ) -> None:
        self.relay = relay
        self.peer = peer
        self.expiration = expiration

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4096:
            raise too_long("Voucher", offset, end - offset, 4096)
        relay: bytes | None = None
        peer: bytes | None = None
        expiration: int | None = None
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "Voucher")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "Voucher")
                stop = offset + length
                if stop > end:
                    raise past_end(_VOUCHER_FIELDS, tag, length, offset, "Voucher")
                if tag == 10:
                    if length > 1024:
                        raise too_long("Voucher.relay", offset, length, 1024)
                    relay = data[offset:stop]
                elif tag == 18:
                    if length > 1024:
                        raise too_long("Voucher.peer", offset, length, 1024)
                    peer = data[offset:stop]
                offset = stop
            elif tag == 24:
                start = offset
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "Voucher.expiration")
                if not 0 <= number <= 0x7FFFFFFFFFFFFFFF:
                    raise outside("Voucher.expiration", start, number, 0, 0x7FFFFFFFFFFFFFFF)
                expiration = number
            else:
                offset = skip_field(data, tag, offset, end, "Voucher")
        return cls(relay, peer, expiration)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        relay = self.relay
        if relay is not None:
            size = len(relay)
            if size > 1024:
                raise refused_size("Voucher.relay", size, 1024)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), relay)
        peer = self.peer
        if peer is not None:
            size = len(peer)
            if size > 1024:
                raise refused_size("Voucher.peer", size, 1024)
            out += (b"\x12", ONE_BYTE[size] if size < 128 else encode_varint(size), peer)
        expiration = self.expiration
        if expiration is not None:
            if not 0 <= expiration <= 0x7FFFFFFFFFFFFFFF:
                raise refused_number("Voucher.expiration", expiration, 0, 0x7FFFFFFFFFFFFFFF)
            out += (b"\x18", ONE_BYTE[expiration] if expiration < 128 else encode_varint(expiration))
        encoded = b"".join(out)
        if len(encoded) > 4096:
            raise refused_size("Voucher", len(encoded), 4096)
        return encoded
