# GENERATED from protocol_specs/peer_record.py by tools.spec_compiler; do not edit.
# Schema 705f6cab9225a594
"""Peer records, the payload of a signed envelope.

Specification: libp2p/specs RFC/0003-routing-records.md.
"""

from __future__ import annotations

from typing import Self

from mesh.codecs.wire import (
    ONE_BYTE,
    Record,
    crossing,
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

_ADDRESS_INFO_FIELDS = {
    10: ("AddressInfo.multiaddr", 4096),
}


class AddressInfo(Record):
    """One address of a peer record."""

    __slots__ = ("multiaddr",)

    MAX_BYTES = 4160

    def __init__(self, multiaddr: bytes = b"") -> None:
        self.multiaddr = multiaddr

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 4160:
            raise too_long("AddressInfo", offset, end - offset, 4160)
        multiaddr: bytes = b""
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "AddressInfo")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "AddressInfo")
                stop = offset + length
                if stop > end:
                    raise past_end(_ADDRESS_INFO_FIELDS, tag, length, offset, "AddressInfo")
                if tag == 10:
                    if length > 4096:
                        raise too_long("AddressInfo.multiaddr", offset, length, 4096)
                    multiaddr = data[offset:stop]
                offset = stop
            else:
                offset = skip_field(data, tag, offset, end, "AddressInfo")
        return cls(multiaddr)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        multiaddr = self.multiaddr
        if multiaddr:
            size = len(multiaddr)
            if size > 4096:
                raise refused_size("AddressInfo.multiaddr", size, 4096)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), multiaddr)
        encoded = b"".join(out)
        if len(encoded) > 4160:
            raise refused_size("AddressInfo", len(encoded), 4160)
        return encoded


_PEER_RECORD_FIELDS = {
    10: ("PeerRecord.peer_id", 128),
    26: ("PeerRecord.addresses", 4160),
}


class PeerRecord(Record):
    """The addresses a peer claims for itself.

    seq: grows with every record; nanoseconds of Unix time in go
    """

    __slots__ = ("peer_id", "seq", "addresses")

    MAX_BYTES = 61440

    def __init__(
        self,
        peer_id: bytes = b"",
        seq: int = 0,
        addresses: list[AddressInfo] | None = None,
    ) -> None:
        self.peer_id = peer_id
        self.seq = seq
        self.addresses = [] if addresses is None else addresses

    @classmethod
    def _read(cls, data: bytes, offset: int, end: int) -> Self:
        if end - offset > 61440:
            raise too_long("PeerRecord", offset, end - offset, 61440)
        peer_id: bytes = b""
        seq: int = 0
        addresses: list[AddressInfo] = []
        while offset < end:
            tag = data[offset]
            if 7 < tag < 128:
                offset += 1
            else:
                tag, offset = read_tag(data, offset, end, "PeerRecord")
            if tag & 7 == 2:
                if offset < end and (length := data[offset]) < 128:
                    offset += 1
                elif offset + 1 < end and (high := data[offset + 1]) < 128:
                    length += (high - 1) << 7
                    offset += 2
                else:
                    length, offset = read_varint(data, offset, end, "PeerRecord")
                stop = offset + length
                if stop > end:
                    raise past_end(_PEER_RECORD_FIELDS, tag, length, offset, "PeerRecord")
                if tag == 10:
                    if length > 128:
                        raise too_long("PeerRecord.peer_id", offset, length, 128)
                    peer_id = data[offset:stop]
                elif tag == 26:
                    if length > 4160:
                        raise too_long("PeerRecord.addresses", offset, length, 4160)
                    if len(addresses) >= 500:
                        raise Malformed("PeerRecord.addresses", offset, "more than 500")
                    try:
                        addresses.append(AddressInfo._read(data, offset, stop))
                    except Truncated as error:
                        raise crossing(error) from None
                offset = stop
            elif tag == 16:
                if offset < end and (number := data[offset]) < 128:
                    offset += 1
                else:
                    number, offset = read_varint(data, offset, end, "PeerRecord.seq")
                seq = number
            else:
                offset = skip_field(data, tag, offset, end, "PeerRecord")
        return cls(peer_id, seq, addresses)

    def encode(self) -> bytes:
        """The fields in number order; raises UsageError naming a field over its limit."""
        out: list[bytes] = []
        peer_id = self.peer_id
        if peer_id:
            size = len(peer_id)
            if size > 128:
                raise refused_size("PeerRecord.peer_id", size, 128)
            out += (b"\x0a", ONE_BYTE[size] if size < 128 else encode_varint(size), peer_id)
        seq = self.seq
        if seq:
            if not 0 <= seq <= 0xFFFFFFFFFFFFFFFF:
                raise refused_number("PeerRecord.seq", seq, 0, 0xFFFFFFFFFFFFFFFF)
            out += (b"\x10", ONE_BYTE[seq] if seq < 128 else encode_varint(seq))
        if len(self.addresses) > 500:
            raise refused_count("PeerRecord.addresses", len(self.addresses), 500)
        for addresses_item in self.addresses:
            content = addresses_item.encode()
            size = len(content)
            out += (b"\x1a", ONE_BYTE[size] if size < 128 else encode_varint(size), content)
        encoded = b"".join(out)
        if len(encoded) > 61440:
            raise refused_size("PeerRecord", len(encoded), 61440)
        return encoded
